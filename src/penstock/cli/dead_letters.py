"""`penstock dead-letters ...`."""

from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.interrupts import stop_signals
from penstock.counted import counted
from penstock.errors import SettingsError
from penstock.settings import Settings

# ruff: noqa: PLC0415  What a command needs is imported when it runs, so that --help and a wrong setting answer at once.


if TYPE_CHECKING:
    from penstock.operations.replaying import Replayed


def replay(
    settings: Settings,
    queue: Annotated[
        bool, typer.Option("--queue", help="The keys that the sync function parked: --pipeline-parking-queue.")
    ] = False,
) -> None:
    """Write what could not be written before: the present state of each document is read from the source.

    A document that is gone by now is deleted from the index. May be repeated, and stopped with Ctrl-C: what is not done
    stays where it is.
    """
    from penstock.cli.progress import progress_display
    from penstock.logs import set_up_logs
    from penstock.operations.replaying import replay_parked

    if not queue:
        raise SettingsError("say what to replay: --queue, the keys that the sync function parked")
    set_up_logs(settings.observe)

    with stop_signals() as signals, progress_display() as progress:

        def tell(so_far: "Replayed") -> None:
            if so_far.messages % 10 == 0 and so_far.messages:
                progress.say(f"{_summary(so_far)} so far")

        replayed = replay_parked(settings, stop=signals.stop, on_message=tell)
        progress.say(_summary(replayed))
        if replayed.foreign:
            progress.say(f"{counted(replayed.foreign, 'message')} not written by penstock stay in the queue")
    if signals.received:
        typer.echo("stopped; what was not replayed is still in the queue", err=True)
    raise typer.Exit(signals.exit_code(endless=False))


def _summary(replayed: "Replayed") -> str:
    counts = replayed.counts
    parts = [
        f"{counted(counts.read, 'parked key')} of {counted(replayed.messages, 'message')}",
        f"{counts.written:,} written",
    ]
    parts += [f"{counts.superseded:,} superseded"] if counts.superseded else []
    parts += [f"{counts.control:,} without effect"] if counts.control else []
    parts += [counted(counts.dead_lettered, "dead letter")] if counts.dead_lettered else []
    return ", ".join(parts)
