"""Alerts and dashboard read what a worker reports, and the files are those of the declarations."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from monitoring.panels import ROWS
from monitoring.render import alerts_table, alerts_yaml, chosen, files, grafana_json
from monitoring.rules import RULES
from penstock.observe.metrics import METRICS
from testkit.promql import problems, result_labels, selectors

ALERTS = Path(__file__).parents[3] / "monitoring" / "alerts.yaml"
ALERTS_TEST = Path(__file__).with_name("alerts_test.yaml")
PANELS = [panel for row in ROWS for panel in row.panels]
QUERIES = [pytest.param(query, id=f"{panel.title}-{query.legend}") for panel in PANELS for query in panel.queries]


@pytest.mark.parametrize("file", files(), ids=lambda path: path.parent.name + "/" + path.name)
def test_the_file_is_up_to_date(file):
    assert file.read_text(encoding="utf-8") == files()[file], "run: python tests/docs/regenerate.py"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_an_alert_reads_what_is_declared(rule):
    assert problems(rule.expr) == []
    named = set(re.findall(r"\$labels\.(\w+)", rule.summary))
    assert named <= result_labels(rule.expr)


@pytest.mark.parametrize("query", QUERIES)
def test_a_panel_reads_what_is_declared(query):
    assert problems(query.expr) == []
    assert problems(chosen(query.expr)) == []
    assert set(re.findall(r"\{\{(\w+)\}\}", query.legend)) <= result_labels(query.expr)


@pytest.mark.parametrize(
    ("expr", "problem"),
    [
        ("penstock_lag_second > 1", "penstock_lag_second is not declared"),
        ("rate(penstock_lag_seconds_bucket[5m])", "penstock_lag_seconds_bucket is not declared"),
        ("penstock_write_seconds > 1", "penstock_write_seconds is not declared"),
        ('penstock_lag_seconds{index="a"}', "penstock_lag_seconds has no label index"),
        ("sum by (index) (penstock_lag_seconds)", "what is aggregated has no label index"),
        ("histogram_quantile(0.5, sum by (le) (penstock_waiting))", "what is aggregated has no label le"),
        ("penstock_lag_seconds and on (index) penstock_index_fields", "one of the two sides has no label index"),
        ("penstock_lag_seconds and penstock_waiting == 1", "no series match: ['pipeline'] are on one side only"),
        ("penstock_changes_total > 0", "penstock_changes_total only grows: use rate or increase"),
        ("sum(penstock_write_seconds_bucket)", "penstock_write_seconds_bucket only grows: use rate or increase"),
        ("deriv(process_cpu_seconds_total[5m])", "process_cpu_seconds_total only grows: use rate or increase"),
        (
            "penstock_batches_total unless penstock_checkpoints_total offset 5m",
            "penstock_batches_total only grows: use rate or increase",
        ),
        ("rate(penstock_batches_total[5m]", "does not parse: unclosed left parenthesis"),
        ("rate(penstock_batches_total)", "does not parse: expected type matrix"),
    ],
)
def test_a_wrong_expression_is_refused(expr, problem):
    assert any(each.startswith(problem) for each in problems(expr)), problems(expr)


def test_a_new_series_of_a_counter_may_be_asked_for():
    assert problems("penstock_batches_total unless penstock_batches_total offset 5m") == []


def test_the_labels_of_a_result_are_known():
    assert result_labels("sum by (pipeline) (rate(penstock_changes_total[5m])) > 0") == {"pipeline"}
    assert result_labels("absent(penstock_lease_held)") == frozenset()
    assert "le" not in result_labels("histogram_quantile(0.5, rate(penstock_write_seconds_bucket[5m]))")
    assert "index" in result_labels("penstock_ignored_documents > 0")


def test_every_metric_of_a_worker_is_on_the_dashboard():
    shown = {
        re.sub("_bucket$", "", name) for panel in PANELS for query in panel.queries for name, _ in read(query.expr)
    }
    assert METRICS.keys() - shown == set()


def read(expr):
    return selectors(expr.replace("$__rate_interval", "5m"))


def test_what_is_chosen_on_top_is_added_to_each_metric_that_has_the_label():
    expr = 'sum(rate(penstock_changes_total{outcome="written"}[5m])) / penstock_waiting'
    assert chosen(expr) == (
        'sum(rate(penstock_changes_total{job=~"$job", pipeline=~"$pipeline", outcome="written"}[5m]))'
        ' / penstock_waiting{job=~"$job"}'
    )


def test_prometheus_can_read_the_alerts():
    (group,) = yaml.safe_load(alerts_yaml())["groups"]
    assert [each["alert"] for each in group["rules"]] == [rule.name for rule in RULES]
    assert len({rule.name for rule in RULES}) == len(RULES)
    for each in group["rules"]:
        assert each.keys() == {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+[smh]", each["for"])
        assert each["labels"]["severity"] in ("critical", "warning")
        assert each["annotations"]["summary"]
    assert alerts_table().count("[what to do](") == len(RULES)


@pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not on the PATH; go install github.com/prometheus/prometheus/cmd/promtool@v0.316.0",
)
@pytest.mark.parametrize("words", [["check", "rules", "--lint-fatal", ALERTS], ["test", "rules", ALERTS_TEST]])
def test_prometheus_takes_the_alerts_and_fires_them_when_it_should(words):
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_panels_lie_within_the_grid_without_overlap():
    places = [each["gridPos"] for each in json.loads(grafana_json())["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23


def test_panels_have_numbers_of_their_own():
    numbers = [each["id"] for each in json.loads(grafana_json())["panels"]]
    assert sorted(set(numbers)) == numbers
