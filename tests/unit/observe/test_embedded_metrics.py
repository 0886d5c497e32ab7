"""What a worker tells CloudWatch: what it holds, how far it is behind, and what was added since it told last."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from penstock.observe.embedded_metrics import WORKER, WORKER_UNITS, publishing
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
