"""`penstock apply`."""

from typing import Annotated

import typer

from penstock.cli.extras import not_installed
from penstock.cli.service import serve
from penstock.runtime.intervals import Intervals
from penstock.settings import Settings

_PARTS = ("penstock.delivery.topics", "penstock.kafka")
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
) -> None:
    """Apply the changes that topics of Apache Kafka bring to the indexes, until stopped.

    Each index has a consumer group: start the command several times, on several machines, and the processes share its
    partitions; `--processes` starts several at once. The first start reads the topics from their start; later ones go
    on where the group is. `penstock load` copies what the topics no longer hold. SIGTERM and Ctrl-C stop it cleanly.
    """
    try:
        from penstock.delivery.topics import service
    except ModuleNotFoundError as error:
        raise not_installed(
            error, "penstock apply", extra="kafka", packages=("confluent_kafka",), parts=_PARTS
        ) from None

    if processes is None:
        serve("apply", service.run, settings, intervals)
    else:
        from penstock.cli.processes import serve_in_processes

        serve_in_processes(processes, "apply", service.run, settings, intervals)
