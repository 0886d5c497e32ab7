"""`penstock load`."""

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from penstock.cli.named_collections import declared
from penstock.cli.preparation import prepare_to_work
from penstock.cli.signals import stop_signals
from penstock.cli.tables import say
from penstock.observe.wording import counted
from penstock.runtime.extras import needs_kafka
from penstock.runtime.intervals import Intervals
from penstock.settings import Settings
from penstock.worker.progress import LoadResult

_ENOUGH_FOR_A_RATE = 100
Load = Callable[..., list[LoadResult]]


def load(
    settings: Settings,
    intervals: Intervals,
    namespaces: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAMESPACE]...", help="Only these of the declared collections.", show_default=False),
    ] = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Load collections again that are loaded, and remove documents that are gone."),
    ] = False,
) -> None:
    """Copy the collections into their indexes once, and print the rate, CPU time and memory used.

    The command first saves the position of the change stream, so that `penstock run` continues from there without a
    gap. A load that was stopped resumes where it stopped.

    A collection that topics of Kafka feed is loaded by this command and by all `penstock apply` processes together.
    Ctrl-C ends this command's part only, and the next one shows the progress again.
    """
    from penstock.cli.progress import progress_display
    from penstock.observe.metrics import Metrics

    settings = prepare_to_work(settings)
    only = declared(settings, namespaces or [])
    is_shared = any(settings.has_topics(each) for each in only)
    load_them = _shared_load() if is_shared else _load()
    with stop_signals() as signals, progress_display() as progress:
        results = load_them(
            settings,
            stop=signals.stop,
            metrics=Metrics(),
            progress=progress,
            only=only,
            again=again,
            intervals=intervals,
        )
        for result in results:
            progress.say(_summary(result))
            if result.ignored and result.ignored.documents:
                progress.say(f"{result.namespace}: {result.ignored}; see what does not fit with: penstock check")
        for namespace in _untouched(settings, only, results) if not signals.received else ():
            progress.say(f"{namespace}: already loaded; load it again with --again")
    if signals.received:
        others = "; `penstock apply` processes go on with a load that they share" if is_shared else ""
        say(f"stopped; the next `penstock load` resumes from here{others}", err=True)
    raise typer.Exit(signals.exit_code(endless=False))


def _load() -> Load:
    from penstock.worker import worker

    return worker.load


def _shared_load() -> Load:
    with needs_kafka("penstock load of a collection that topics feed"):
        from penstock.delivery.shared_load import service
    return service.load


def _untouched(settings: Settings, only: frozenset[str], results: Sequence[LoadResult]) -> list[str]:
    """Return the collections that were asked for but did not need a load."""
    done = {result.namespace for result in results}
    return [each.namespace for each in settings.collections if each.namespace in only - done]


def _summary(result: LoadResult) -> str:
    """Summarise a load in one line; without a rate if there were too few documents to measure one."""
    parts = [f"{result.namespace}: {counted(result.documents, 'document')} in {result.seconds:.1f} s"]
    if result.documents >= _ENOUGH_FOR_A_RATE:
        parts.append(f"{result.documents / max(result.seconds, 1e-6):,.0f} a second")
    if result.ranges:
        parts.append(f"{counted(result.ranges, 'range')}, shared with the `penstock apply` processes")
    else:
        if result.documents >= _ENOUGH_FOR_A_RATE:
            parts.append(f"{result.cpu_s / result.documents * 1e6:.1f} us of CPU each")
        parts.append(f"peak memory {result.peak_memory_bytes / 2**20:,.0f} MiB")
    if result.counts.dead_lettered:
        parts.append(counted(result.counts.dead_lettered, "dead letter"))
    return ", ".join(parts)
