"""Makes the files of panels and rules: for Grafana, Prometheus, the docs and the chart for Kubernetes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from monitoring.panels import ROWS, Panel
from monitoring.rules import RULES, Rule
from penstock.observe.metrics import REPORTED

_ROOT = Path(__file__).resolve().parents[1]
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_CHOSEN = {"job": 'job=~"$job"', "pipeline": 'pipeline=~"$pipeline"'}
_SELECTOR = re.compile(r"\b(?P<name>(?:penstock|process)_\w+)(?:\{(?P<matchers>[^}]*)\})?")
_OF_HISTOGRAM = re.compile(r"_(bucket|sum|count)$")
_HEIGHTS = {"stat": 4, "timeseries": 8}
_COLUMNS = 24


def files() -> dict[Path, str]:
    """Return the text of each generated file."""
    alerts = alerts_yaml()
    return {
        _ROOT / "monitoring" / "grafana.json": grafana_json(),
        _ROOT / "monitoring" / "alerts.yaml": alerts,
        _ROOT / "deploy" / "helm" / "penstock" / "files" / "alerts.yaml": alerts,  # helm reads no file outside a chart
    }


def alerts_yaml() -> str:
    """Return the rules as Prometheus reads them."""
    group = {"name": "penstock", "rules": [_alert(rule) for rule in RULES]}
    head = (
        "# Made from monitoring/rules.py by `python tests/docs/regenerate.py`; docs/metrics.md explains each alert.\n"
    )
    return head + yaml.safe_dump({"groups": [group]}, sort_keys=False, width=1000)


def _alert(rule: Rule) -> dict[str, Any]:
    return {
        "alert": rule.name,
        "expr": rule.expr,
        "for": rule.hold,
        "labels": {"severity": rule.severity},
        "annotations": {"summary": rule.summary, "runbook": f"docs/{rule.docs}"},
    }


def alerts_table() -> str:
    """Return the table of docs/metrics.md."""
    lines = ["| alert | when | means; what to do |", "| --- | --- | --- |"]
    for rule in RULES:
        after = f" for {rule.hold}" if rule.hold != "0m" else ""
        lines.append(
            f"| `{rule.name}` ({rule.severity}) | `{rule.expr}`{after} | {rule.means}: [what to do]({rule.docs}) |"
        )
    return "\n".join(lines) + "\n"


def grafana_json() -> str:
    """Return the dashboard as Grafana imports it."""
    board = {
        "title": "penstock",
        "uid": "penstock",
        "description": "Made from monitoring/panels.py of penstock.",
        "tags": ["penstock"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": list(_variables())},
        "panels": list(_panels()),
    }
    return json.dumps(board, indent=1, ensure_ascii=False) + "\n"


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    for name, within in (("job", ""), ("pipeline", '{job=~"$job"}')):
        yield {
            "name": name,
            "type": "query",
            "datasource": _DATASOURCE,
            "query": f"label_values(penstock_lease_held{within}, {name})",
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "current": {"text": ["All"], "value": ["$__all"]},
        }


def _panels() -> Iterator[dict[str, Any]]:
    """Return the rows and their panels, each at its place."""
    top = number = 0
    for row in ROWS:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1},
        }
        top, left, height = top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > _COLUMNS:
                top, left, height = top + height, 0, 0
            number += 1
            height = max(height, _HEIGHTS[panel.kind])
            place = {"x": left, "y": top, "w": panel.width, "h": _HEIGHTS[panel.kind]}
            yield {"id": number, **_panel(panel), "gridPos": place}
            left += panel.width
        top += height


def _panel(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.wrong_above is not None:
        steps.append({"color": "red", "value": panel.wrong_above})
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}
    options: dict[str, Any] = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value"}
    if panel.kind == "timeseries":
        stacking = {"mode": "normal" if panel.stacked else "none"}
        defaults["custom"] = {"fillOpacity": 20 if panel.stacked else 5, "stacking": stacking, "showPoints": "never"}
        options = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _DATASOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": _DATASOURCE,
                "expr": chosen(query.expr),
                "legendFormat": query.legend,
            }
            for number, query in enumerate(panel.queries)
        ],
    }


def chosen(expr: str) -> str:
    """Return the expression for what is chosen on top of the dashboard."""

    def narrowed(selector: re.Match[str]) -> str:
        labels = ("job", *labels_of(selector["name"]))
        matchers = [_CHOSEN[label] for label in labels if label in _CHOSEN]
        return f"{selector['name']}{{{', '.join(filter(None, [*matchers, selector['matchers']]))}}}"

    return _SELECTOR.sub(narrowed, expr)


def labels_of(series: str) -> tuple[str, ...]:
    """Return the labels that a series has by its declaration. Raises KeyError for one that is not declared."""
    of_histogram = _OF_HISTOGRAM.sub("", series)
    metric = REPORTED[series if series in REPORTED else of_histogram]
    if (metric.kind == "histogram") != (series != of_histogram):
        raise KeyError(series)
    return metric.labels
