"""`penstock run`."""

import signal

import typer

from penstock.cli.console import console_server
from penstock.cli.otlp import otlp_export
from penstock.cli.preparation import set_up_process
from penstock.cli.signals import stop_signals
from penstock.runtime.intervals import Intervals
from penstock.settings import Settings


def run(settings: Settings, intervals: Intervals) -> None:
    """Load the collections that are not loaded yet, then follow their changes until stopped.

    SIGTERM and Ctrl-C stop the worker cleanly; the next start resumes where it stopped. A second Ctrl-C ends it at
    once.
    """
    import structlog

    from penstock.observe.embedded_metrics import publishing
    from penstock.observe.health import Health, serving
    from penstock.observe.metrics import Metrics
    from penstock.worker import worker

    set_up_process(settings)
    log = structlog.get_logger(__name__)
    metrics, health = Metrics(), Health(unhealthy_lag_s=settings.observe.unhealthy_lag_s)
    with (
        stop_signals() as signals,
        serving(settings.observe.listen, metrics=metrics, health=health),
        publishing(settings.observe.embedded_metrics, metrics),
        otlp_export(settings, metrics, every_s=intervals.export_s),
        console_server(settings, settings.console.listen, intervals),
    ):
        log.info("run begins", collections=[each.namespace for each in settings.collections])
        worker.run(settings, stop=signals.stop, metrics=metrics, health=health, intervals=intervals)
    log.info("run ends", signal=signal.Signals(signals.received).name if signals.received else None)
    raise typer.Exit(signals.exit_code(endless=True))
