"""What pages say where no worker brings the changes."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from penstock.console.everything import Everything
from penstock.operations.status.reactions import ReactionStatus
from penstock.operations.status.report import Status
from penstock.settings import Settings
from testkit.console_client import ConsoleClient, served_console

QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/parked"
TOPIC = {"topic": "cdc.shop.orders", "collection": "shop.orders", "form": "keys"}


@pytest.fixture
def console_of(
    monkeypatch: pytest.MonkeyPatch, away: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., ConsoleClient]]:
    """Makes a console of a reaction in a state, with further sections of the settings."""
    with ExitStack() as stack:

        def make(state: str, **sections: object) -> ConsoleClient:
            hook = {"name": "paid", "collections": ["shop.orders"], "target": "webhook", "url": "http://127.0.0.1:1/"}
            table = {"namespace": "shop.orders", "index": "orders"}
            given = {"reactions": [{**hook, "secret": "s" * 32}], "collections": [table], **sections}
            whole = Settings.model_validate({**away.model_dump(exclude_unset=True), **given})
            reaction = ReactionStatus("paid", "webhook", ["shop.orders"], state, None, None, 0, None, "", "")
            monkeypatch.setattr(Everything, "look", lambda _everything: Status([], "", reactions=[reaction]))
            return stack.enter_context(served_console(whole, tmp_path_factory.mktemp("console")))

        yield make


def sentence(console: ConsoleClient, path: str) -> str:
    found = re.search(r'<p [^>]*role="status"[^>]*>(.*?)</p>', console.text(console.get(path)), re.DOTALL)
    assert found
    return found[1].strip()


def test_a_reaction_behind_a_mapping_counts_as_fed(console_of):
    console = console_of("mapped", pipeline={"parking_queue": QUEUE})
    assert sentence(console, "/reactions").startswith("AWS Lambda brings the changes of the reaction")
    assert 'class="state quiet">mapped<' in console.text(console.get("/reactions"))


def test_a_reaction_that_nobody_runs_does_not(console_of):
    assert sentence(console_of("waiting"), "/reactions") == "paid does not run."


def test_the_page_of_workers_says_who_feeds_the_indexes(console_of):
    assert sentence(console_of("waiting"), "/workers").startswith("No worker is running")
    assert sentence(console_of("mapped", pipeline={"parking_queue": QUEUE}), "/workers").startswith("AWS Lambda feeds")
    assert sentence(console_of("waiting", topics=[TOPIC]), "/workers").startswith("No process applies")
    both = [{"namespace": name, "index": name[5:]} for name in ("shop.orders", "shop.items")]
    assert sentence(console_of("waiting", topics=[TOPIC], collections=both), "/workers").startswith("No worker")
