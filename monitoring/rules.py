"""The alerts: alerts.yaml and the table in docs/metrics.md are made from this.

A standby reports a lag and the age of a checkpoint too, which mean nothing there: such rules ask for the lease as well,
or for partitions, which a member of a consumer group has in its place.
A counter that begins with its first event has no value from before it, so `increase` does not see that event. `_new`
does.
"""

from typing import Literal, NamedTuple


class Rule(NamedTuple):
    """One alert. `means` is for the table of the docs, `docs` the section that says what to do, seen from docs/."""

    name: str
    expr: str
    hold: str
    severity: Literal["critical", "warning"]
    summary: str
    means: str
    docs: str


def _new(counter: str, by: str, within: str) -> str:
    """Return the expression for events of a counter, which may be its first ones."""
    return (
        f"sum by ({by}) (increase({counter}[{within}])) > 0"
        f" or sum by ({by}) ({counter} unless {counter} offset {within}) > 0"
    )


_LIVING = ("penstock_lease_held", "penstock_log_partitions", "penstock_capture_leading")
"""One of these each process reports that feeds or captures, or stands by."""


def _away() -> str:
    """Return the expression for a job of which nothing is left, or for nothing at all from the beginning."""
    lately = " or ".join(f"last_over_time({each}[1d])" for each in _LIVING)
    nothing = " and ".join(f"absent({each})" for each in _LIVING)
    there = f"group by (job, namespace) ({' or '.join(_LIVING)})"
    return f"group by (job, namespace) ({lately}) unless {there} or {nothing} unless on () ({lately})"


FED_HERE = "(penstock_lease_held == 1 or penstock_log_partitions > 0)"
"""The pipelines that a process feeds; on a standby other metrics mean nothing."""

