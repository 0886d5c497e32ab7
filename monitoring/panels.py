"""The dashboard: grafana.json is made from this.

Expressions are plain: the choice of job and pipeline on top is added to each metric that has the label.
"""

from typing import Literal, NamedTuple

from monitoring.rules import FED_HERE

Unit = Literal["short", "s", "bytes", "Bps", "cps", "percentunit"]


class Query(NamedTuple):
    """One expression of a panel. `legend` names labels in double braces."""

    expr: str
    legend: str


class Panel(NamedTuple):
    """One panel. `wrong_above`: shown in red above this."""

    title: str
    description: str
    queries: tuple[Query, ...]
    unit: Unit = "short"
    kind: Literal["timeseries", "stat"] = "timeseries"
    width: int = 8
    stacked: bool = False
    wrong_above: float | None = None


class Row(NamedTuple):
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


_RATE = "$__rate_interval"


def _rate(counter: str, by: str) -> Query:
    """Return the rate of a counter by one label."""
    return Query(f"sum by ({by}) (rate({counter}[{_RATE}]))", "{{" + by + "}}")


def _quantile(share: float) -> Query:
    """Return a quantile of the time that writes take."""
    within = f"sum by (le) (rate(penstock_write_seconds_bucket[{_RATE}]))"
    return Query(f"histogram_quantile({share}, {within})", f"p{share * 100:.0f}")


def _none_expected(title: str, description: str, expr: str, legend: str) -> Panel:
    """Return a number that is shown in red unless it is 0."""
    return Panel(title, description, (Query(expr, legend),), kind="stat", width=4, wrong_above=1)


