"""When an index is swept that a request of a load may still reach: the clock and the shards are the test's own."""

from types import SimpleNamespace

import pytest

from penstock.model import Namespace
from penstock.runtime.intervals import Intervals
from penstock.worker.recovery import late_requests
from penstock.worker.recovery.late_requests import LateRequests

COLLECTION = SimpleNamespace(namespace=Namespace("shop", "orders"))
MINUTES = 450
"""Half of the time for which an index remembers deletes."""


class Place:
    """A clock, the engines of an index, and the moments when it was swept."""

    def __init__(self) -> None:
        self.now, self.engines, self.swept = 1000.0, ["first"], []
        adapters = SimpleNamespace(
            intervals=Intervals(indexes_s=1),
            indexes=SimpleNamespace(engines=lambda _: self.engines),
            ask=lambda _: int(self.now) << 32,
        )
        self.late = LateRequests(adapters, lambda _: self.swept.append(self.now))

    def until(self, moment: float) -> list[float]:
        """Look every second until then; answers when it was swept."""
        while self.now < moment:
            self.now += 1
            self.late.look([COLLECTION])
        return self.swept

    def loaded(self, engines: list[str] | None = None, *, whole_at: int = 0) -> SimpleNamespace:
        return SimpleNamespace(phase="live", engines=engines or ["first"], whole_at=whole_at << 32)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place()
    monkeypatch.setattr(late_requests, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


def test_nothing_is_swept_while_no_shard_is_started(place):
    place.late.expect(COLLECTION, place.loaded(), "orders-g1", since=1000, engines=["first"])
    assert place.until(2000) == []


def test_after_a_start_it_is_swept_at_once_again_and_when_nothing_can_arrive_any_more(place):
    place.late.expect(COLLECTION, place.loaded(), "orders-g1", since=1000, engines=["first"])
    place.until(1010)
    place.engines = ["second"]
    assert place.until(3000) == [1011, 1016, 1031, 1076, 1211, 1000 + MINUTES]


def test_a_start_during_the_load_is_followed_by_further_sweeps(place):
    place.late.expect(COLLECTION, place.loaded(), "orders-g1", since=1000, engines=["second"])
    place.engines = ["second"]
    assert place.until(1030) == [1005, 1010, 1025]


def test_a_closed_index_is_swept_once_it_is_open_again(place):
    place.late.expect(COLLECTION, place.loaded(), "orders-g1", since=1000, engines=["first"])
    place.engines = []
    assert place.until(1020) == []
    place.engines = ["second"]
    assert place.until(1022) == [1021]


@pytest.mark.parametrize(("whole_at", "swept"), [(900, [1011]), (1000 - MINUTES - 1, [])])
def test_what_an_earlier_term_loaded_a_short_time_ago_is_watched_too(place, whole_at, swept):
    loads = {COLLECTION.namespace: place.loaded(whole_at=whole_at)}
    generations = {COLLECTION.namespace: SimpleNamespace(index="orders-g1")}
    place.late.expect_of_earlier_terms([COLLECTION], loads, generations)
    place.until(1010)
    place.engines = ["second"]
    assert place.until(1012) == swept


def test_the_first_look_is_at_once_also_on_a_machine_that_has_just_started(place):
    place.now = 0.5
    place.late.expect(COLLECTION, place.loaded(), "orders-g1", since=0.5, engines=["first"])
    place.engines = ["second"]
    place.late.look([COLLECTION])
    assert place.swept == [0.5]
