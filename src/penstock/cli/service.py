"""What every command that works until it is stopped has around its work."""

import signal
from typing import TYPE_CHECKING, NoReturn, Protocol

import typer

from penstock.cli.console import console_server
from penstock.cli.otlp import otlp_export
from penstock.cli.preparation import set_up_process
from penstock.cli.signals import stop_signals
from penstock.runtime.intervals import Intervals
from penstock.settings import Settings

if TYPE_CHECKING:
    import threading

    from penstock.observe.health import Health
    from penstock.observe.metrics import Metrics


class Work(Protocol):
    """Works until `stop` is set; raises what ends it for good."""

    def __call__(
        self,
        settings: Settings,
        *,
        stop: "threading.Event",
        metrics: "Metrics",
        health: "Health",
        intervals: Intervals,
    ) -> None: ...


def serve(
    command: str, work: Work, settings: Settings, intervals: Intervals, *, process: int | None = None
) -> NoReturn:
    """Work until a signal, with what the settings ask for beside it: health, metrics, their exports, the console.

    `process` is the number of this process among several of one command; log lines have it.

    Raises typer.Exit, and what the work raises.
    """
    import structlog

    from penstock.observe.embedded_metrics import publishing
    from penstock.observe.health import Health, serving
    from penstock.observe.metrics import Metrics

    set_up_process(settings, process=process)
    log = structlog.get_logger(__name__)
    metrics, health = Metrics(), Health(unhealthy_lag_s=settings.observe.unhealthy_lag_s)
    with (
        stop_signals() as signals,
        serving(settings.observe.listen, exposition=metrics.exposition, report=health.report),
        publishing(settings.observe.embedded_metrics, metrics),
        otlp_export(settings, metrics, every_s=intervals.export_s),
        console_server(settings, settings.console.listen, intervals),
    ):
        log.info(f"{command} begins", collections=[each.namespace for each in settings.collections])
        work(settings, stop=signals.stop, metrics=metrics, health=health, intervals=intervals)
    log.info(f"{command} ends", signal=signal.Signals(signals.received).name if signals.received else None)
    raise typer.Exit(signals.exit_code(endless=True))
