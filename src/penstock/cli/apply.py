"""`penstock apply`."""

import signal

import typer

from penstock.cli.extras import not_installed
from penstock.cli.preparation import set_up_process
from penstock.cli.signals import stop_signals
from penstock.runtime.intervals import Intervals
from penstock.settings import Settings

_PARTS = ("penstock.delivery.topics", "penstock.kafka")


def apply(settings: Settings, intervals: Intervals) -> None:
    """Apply the changes that topics of Apache Kafka bring to the indexes, until stopped.

    Each index has a consumer group: start the command several times, and the processes share its partitions. The
    first start reads the topics from their start; later ones go on where the group is. `penstock load` copies what the
    topics no longer hold. SIGTERM and Ctrl-C stop it cleanly.
    """
    import structlog

    from penstock.observe.health import Health, serving
    from penstock.observe.metrics import Metrics

    try:
        from penstock.delivery.topics import service
    except ModuleNotFoundError as error:
        raise not_installed(
            error, "penstock apply", extra="kafka", packages=("confluent_kafka",), parts=_PARTS
        ) from None

    set_up_process(settings)
    log = structlog.get_logger(__name__)
    metrics, health = Metrics(), Health(unhealthy_lag_s=settings.observe.unhealthy_lag_s)
    with stop_signals() as signals, serving(settings.observe.listen, metrics=metrics, health=health):
        log.info("apply begins", collections=[each.namespace for each in settings.collections])
        service.run(settings, stop=signals.stop, metrics=metrics, health=health, intervals=intervals)
    log.info("apply ends", signal=signal.Signals(signals.received).name if signals.received else None)
    raise typer.Exit(signals.exit_code(endless=True))
