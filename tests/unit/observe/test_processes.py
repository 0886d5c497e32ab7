"""Several processes report as one."""

from prometheus_client.parser import text_string_to_metric_families

from penstock.observe.health import STALLED_AFTER_S, Health
from penstock.observe.metrics import Metrics
from penstock.observe.processes import ProcessReport, ProcessReports


def report(lag_s: float, *, written: int) -> ProcessReport:
    metrics, health = Metrics(), Health(unhealthy_lag_s=300)
    metrics.set("penstock_lag_seconds", lag_s, pipeline="shop")
    metrics.count("penstock_changes_total", written, pipeline="shop", outcome="written")
    metrics.observe("penstock_write_seconds", 0.2, pipeline="shop")
    health.beat("shop", lag_s=lag_s)
    return ProcessReport.of(health.report(), metrics)


def series(reports: ProcessReports, name: str) -> dict[str, float]:
    families = list(text_string_to_metric_families(reports.exposition().decode()))
    names = [each.name for each in families]
    assert len(names) == len(set(names))
    return {each.labels["process"]: each.value for one in families for each in one.samples if each.name == name}


def test_metrics_of_all_are_in_one_family_and_say_whose_they_are() -> None:
    reports = ProcessReports(Metrics())
    reports.heard(1, report(3, written=5))
    reports.heard(2, report(4, written=7))
    reports.metrics.count("penstock_process_restarts_total", process="2")
    assert series(reports, "penstock_changes_total") == {"1": 5, "2": 7}
    assert series(reports, "penstock_lag_seconds") == {"1": 3, "2": 4}
    assert series(reports, "penstock_write_seconds_count") == {"1": 1, "2": 1}
    assert series(reports, "penstock_waiting") == {"1": 0, "2": 0, "parent": 0}
    assert series(reports, "penstock_process_restarts_total") == {"2": 1}
    reports.gone(2, "it has ended: SIGKILL")
    assert series(reports, "penstock_lag_seconds") == {"1": 3}


def test_they_are_healthy_when_each_one_is() -> None:
    now = [0.0]
    reports = ProcessReports(Metrics(), lambda: now[0])
    assert not reports.health()["healthy"]
    reports.heard(1, report(3, written=5))
    reports.gone(2, "it starts")
    assert not reports.health()["healthy"]
    assert reports.health()["processes"]["2"] == {"healthy": False, "problem": "it starts"}
    reports.heard(2, report(3, written=5))
    assert reports.health()["healthy"]
    now[0] = STALLED_AFTER_S + 1
    reports.heard(2, report(3, written=5))
    assert not reports.health()["healthy"]
    assert reports.health()["processes"]["1"]["problem"] == "no report for 61 s"
