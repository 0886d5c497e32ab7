"""Many collections, and many who look at them: one look for all, and pages that come at once."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from penstock.console.everything import Everything
from penstock.console.pages import overview
from penstock.operations.status.report import Status
from penstock.settings import Settings
from testkit.console_client import ConsoleClient, served_console
from tests.unit.console.test_verdict import LIVE

COLLECTIONS = 500
VIEWERS = 50
LOOKS = 4
GENEROUS_S = 10.0
"""Far more than is promised, for other tests run on the same machine; `benchmarks.console` measures."""


class Stand:
    """Stands in for what looks at the servers: every lag is another one at each look."""

    def __init__(self) -> None:
        self.looks = 0

    def look(self) -> Status:
        self.looks += 1
        lag_s = self.looks / 10
        lines = [replace(LIVE, namespace=f"shop.c{number:03}", lag_s=lag_s) for number in range(COLLECTIONS)]
        return Status(lines, "")


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    made = Stand()
    monkeypatch.setattr(Everything, "look", lambda _everything: made.look())
    return made


@pytest.fixture
def console(stand: Stand, away: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleClient]:
    with served_console(away, tmp_path_factory.mktemp("many")) as client:
        yield client


def test_the_overview_of_500_collections_comes_at_once(console):
    def seconds() -> float:
        began = time.monotonic()
        assert console.get("/").status == 200
        return time.monotonic() - began

    assert min(seconds() for _ in range(5)) < GENEROUS_S


def test_fifty_viewers_see_each_look_and_cost_one(console, stand):
    """Each gets the whole at first, and then every row again, since each has changed."""
    ready = Barrier(VIEWERS)

    def watch(_number: int) -> list[str]:
        ready.wait(60)
        return [event.partition("\n")[0] for event in console.events("/", LOOKS)]

    with ThreadPoolExecutor(VIEWERS) as pool:
        began = time.monotonic()
        kinds = list(pool.map(watch, range(VIEWERS)))
        took_s = time.monotonic() - began
    assert kinds == [["event: whole", *["event: parts"] * (LOOKS - 1)]] * VIEWERS
    assert stand.looks <= took_s + 2, "a look in a second, however many there are"


def test_a_first_visitor_gets_at_once_what_was_seen_last_with_its_age_and_the_stream_what_is_now(
    console, stand, monkeypatch
):
    monkeypatch.setattr(overview, "_OLD_S", 0.0)
    assert "This is how it stood" not in console.text(console.get("/"))
    page = console.text(console.get("/"))
    assert "This is how it stood" in page
    assert page.count('<tr id="c-shop.') == COLLECTIONS
    (whole,) = console.events("/", 1)
    assert "This is how it stood" not in whole
    assert whole.count("c-shop.c") >= COLLECTIONS
