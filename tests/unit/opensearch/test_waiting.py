"""What the log and the metrics say while the index is waited for."""

import threading
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from penstock.errors import Stopped
from penstock.observe.metrics import Metrics
from penstock.opensearch.http.waiting import RetryForever, Wait

BLOCKED, LOST = Wait("blocked", "read-only"), Wait("lost", "refused")


@pytest.fixture(autouse=True)
def plain_logs() -> Iterator[None]:
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


@pytest.fixture
def patience() -> RetryForever:
    return RetryForever(Metrics(), threading.Event())


def about_the_index(logs: Iterable[Any]) -> list[str]:
    """What was logged of it; lines of other threads of the process are left out."""
    return [each["event"] for each in logs if "the index" in each["event"]]


def value(patience: RetryForever) -> float:
    return patience._metrics.value("penstock_waiting")


def test_each_reason_is_logged_once_however_often_it_is_met(patience: RetryForever) -> None:
    with capture_logs() as logs, patience.attempts() as one, patience.attempts() as two:
        for _ in range(2):
            one.wait(BLOCKED)
            two.wait(BLOCKED)
        two.wait(LOST)
    assert [(each["event"], each.get("reason")) for each in logs if "the index" in each["event"]] == [
        ("waiting for the index", "blocked"),
        ("waiting for the index", "lost"),
        ("the index accepts requests again", None),
    ]


def test_the_first_wait_is_logged_also_on_a_machine_that_has_just_booted() -> None:
    patience = RetryForever(Metrics(), threading.Event(), now=lambda: 0.0)
    with capture_logs() as logs, patience.attempts() as one:
        one.wait(LOST)
    assert about_the_index(logs)[0] == "waiting for the index"


def test_the_gauge_stays_until_the_last_one_waits_no_longer(patience: RetryForever) -> None:
    with patience.attempts() as one, patience.attempts() as two:
        assert value(patience) == 0
        one.wait(LOST)
        two.wait(LOST)
        one.succeeded()
        assert value(patience) == 1
        two.succeeded()
        assert value(patience) == 0


def test_pipelines_that_share_their_metrics_wait_on_one_gauge(patience: RetryForever) -> None:
    other = RetryForever(patience._metrics, threading.Event())
    with capture_logs() as logs, patience.attempts() as one, other.attempts() as two:
        one.wait(LOST)
        two.wait(LOST)
        one.succeeded()
        assert value(patience) == 1
        two.succeeded()
        assert value(patience) == 0
    assert len(about_the_index(logs)) == 2


def test_a_wait_that_is_given_up_is_not_counted_for_ever(patience: RetryForever) -> None:
    patience.stop.set()
    with pytest.raises(Stopped), patience.attempts() as attempts:
        attempts.wait(LOST)
    assert value(patience) == 0


def test_without_a_wait_nothing_is_said(patience: RetryForever) -> None:
    with capture_logs() as logs, patience.attempts() as attempts:
        attempts.succeeded()
    assert about_the_index(logs) == []
