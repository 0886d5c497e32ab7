"""The metrics, declared once: Prometheus, docs/metrics.md and `status` are made from this table.

A name is a type (`MetricName`), so a misspelt one fails the type check. Nothing is global; the door makes one `Metrics`
and passes it to what it builds.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from penstock.model import Counts

MetricName = Literal[
    "penstock_changes_total",
    "penstock_batches_total",
    "penstock_bulk_requests_total",
    "penstock_bulk_bytes_total",
    "penstock_waits_total",
    "penstock_waiting",
    "penstock_second_attempts_total",
    "penstock_index_fields",
    "penstock_ignored_documents",
    "penstock_source_resumes_total",
    "penstock_positions_lost_total",
    "penstock_checkpoints_total",
    "penstock_checkpoint_age_seconds",
    "penstock_lag_seconds",
    "penstock_write_seconds",
    "penstock_load_documents_total",
    "penstock_load_ranges",
    "penstock_load_ranges_done",
    "penstock_lease_held",
    "penstock_generation_failed",
    "penstock_searched_elsewhere",
    "penstock_collection_unserved",
    "penstock_reaction_events_total",
    "penstock_reaction_waits_total",
    "penstock_reaction_waiting",
    "penstock_reaction_pending",
    "penstock_reaction_lag_seconds",
    "penstock_reaction_stopped",
    "penstock_process_restarts_total",
    "penstock_capture_events_total",
    "penstock_capture_transactions_total",
    "penstock_capture_restarts_total",
    "penstock_capture_positions_lost_total",
    "penstock_capture_lag_seconds",
    "penstock_capture_leading",
    "penstock_log_partitions",
    "penstock_log_lag_records",
]


class Metric(NamedTuple):
    """One metric: its kind for Prometheus, its help text, its labels, and the values of the last one where known."""

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ("pipeline",)
    values: tuple[str, ...] = ()


METRICS: dict[MetricName, Metric] = {
    "penstock_changes_total": Metric(
        "counter",
        "Changes by outcome: written, folded, superseded, filtered, dead_lettered, control.",
        ("pipeline", "outcome"),
        ("written", "folded", "superseded", "filtered", "dead_lettered", "control"),
    ),
    "penstock_batches_total": Metric("counter", "Batches completed."),
    "penstock_bulk_requests_total": Metric(
        "counter", "Bulk requests by HTTP status; `lost` for those without a response.", ("status",)
    ),
    "penstock_bulk_bytes_total": Metric("counter", "Bytes of bulk requests before compression.", ()),
    "penstock_waits_total": Metric(
        "counter",
        "Times a request waited because the index was overloaded, blocked or unavailable, by reason.",
        ("reason",),
    ),
    "penstock_waiting": Metric("gauge", "1 while the index accepts no writes and the pipeline waits for it.", ()),
    "penstock_second_attempts_total": Metric(
        "counter",
        "Documents sent again after the index refused one of their fields, by reason: `dropped` (an ingest"
        " pipeline drops the document: it was deleted), `field` (the field was left out),"
        " `full` (the index accepts no new fields), `mixed` (a new field was mapped as text), `shapes` (two requests at"
        " once).",
        ("reason",),
    ),
    "penstock_index_fields": Metric(
        "gauge", "Number of fields in an index, up to `max_fields`; counted once a minute.", ("index",)
    ),
    "penstock_ignored_documents": Metric(
        "gauge",
        "Documents that cannot be searched by a field because its value does not fit the mapping (`_ignored`), by"
        " field; counted once a minute.",
        ("index", "field"),
    ),
    "penstock_source_resumes_total": Metric("counter", "Times a change stream was reopened after a fault."),
    "penstock_positions_lost_total": Metric(
        "counter",
        "Lost positions, by reason: history, index_deleted, index_replaced, alias_moved.",
        ("pipeline", "reason"),
        ("history", "index_deleted", "index_replaced", "alias_moved"),
    ),
    "penstock_checkpoints_total": Metric("counter", "Positions of the stream saved."),
    "penstock_checkpoint_age_seconds": Metric("gauge", "Seconds since the position of the stream was last saved."),
    "penstock_lag_seconds": Metric("gauge", "Seconds between the source's clock and the position, even when idle."),
    "penstock_write_seconds": Metric(
        "histogram", "Seconds from reading a batch at the source until the index acknowledged it."
    ),
    "penstock_load_documents_total": Metric("counter", "Documents read by loads."),
    "penstock_load_ranges": Metric("gauge", "Ranges of the load that `penstock apply` processes share."),
    "penstock_load_ranges_done": Metric("gauge", "Ranges of the shared load that are done, by all processes."),
    "penstock_lease_held": Metric("gauge", "1 while this worker holds the pipeline's lease, 0 on standby."),
    "penstock_generation_failed": Metric(
        "gauge", "1 while a generation that is not searched has failed and is not updated; the others go on."
    ),
    "penstock_searched_elsewhere": Metric(
        "gauge", "Collections whose read alias points to an index that penstock does not update."
    ),
    "penstock_collection_unserved": Metric(
        "gauge",
        "1 while a collection cannot be served: it does not exist yet, has no change stream, or cannot have its index;"
        " the others go on.",
        ("collection",),
    ),
    "penstock_reaction_events_total": Metric(
        "counter",
        "Events of a reaction by outcome: accepted, dead_lettered, filtered (a change that it does not want).",
        ("reaction", "outcome"),
        ("accepted", "dead_lettered", "filtered"),
    ),
    "penstock_reaction_waits_total": Metric(
        "counter", "Times a reaction waited because its target gave no answer, or asked to wait.", ("reaction",)
    ),
    "penstock_reaction_waiting": Metric("gauge", "1 while a reaction waits for its target.", ("reaction",)),
    "penstock_reaction_pending": Metric(
        "gauge", "Events that were read and are not accepted yet; a reaction reads about 1,000 ahead.", ("reaction",)
    ),
    "penstock_reaction_lag_seconds": Metric(
        "gauge",
        "Age of a reaction's oldest event that is not accepted yet; without one, as `penstock_lag_seconds`.",
        ("reaction",),
    ),
    "penstock_reaction_stopped": Metric(
        "gauge", "1 while a reaction has stopped by an error; indexes and other reactions go on.", ("reaction",)
    ),
    "penstock_log_partitions": Metric(
        "gauge", "Partitions of topics that this process has, of those that feed an index; 0 while it stands by."
    ),
    "penstock_log_lag_records": Metric(
        "gauge", "Records in these partitions that are not yet safely in the index; the sum is that of the group."
    ),
    "penstock_process_restarts_total": Metric(
        "counter", "Times a process of `--processes` had ended by itself and was started again.", ("process",)
    ),
    "penstock_capture_events_total": Metric(
        "counter",
        "Events of the source by what capture made of them: upsert, delete, unresolved (a record without its document,"
        " which apply reads from the source), control, left_out (of a collection that is not captured).",
        ("capture", "outcome"),
        ("upsert", "delete", "unresolved", "control", "left_out"),
    ),
    "penstock_capture_transactions_total": Metric("counter", "Transactions committed into the log.", ("capture",)),
    "penstock_capture_restarts_total": Metric(
        "counter",
        "Times capture began again from the newest mark, because a transaction failed or another process took over.",
        ("capture",),
    ),
    "penstock_capture_positions_lost_total": Metric(
        "counter",
        "Times that changes are missing in the log, by reason: source (its change log was too short), topic (deleted).",
        ("capture", "reason"),
        ("source", "topic"),
    ),
    "penstock_capture_lag_seconds": Metric(
        "gauge", "Seconds between the source's clock and what the log holds, even when idle.", ("capture",)
    ),
    "penstock_capture_leading": Metric("gauge", "1 while this process captures, 0 while it stands by.", ("capture",)),
}

PROCESS_METRICS: dict[str, Metric] = {
    "process_virtual_memory_bytes": Metric("gauge", "Virtual memory size in bytes.", ()),
    "process_resident_memory_bytes": Metric("gauge", "Resident memory size in bytes.", ()),
    "process_start_time_seconds": Metric("gauge", "Start time of the process, in seconds since 1970.", ()),
    "process_cpu_seconds_total": Metric("counter", "User and system CPU time spent, in seconds.", ()),
    "process_open_fds": Metric("gauge", "Number of open files and connections.", ()),
    "process_max_fds": Metric("gauge", "Maximum number of open files and connections.", ()),
}
"""What prometheus_client adds about the process itself, on Linux."""

REPORTED: dict[str, Metric] = {**{str(name): metric for name, metric in METRICS.items()}, **PROCESS_METRICS}
"""All that /metrics has."""

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class SettledBatch(NamedTuple):
    """A batch that is settled: what a trace shows of it. Times are of the monotonic clock.

    `written`: when each bulk request of it began and was acknowledged. `size`: bytes of the documents written.
    """

    pipeline: str
    kind: Literal["stream", "load"]
    read_at: float
    written: Sequence[tuple[float, float]]
    counts: Counts
    size: int


class Metrics:
    """The values of one process, in a registry of their own.

    `on_batch`, if set, gets each batch that is settled; it neither waits nor raises.
    """

    def __init__(self) -> None:
        self.on_batch: Callable[[SettledBatch], None] | None = None
        self.registry = CollectorRegistry()
        self._counters: dict[MetricName, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        for name in get_args(MetricName):
            metric = METRICS[name]
            if metric.kind == "counter":
                self._counters[name] = Counter(name, metric.help, metric.labels, registry=self.registry)
            elif metric.kind == "gauge":
                self._gauges[name] = Gauge(name, metric.help, metric.labels, registry=self.registry)
            else:
                self._histograms[name] = Histogram(
                    name, metric.help, metric.labels, registry=self.registry, buckets=_BUCKETS
                )
        ProcessCollector(registry=self.registry)

    def exposition(self) -> bytes:
        """Return all values as the text that Prometheus reads."""
        return generate_latest(self.registry)

    def begin(self, label: Literal["pipeline", "reaction", "capture"], value: str) -> None:
        """Begin the counters of one of these at 0, so that the first event is seen as a rise."""
        for name, counter in self._counters.items():
            _, _, labels, values = METRICS[name]
            if labels[:1] == (label,) and len(labels) == 1:
                counter.labels(value)
            elif labels[:1] == (label,):
                for each in values:
                    counter.labels(value, each)

    def count(self, name: MetricName, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        counter = self._counters[name]
        (counter.labels(**labels) if labels else counter).inc(amount)

    def set(self, name: MetricName, value: float, **labels: str) -> None:
        """Set a gauge."""
        gauge = self._gauges[name]
        (gauge.labels(**labels) if labels else gauge).set(value)

    def forget(self, label: str, value: str) -> None:
        """Remove the gauges of what is no longer there; counters stay, since a counter never goes down."""
        for name in get_args(MetricName):
            metric = METRICS[name]
            if metric.kind == "gauge" and label in metric.labels:
                gauge = self._gauges[name]
                its = [each.labels for family in gauge.collect() for each in family.samples]
                for labels in its:
                    if labels[label] == value:
                        gauge.remove(*(labels[each] for each in metric.labels))

    def observe(self, name: MetricName, value: float, **labels: str) -> None:
        """Add one observation to a histogram."""
        histogram = self._histograms[name]
        (histogram.labels(**labels) if labels else histogram).observe(value)

    def value(self, name: MetricName, **labels: str) -> float:
        """Return the present value of a counter or gauge; 0 if it was never set."""
        return self.registry.get_sample_value(name, labels) or 0.0