RULES = (
    Rule(
        "PenstockLag",
        f"penstock_lag_seconds > 300 and deriv(penstock_lag_seconds[10m]) > -0.05 and {FED_HERE}",
        "5m",
        "warning",
        "{{ $labels.pipeline }} is {{ $value | humanizeDuration }} behind its source and does not catch up",
        "the index is slower than the source, or waits; or the source has a long way to look through its log before the"
        " next change",
        "operations.md#reduce-the-lag",
    ),
    Rule(
        "PenstockWaiting",
        "penstock_waiting == 1",
        "5m",
        "critical",
        "the index accepts no writes from {{ $labels.instance }}",
        "the index accepts nothing: overloaded, read-only, out of disk, away",
        "operations.md#repair-an-index-that-accepts-nothing",
    ),
    Rule(
        "PenstockDeadLetters",
        _new('penstock_changes_total{outcome="dead_lettered"}', "pipeline", "10m"),
        "0m",
        "warning",
        "{{ $labels.pipeline }} has documents that cannot be indexed",
        "documents that cannot be indexed",
        "dead-letters.md",
    ),
    Rule(
        "PenstockIgnoredDocuments",
        "max by (job, namespace, index, field) (penstock_ignored_documents) > 0",
        "10m",
        "warning",
        "{{ $value }} documents of {{ $labels.index }} cannot be searched by {{ $labels.field }}",
        "documents that cannot be searched by a field",
        "mapping.md#what-cannot-be-searched-is-counted",
    ),
    Rule(
        "PenstockStuck",
        f"penstock_checkpoint_age_seconds > 60 and {FED_HERE}",
        "2m",
        "critical",
        "{{ $labels.pipeline }} has saved no position for {{ $value | humanizeDuration }}",
        "nothing moves",
        "operations.md#find-out-why-nothing-moves",
    ),
    Rule(
        "PenstockPositionLost",
        _new("penstock_positions_lost_total", "pipeline, reason", "1h"),
        "0m",
        "critical",
        "{{ $labels.pipeline }} has lost its position: {{ $labels.reason }}",
        'changes are missing that nobody will send again; with `on_position_lost = "reload"` the load has begun',
        "operations.md#recover-a-lost-position",
    ),
    Rule(
        "PenstockLease",
        "sum by (job, namespace, pipeline) (penstock_lease_held) != 1"
        " unless on (job, namespace, pipeline) penstock_generation_failed == 1",
        "2m",
        "critical",
        "{{ $value }} workers feed {{ $labels.pipeline }}, not one",
        "no worker feeds a pipeline, or two do, which is possible for a moment only",
        "operations.md#start-stop-or-replace-a-worker",
    ),
    Rule(
        "PenstockGroup",
        "sum by (job, namespace, pipeline) (penstock_log_partitions) == 0",
        "2m",
        "critical",
        "no process has partitions of the topics of {{ $labels.pipeline }}",
        "nobody applies what the topics hold: every process stands by, or the brokers are away",
        "operations.md#find-out-why-records-pile-up",
    ),
    Rule(
        "PenstockRecordsPileUp",
        "sum by (job, namespace, pipeline) (penstock_log_lag_records) > 10000"
        " and sum by (job, namespace, pipeline) (deriv(penstock_log_lag_records[10m])) > 0",
        "10m",
        "warning",
        "{{ $value }} records wait for {{ $labels.pipeline }}, more and more of them",
        "the topics grow faster than the index takes them; what they no longer hold is lost for it",
        "operations.md#find-out-why-records-pile-up",
    ),
    Rule(
        "PenstockCapture",
        "sum by (job, namespace, capture) (penstock_capture_leading) != 1",
        "2m",
        "critical",
        "{{ $value }} processes capture {{ $labels.capture }}, not one",
        "no process captures a database: the change log of the source holds the changes, for as long as it does",
        "kafka.md#the-log-of-penstock",
    ),
    Rule(
        "PenstockCaptureLag",
        "penstock_capture_lag_seconds > 300 and penstock_capture_leading == 1",
        "5m",
        "warning",
        "the log of {{ $labels.capture }} is {{ $value | humanizeDuration }} behind its source",
        "the brokers are slower than the source, or away",
        "kafka.md#the-log-of-penstock",
    ),
    Rule(
        "PenstockCapturePositionLost",
        _new("penstock_capture_positions_lost_total", "capture, reason", "1h"),
        "0m",
        "critical",
        "changes of {{ $labels.capture }} are missing in the log: {{ $labels.reason }}",
        "the change log of the source was too short, or a topic was deleted; apply loads the collections again",
        "kafka.md#the-log-of-penstock",
    ),
    Rule(
        "PenstockAway",
        _away(),
        "2m",
        "critical",
        "Prometheus finds no process of penstock, or none of this job any more",
        "no process of a job (`run`, `apply` or `capture`) runs, or none can be reached by Prometheus; a job that was"
        " removed is reported for a day",
        "operations.md#start-stop-or-replace-a-worker",
    ),
    Rule(
        "PenstockGenerationFailed",
        "penstock_generation_failed == 1",
        "1m",
        "warning",
        "the new index of {{ $labels.pipeline }} has failed and is not updated",
        "a reindex has failed; the index that people search goes on",
        "reindex.md#whatever-ends-it-run-it-again",
    ),
    Rule(
        "PenstockUnserved",
        "max by (job, namespace, collection) (penstock_collection_unserved) == 1",
        "10m",
        "warning",
        "{{ $labels.collection }} cannot be served",
        "a collection does not exist yet, has no change stream, or cannot have its index",
        "collections.md#a-collection-that-cannot-be-served-yet",
    ),
    Rule(
        "PenstockSearchedElsewhere",
        "penstock_searched_elsewhere > 0 and penstock_lease_held == 1",
        "5m",
        "warning",
        "people search an index that {{ $labels.pipeline }} does not update",
        "a read alias points to an index that penstock does not update",
        "reindex.md",
    ),
    Rule(
        "PenstockReactionStopped",
        "penstock_reaction_stopped == 1",
        "1m",
        "critical",
        "the reaction {{ $labels.reaction }} has stopped by an error",
        "a reaction has stopped by an error; indexes and other reactions go on",
        "reactions.md",
    ),
    Rule(
        "PenstockReactionWaiting",
        "penstock_reaction_waiting == 1",
        "5m",
        "warning",
        "the target of the reaction {{ $labels.reaction }} accepts nothing",
        "the target of a reaction is away, or asks to wait",
        "reactions.md",
    ),
    Rule(
        "PenstockReactionDeadLetters",
        _new('penstock_reaction_events_total{outcome="dead_lettered"}', "reaction", "10m"),
        "0m",
        "warning",
        "the target of the reaction {{ $labels.reaction }} has refused events",
        "events that the target refused",
        "reactions.md",
    ),
)
