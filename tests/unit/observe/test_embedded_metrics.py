"""What a worker tells CloudWatch: what it holds, how far it is behind, and what was added since it told last."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from penstock.observe.embedded_metrics import CAPTURE_UNITS, REACTION_UNITS, WORKER, WORKER_UNITS, publishing
from penstock.observe.metrics import Metrics
from testkit.workspace import until


@pytest.fixture
def written(capsysbinary: pytest.CaptureFixture[bytes]) -> Callable[[], list[dict[str, Any]]]:
    """All lines until now."""
    lines: list[dict[str, Any]] = []

    def written() -> list[dict[str, Any]]:
        lines.extend(map(json.loads, capsysbinary.readouterr().out.splitlines()))
        return lines

    return written


def test_a_worker_tells_what_it_holds_and_what_was_added_since(written: Callable[[], list[dict[str, Any]]]) -> None:
    metrics = Metrics()
    metrics.set("penstock_lease_held", 1, pipeline="shop")
    metrics.set("penstock_lag_seconds", 4, pipeline="shop")
    metrics.set("penstock_lease_held", 0, pipeline="other")
    metrics.set("penstock_lag_seconds", 9000, pipeline="other")
    metrics.set("penstock_collection_unserved", 1, collection="shop.new")
    with publishing("penstock-worker", metrics, every_s=0.05):
        metrics.count("penstock_changes_total", 3, pipeline="shop", outcome="written")
        metrics.count("penstock_changes_total", 1, pipeline="shop", outcome="control")
        until(lambda: sum(each["Written"] for each in written()) == 3, written)
        metrics.count("penstock_changes_total", 2, pipeline="shop", outcome="written")
        metrics.count("penstock_positions_lost_total", pipeline="shop", reason="history")
    lines = written()
    assert sum(line["Written"] for line in lines) == 5
    assert sum(line["PositionsLost"] for line in lines) == 1
    assert {(line[WORKER], line["PipelinesHeld"], line["LagSeconds"]) for line in lines} == {("penstock-worker", 1, 4)}
    assert lines[-1]["Unserved"] == 1
    (directive,) = lines[-1]["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"]) == ("penstock", [[WORKER]])
    assert {each["Name"]: each["Unit"] for each in directive["Metrics"]} == WORKER_UNITS


def test_reactions_are_told_together(written: Callable[[], list[dict[str, Any]]]) -> None:
    metrics = Metrics()
    for name, lag in (("paid", 3), ("told", 70)):
        metrics.set("penstock_reaction_lag_seconds", lag, reaction=name)
        metrics.set("penstock_reaction_pending", 2, reaction=name)
        metrics.set("penstock_reaction_waiting", float(name == "told"), reaction=name)
        metrics.set("penstock_reaction_stopped", 0, reaction=name)
    with publishing("penstock-worker", metrics, every_s=0.05):
        metrics.count("penstock_reaction_events_total", 5, reaction="paid", outcome="accepted")
        until(lambda: sum(each["ReactionsAccepted"] for each in written()) == 5, written)
        metrics.count("penstock_reaction_events_total", reaction="told", outcome="dead_lettered")
        metrics.count("penstock_reaction_events_total", reaction="told", outcome="filtered")
    lines = written()
    last = lines[-1]
    assert (last["ReactionLagSeconds"], last["ReactionsPending"], last["ReactionsWaiting"]) == (70, 4, 1)
    assert last["ReactionsStopped"] == 0
    assert sum(line["ReactionsDeadLettered"] for line in lines) == 1
    assert sum(line["ReactionsAccepted"] for line in lines) == 5
    (directive,) = last["_aws"]["CloudWatchMetrics"]
    assert {each["Name"]: each["Unit"] for each in directive["Metrics"]}.items() >= REACTION_UNITS.items()


def test_a_standby_has_no_lag(written: Callable[[], list[dict[str, Any]]]) -> None:
    metrics = Metrics()
    metrics.set("penstock_lease_held", 0, pipeline="shop")
    metrics.set("penstock_lag_seconds", 9000, pipeline="shop")
    with publishing("penstock-worker", metrics):
        pass
    (line,) = written()
    assert line["PipelinesHeld"] == 0
    assert "LagSeconds" not in line


def test_without_a_name_nothing_is_written(written: Callable[[], list[dict[str, Any]]]) -> None:
    with publishing(None, Metrics(), every_s=0.001):
        pass
    assert written() == []


def test_capture_tells_what_it_captures_in_the_place_of_a_worker(
    written: Callable[[], list[dict[str, Any]]],
) -> None:
    metrics = Metrics()
    for name, leading, lag in (("shop", 1, 3), ("mail", 0, 900)):
        metrics.set("penstock_capture_leading", leading, capture=name)
        metrics.set("penstock_capture_lag_seconds", lag, capture=name)
    with publishing("capture", metrics, every_s=60):
        for outcome in ("upsert", "delete", "unresolved", "control", "left_out"):
            metrics.count("penstock_capture_events_total", 2, capture="shop", outcome=outcome)
        metrics.count("penstock_capture_positions_lost_total", capture="shop", reason="topic")
    (line,) = written()
    assert {name: line[name] for name in CAPTURE_UNITS} == {
        "CaptureLagSeconds": 3,
        "CapturesHeld": 1,
        "Captured": 6,
        "CapturePositionsLost": 1,
    }
    assert "PipelinesHeld" not in line
