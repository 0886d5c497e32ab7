"""The lag: how far the index is behind the source, by what the source says of itself."""

import time

import pytest

from penstock.model import Counts, Position
from penstock.observe.health import Health
from penstock.observe.metrics import Metrics
from penstock.worker.reporter import Reporter

HOURS = 4 * 3600


def at(seconds: float) -> int:
    return int(seconds) << 32


def lag(position: Position, counts: Counts) -> float:
    reporter = Reporter("shop", Metrics())
    reporter.settled(position, counts)
    return reporter.lag_s()


@pytest.mark.parametrize("read", [0, 5])
@pytest.mark.parametrize("clock_s", [0, 1000])
def test_where_the_source_says_how_far_it_has_looked_that_is_the_lag(read: int, clock_s: float) -> None:
    """By the source's clock, whatever ours says; an empty answer is not the end of what there is."""
    now = time.time() + clock_s
    assert lag(Position("token", at(now - HOURS), at(now)), Counts(read=read)) == HOURS
    assert lag(Position("token", at(now), at(now)), Counts(read=read)) == 0


def test_where_an_idle_answer_tells_nothing_it_is_the_end_of_what_there_is() -> None:
    assert lag(Position("token", at(time.time() - HOURS)), Counts()) == 0
    assert HOURS <= lag(Position("token", at(time.time() - HOURS)), Counts(read=1)) < HOURS + 60


def test_who_waits_for_an_index_that_blocks_the_lease_is_not_live() -> None:
    metrics, health = Metrics(), Health(unhealthy_lag_s=300)
    metrics.set("penstock_waiting", 1.0)
    Reporter("shop", metrics, health).report()
    assert health.report()["pipelines"]["shop"]["state"] == "loading"
