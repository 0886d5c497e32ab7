"""`penstock apply`."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from penstock.cli.preparation import set_up_process
from penstock.cli.service import serve
from penstock.cli.signals import stop_signals
from penstock.runtime.extras import needs_kafka
from penstock.runtime.intervals import Intervals
from penstock.settings import Settings

_MOST_PROCESSES = 256


def apply(
    settings: Settings,
    intervals: Intervals,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            min=1,
            max=_MOST_PROCESSES,
            help="Work in this number of processes, which share the partitions; one that ends by itself is started"
            " again.",
        ),
    ] = None,
    from_time: Annotated[
        datetime | None,
        typer.Option(
            "--from-time",
            formats=["%Y-%m-%dT%H:%MZ", "%Y-%m-%dT%H:%M:%SZ"],
            metavar="TIME",
            help="Apply again what came since this time (UTC), such as 2026-11-29T12:00Z. It changes nothing that is"
            " right. All processes must be stopped.",
        ),
    ] = None,
) -> None:
    """Apply the changes that topics of Apache Kafka bring to the indexes, until stopped.

    Each index has a consumer group: start the command several times, on several machines, and the processes share its
    partitions; `--processes` starts several at once. What `penstock capture` writes is loaded first. Of topics that
    others fill, the first start reads all, and `penstock load` copies what they no longer hold; later starts go on
    where the group is. SIGTERM and Ctrl-C stop it cleanly.
    """
    with needs_kafka("penstock apply"):
        from penstock.delivery.topics import service

    if from_time:
        from penstock.delivery.topics.from_time import go_back

        set_up_process(settings)
        with stop_signals() as signals:
            go_back(settings, from_time.replace(tzinfo=UTC), stop=signals.stop, intervals=intervals)
    if processes is None:
        serve("apply", service.run, settings, intervals)
    else:
        from penstock.cli.processes import serve_in_processes

        serve_in_processes(processes, "apply", service.run, settings, intervals)
