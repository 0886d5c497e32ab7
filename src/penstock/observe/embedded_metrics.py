"""Metrics in CloudWatch's embedded format: a log line that CloudWatch turns into metrics.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import orjson

from penstock.observe.metrics import MetricName, Metrics

NAMESPACE: Final = "penstock"

WORKER: Final = "Worker"
"""The dimension of a worker's metrics."""

WORKER_UNITS: Final[dict[str, str]] = {
    "PipelinesHeld": "Count",
    "LagSeconds": "Seconds",
    "Written": "Count",
    "Superseded": "Count",
    "Filtered": "Count",
    "DeadLettered": "Count",
    "PositionsLost": "Count",
    "Waiting": "Count",
    "Unserved": "Count",
}
"""The metrics of a worker. PipelinesHeld: those whose lease it holds, or of whose topics it has partitions, 0 on
standby. LagSeconds: of the one that is furthest behind; none on standby. Waiting: 1 while the index accepts no
writes."""

REACTION_UNITS: Final[dict[str, str]] = {
    "ReactionLagSeconds": "Seconds",
    "ReactionsPending": "Count",
    "ReactionsAccepted": "Count",
    "ReactionsDeadLettered": "Count",
    "ReactionsWaiting": "Count",
    "ReactionsStopped": "Count",
}
"""The metrics of a worker's reactions together, written where there are any. ReactionLagSeconds: of the one that is
furthest behind. ReactionsWaiting and ReactionsStopped: how many wait for their target, or have stopped by an error."""

CAPTURE_UNITS: Final[dict[str, str]] = {
    "CaptureLagSeconds": "Seconds",
    "CapturesHeld": "Count",
    "Captured": "Count",
    "CapturePositionsLost": "Count",
}
"""The metrics of `penstock capture`, in the place of those of a worker. CapturesHeld: the databases that this process
captures, 0 on standby. CaptureLagSeconds: of the one that is furthest behind; none on standby. Captured: records."""

_HELD: Final[tuple[MetricName, ...]] = ("penstock_lease_held", "penstock_log_partitions")
"""What says that a pipeline is this worker's: its lease, or partitions of its topics."""

_RECORDS: Final = frozenset({"upsert", "delete", "unresolved"})

_OUTCOMES: Final = {
    "written": "Written",
    "superseded": "Superseded",
    "filtered": "Filtered",
    "dead_lettered": "DeadLettered",
}


def write_line(
    dimension: str, name: str, values: Mapping[str, float], units: Mapping[str, str], details: Mapping[str, str]
) -> None:
    """Print the values as one line; `details` can be searched for but are not metrics."""
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [[dimension]],
        "Metrics": [{"Name": each, "Unit": units[each]} for each in values],
    }
    line = {
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]},
        dimension: name,
        **values,
        **details,
    }
    sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
    sys.stdout.flush()


@contextmanager
def publishing(name: str | None, metrics: Metrics, *, every_s: float = 60.0) -> Iterator[None]:
    """Write a worker's metrics regularly for as long as the block runs, and at its end; do nothing without a name."""
    if name is None:
        yield
        return
    units = WORKER_UNITS | REACTION_UNITS | CAPTURE_UNITS
    ending, totals = threading.Event(), dict.fromkeys(units, 0.0)

    def publish() -> None:
        values = _capture_values(metrics, totals) or {**_values(metrics, totals), **_reaction_values(metrics, totals)}
        write_line(WORKER, name, values, units, {})

    def keep_on() -> None:
        while not ending.wait(every_s):
            publish()

    thread = threading.Thread(target=keep_on, name="embedded metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
        publish()


def _values(metrics: Metrics, totals: dict[str, float]) -> dict[str, float]:
    """Return the present values; of counters what was added since the `totals`, which are brought up to date."""
    held = {labels["pipeline"] for name in _HELD for labels, value in _samples(metrics, name) if value}
    lags = [value for labels, value in _samples(metrics, "penstock_lag_seconds") if labels["pipeline"] in held]
    counted = dict.fromkeys((*_OUTCOMES.values(), "PositionsLost"), 0.0)
    for labels, value in _samples(metrics, "penstock_changes_total"):
        if labels["outcome"] in _OUTCOMES:
            counted[_OUTCOMES[labels["outcome"]]] += value
    counted["PositionsLost"] = sum(value for _, value in _samples(metrics, "penstock_positions_lost_total"))
    added = _added(counted, totals)
    return {
        "PipelinesHeld": len(held),
        **({"LagSeconds": max(lags)} if lags else {}),
        **added,
        "Waiting": metrics.value("penstock_waiting"),
        "Unserved": sum(value for _, value in _samples(metrics, "penstock_collection_unserved")),
    }


def _reaction_values(metrics: Metrics, totals: dict[str, float]) -> dict[str, float]:
    """Return the same of reactions; empty where there are none."""
    lags = [value for _, value in _samples(metrics, "penstock_reaction_lag_seconds")]
    if not lags:
        return {}
    events = _samples(metrics, "penstock_reaction_events_total")
    counted = {
        name: sum(value for labels, value in events if labels["outcome"] == outcome)
        for name, outcome in (("ReactionsAccepted", "accepted"), ("ReactionsDeadLettered", "dead_lettered"))
    }
    gauges: dict[str, MetricName] = {
        "ReactionsPending": "penstock_reaction_pending",
        "ReactionsWaiting": "penstock_reaction_waiting",
        "ReactionsStopped": "penstock_reaction_stopped",
    }
    return {
        "ReactionLagSeconds": max(lags),
        **_added(counted, totals),
        **{name: sum(value for _, value in _samples(metrics, gauge)) for name, gauge in gauges.items()},
    }


def _capture_values(metrics: Metrics, totals: dict[str, float]) -> dict[str, float]:
    """Return the same of captures; empty where there are none."""
    leading = {labels["capture"]: value for labels, value in _samples(metrics, "penstock_capture_leading")}
    if not leading:
        return {}
    lags = [
        value for labels, value in _samples(metrics, "penstock_capture_lag_seconds") if leading.get(labels["capture"])
    ]
    events = _samples(metrics, "penstock_capture_events_total")
    lost = _samples(metrics, "penstock_capture_positions_lost_total")
    counted = {
        "Captured": sum(value for labels, value in events if labels["outcome"] in _RECORDS),
        "CapturePositionsLost": sum(value for _, value in lost),
    }
    return {
        **({"CaptureLagSeconds": max(lags)} if lags else {}),
        "CapturesHeld": sum(leading.values()),
        **_added(counted, totals),
    }


def _added(counted: dict[str, float], totals: dict[str, float]) -> dict[str, float]:
    added = {name: value - totals[name] for name, value in counted.items()}
    totals.update(counted)
    return added


def _samples(metrics: Metrics, name: MetricName) -> list[tuple[Mapping[str, str], float]]:
    """Return labels and value of each series of a counter or gauge."""
    found = [sample for family in metrics.registry.collect() for sample in family.samples]
    return [(sample.labels, sample.value) for sample in found if sample.name == name]
