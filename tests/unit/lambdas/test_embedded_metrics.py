"""The line that CloudWatch turns into metrics."""

import io
import json
import sys

import pytest

from penstock.lambdas.embedded_metrics import DIMENSION, UNITS, publish
from penstock.observe.embedded_metrics import NAMESPACE


def test_the_values_are_one_line_in_the_embedded_format(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", stdout)
    publish("sync", {"Read": 3, "LagSeconds": 0.5}, request_id="request-1")
    text = stdout.buffer.getvalue().decode()
    assert text.count("\n") == 1
    line = json.loads(text)
    about = line.pop("_aws")
    assert about["Timestamp"] > 1_600_000_000_000
    assert about["CloudWatchMetrics"] == [
        {
            "Namespace": NAMESPACE,
            "Dimensions": [[DIMENSION]],
            "Metrics": [{"Name": "Read", "Unit": "Count"}, {"Name": "LagSeconds", "Unit": "Seconds"}],
        }
    ]
    assert line == {DIMENSION: "sync", "Read": 3, "LagSeconds": 0.5, "request_id": "request-1"}


def test_what_has_no_unit_is_no_metric() -> None:
    with pytest.raises(KeyError):
        publish("sync", {"Unknown": 1})
    assert set(UNITS.values()) == {"Count", "Seconds"}