ROWS = (
    Row(
        "In step?",
        (
            Panel(
                "Largest lag",
                "Of the pipelines that a worker feeds: seconds between the source's clock and the position.",
                (Query(f"max(penstock_lag_seconds and {FED_HERE})", "lag"),),
                "s",
                "stat",
                4,
                wrong_above=300,
            ),
            _none_expected(
                "Pipelines without a worker",
                "No worker holds their lease.",
                "count(sum by (pipeline) (penstock_lease_held) == 0) or vector(0)",
                "pipelines",
            ),
            _none_expected(
                "Dead letters in a day",
                "Documents that the index refused for good.",
                'sum(increase(penstock_changes_total{outcome="dead_lettered"}[1d])) or vector(0)',
                "dead letters",
            ),
            _none_expected(
                "Positions lost in a day",
                "Each one means that a load runs again, or has to.",
                "sum(increase(penstock_positions_lost_total[1d])) or vector(0)",
                "losses",
            ),
            _none_expected(
                "Collections not served",
                "They do not exist yet, have no change stream, or cannot have their index.",
                "count(max by (collection) (penstock_collection_unserved) == 1) or vector(0)",
                "collections",
            ),
            _none_expected(
                "Workers that wait", "The index accepts no writes at present.", "sum(penstock_waiting)", "workers"
            ),
            Panel(
                "Lag",
                "Seconds between the source's clock and the position, also while the source is idle.",
                (Query(f"max by (pipeline) (penstock_lag_seconds and {FED_HERE})", "{{pipeline}}"),),
                "s",
                width=12,
            ),
            Panel(
                "Age of the checkpoint",
                "Seconds since the position was last saved. Above a minute nothing moves.",
                (
                    Query(
                        f"max by (pipeline) (penstock_checkpoint_age_seconds and {FED_HERE})",
                        "{{pipeline}}",
                    ),
                ),
                "s",
                width=12,
            ),
        ),
    ),
    Row(
        "Throughput",
        (
            Panel(
                "Changes by outcome",
                "What became of each change that was read.",
                (_rate("penstock_changes_total", "outcome"),),
                "cps",
                width=12,
                stacked=True,
            ),
            Panel(
                "Changes by pipeline",
                "All outcomes together.",
                (_rate("penstock_changes_total", "pipeline"),),
                "cps",
                width=12,
            ),
            Panel(
                "Time of a write",
                "From reading a batch at the source until the index acknowledged it.",
                (_quantile(0.5), _quantile(0.99)),
                "s",
            ),
            Panel(
                "Changes in a batch",
                "The average.",
                (
                    Query(
                        f"sum by (pipeline) (rate(penstock_changes_total[{_RATE}]))"
                        f" / sum by (pipeline) (rate(penstock_batches_total[{_RATE}]))",
                        "{{pipeline}}",
                    ),
                ),
            ),
            Panel(
                "Streams opened again, positions saved",
                "A stream is opened again after a fault of the source or the network.",
                (
                    Query(f"sum(rate(penstock_source_resumes_total[{_RATE}]))", "opened again"),
                    Query(f"sum(rate(penstock_checkpoints_total[{_RATE}]))", "saved"),
                ),
                "cps",
            ),
        ),
    ),
    Row(
        "Index",
        (
            Panel(
                "Bulk requests by status",
                "`lost`: no response came.",
                (_rate("penstock_bulk_requests_total", "status"),),
                "cps",
                stacked=True,
            ),
            Panel(
                "Bytes sent",
                "Bulk requests, before compression.",
                (Query(f"sum(rate(penstock_bulk_bytes_total[{_RATE}]))", "bytes"),),
                "Bps",
            ),
            Panel(
                "Waits by reason",
                "Times a request waited because the index was overloaded, blocked or unavailable.",
                (_rate("penstock_waits_total", "reason"),),
                "cps",
            ),
            Panel(
                "Second attempts by reason",
                "Documents sent again after the index refused one of their fields.",
                (_rate("penstock_second_attempts_total", "reason"),),
                "cps",
            ),
            Panel(
                "Fields of an index",
                "An index takes no new ones above `max_fields`.",
                (Query("max by (index) (penstock_index_fields)", "{{index}}"),),
            ),
            Panel(
                "Documents that cannot be searched by a field",
                "The field's value does not fit the mapping.",
                (Query("max by (index, field) (penstock_ignored_documents) > 0", "{{index}} {{field}}"),),
            ),
        ),
    ),
    Row(
        "Load",
        (
            Panel(
                "Documents loaded",
                "Read by the first copy of a collection, or one after a lost position.",
                (_rate("penstock_load_documents_total", "pipeline"),),
                "cps",
                width=8,
            ),
            Panel(
                "Shared loads",
                "The share of the ranges of a load that are done, by all processes.",
                (
                    Query(
                        "max by (pipeline) (penstock_load_ranges_done / (penstock_load_ranges > 0))",
                        "{{pipeline}}",
                    ),
                ),
                "percentunit",
                width=8,
            ),
            Panel(
                "Generations that failed, aliases that point elsewhere",
                "A new index that is not updated; a read alias on an index that penstock does not update.",
                (
                    Query("max by (pipeline) (penstock_generation_failed) == 1", "failed: {{pipeline}}"),
                    Query("max by (pipeline) (penstock_searched_elsewhere) > 0", "elsewhere: {{pipeline}}"),
                ),
                width=8,
            ),
        ),
    ),
    Row(
        "Topics of Kafka",
        (
            Panel(
                "Records behind",
                "In the topics and not yet safely in the index.",
                (Query("sum by (pipeline) (penstock_log_lag_records)", "{{pipeline}}"),),
                width=12,
            ),
            Panel(
                "Partitions of each process",
                "A process without partitions stands by.",
                (Query("penstock_log_partitions", "{{instance}} {{pipeline}}"),),
                width=12,
            ),
        ),
    ),
    Row(
        "Reactions",
        (
            Panel(
                "Events by outcome",
                "Filtered: a change that the reaction does not want.",
                (_rate("penstock_reaction_events_total", "outcome"),),
                "cps",
                width=6,
                stacked=True,
            ),
            Panel(
                "Lag of reactions",
                "Age of the oldest event that is not accepted yet.",
                (Query("max by (reaction) (penstock_reaction_lag_seconds)", "{{reaction}}"),),
                "s",
                width=6,
            ),
            Panel(
                "Pending events",
                "Read and not accepted yet.",
                (Query("max by (reaction) (penstock_reaction_pending)", "{{reaction}}"),),
                width=6,
            ),
            Panel(
                "Waiting or stopped",
                "A target gives no answer, or the reaction has stopped by an error.",
                (
                    Query("max by (reaction) (penstock_reaction_waiting) == 1", "waiting: {{reaction}}"),
                    Query("max by (reaction) (penstock_reaction_stopped) == 1", "stopped: {{reaction}}"),
                    Query(
                        f"sum by (reaction) (rate(penstock_reaction_waits_total[{_RATE}])) > 0", "waits: {{reaction}}"
                    ),
                ),
                width=6,
            ),
        ),
    ),
    Row(
        "Capture into Kafka",
        (
            Panel(
                "Captured events by outcome",
                "Unresolved: a record without its document. Left out: of a collection that is not captured.",
                (_rate("penstock_capture_events_total", "outcome"),),
                "cps",
                width=6,
                stacked=True,
            ),
            Panel(
                "Lag of the log",
                "Between the source's clock and what the log holds.",
                (Query("max by (capture) (penstock_capture_lag_seconds)", "{{capture}}"),),
                "s",
                width=6,
            ),
            Panel(
                "Transactions",
                "Committed each second; a transaction ends at once when nothing more is ready.",
                (_rate("penstock_capture_transactions_total", "capture"),),
                "cps",
                width=6,
            ),
            Panel(
                "Who captures, what went wrong",
                "One process captures each database. A restart is harmless; a lost position is not.",
                (
                    Query("sum by (capture) (penstock_capture_leading)", "captures: {{capture}}"),
                    Query(
                        f"sum by (capture) (rate(penstock_capture_restarts_total[{_RATE}])) > 0",
                        "restarts: {{capture}}",
                    ),
                    Query(
                        "sum by (capture, reason) (increase(penstock_capture_positions_lost_total[1h])) > 0",
                        "changes missing: {{capture}} {{reason}}",
                    ),
                ),
                width=6,
            ),
        ),
    ),
    Row(
        "Process",
        (
            Panel(
                "Memory",
                "Resident memory of each worker.",
                (Query("process_resident_memory_bytes", "{{instance}}"),),
                "bytes",
            ),
            Panel(
                "CPU",
                "Share of one core.",
                (Query(f"rate(process_cpu_seconds_total[{_RATE}])", "{{instance}}"),),
                "percentunit",
            ),
            Panel(
                "Open files",
                "Connections count as files.",
                (Query("process_open_fds", "{{instance}}"),),
            ),
            Panel(
                "Processes started again",
                "A process of `--processes` that ended by itself.",
                (Query("increase(penstock_process_restarts_total[$__rate_interval])", "{{instance}} {{process}}"),),
            ),
        ),
    ),
)
