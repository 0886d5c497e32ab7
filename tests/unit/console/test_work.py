"""What jobs say where they cannot begin."""

import sys
import threading
from typing import Any, cast

import pytest

from penstock.console.jobs import work
from penstock.errors import SettingsError
from penstock.runtime.intervals import Intervals
from penstock.settings import Settings

TABLES = {
    "collections": [{"namespace": "shop.orders", "index": "orders"}],
    "topics": [{"topic": "cdc.shop.orders", "collection": "shop.orders", "form": "keys"}],
}


class _NoReport:
    def doing(self, what: str) -> None:
        """See `JobReport`."""


def test_a_load_without_the_client_of_kafka_names_the_extra(monkeypatch):
    for name in [each for each in sys.modules if each.startswith(("penstock.delivery.shared_load", "penstock.kafka"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    of_console = work.Work(
        Settings.model_validate(TABLES),
        "shop.orders",
        {},
        cast(Any, _NoReport()),
        threading.Event(),
        Intervals.fast(),
        resumed=False,
    )
    with pytest.raises(SettingsError, match=r"confluent_kafka.*pip install 'penstock\[kafka\]'"):
        work.run(work.RULES["load"], of_console)
