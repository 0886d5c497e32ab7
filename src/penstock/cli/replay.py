"""`penstock dead-letters replay`."""

import threading
import time
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.letter_filters import Collections, Document, NewerThan, OlderThan, ReactionName, Reason, wanted
from penstock.cli.preparation import prepare_to_work, set_up_process
from penstock.cli.signals import stop_signals
from penstock.errors import SettingsError
from penstock.observe.wording import counted
from penstock.runtime.intervals import Intervals
from penstock.settings import Settings

if TYPE_CHECKING:
    from penstock.delivery.replay_queue import Replayed
    from penstock.opensearch.dead_letters.search import LetterFilter
    from penstock.operations.dead_letters.replay import ReplayedLetters

_REPORT_EVERY_S = 5.0


def replay(
    settings: Settings,
    intervals: Intervals,
    collections: Collections = None,
    reason: Reason = "",
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    reaction: ReactionName = "",
    documents: Document = None,
    queue: Annotated[
        bool,
        typer.Option(
            "--queue", help="Replay the keys that the sync function parked in [pipeline] parking_queue instead."
        ),
    ] = False,
) -> None:
    """Try again to index the documents of dead letters, with their present state read from the source.

    So an old dead letter never replaces a newer document. A document that no longer exists is deleted from the index;
    one that is refused again gets a new dead letter. Workers may keep running. The command may be repeated, or stopped
    with Ctrl-C: dead letters that were not replayed stay. The exit code is 1 if dead letters remain.

    With --reaction, its target is given the same events again, with the same ids, the oldest first.
    """
    if queue and (collections or reason or older_than or newer_than or reaction or documents):
        raise SettingsError("--queue replays all parked keys; it takes no collection and no filter")
    if queue:
        set_up_process(settings)
    else:
        settings = prepare_to_work(settings, note=False)
    remain = False
    with stop_signals() as signals:
        if queue:
            _replay_queue(settings, signals.stop, intervals)
        elif reaction:
            which = wanted(settings, collections, reason, older_than, newer_than, reaction, documents)
            remain = _replay_events(settings, reaction, which, signals.stop, intervals)
        else:
            remain = _replay_letters(
                settings,
                wanted(settings, collections, reason, older_than, newer_than, documents=documents),
                signals.stop,
            )
    if signals.received:
        typer.echo(f"stopped; what was not replayed is still {'in the queue' if queue else 'a dead letter'}", err=True)
    raise typer.Exit(signals.exit_code(endless=False) or int(remain))


def _replay_queue(settings: Settings, stop: threading.Event, intervals: Intervals) -> None:
    from penstock.cli.progress import progress_display
    from penstock.delivery.replay_queue import replay_parked

    with progress_display() as progress:

        def report(so_far: "Replayed") -> None:
            if so_far.messages % 10 == 0 and so_far.messages:
                progress.say(f"{_of_queue(so_far)} so far")

        replayed = replay_parked(settings, stop=stop, on_message=report, intervals=intervals)
        progress.say(_of_queue(replayed))
        if replayed.foreign:
            progress.say(f"{counted(replayed.foreign, 'message')} not sent by penstock left in the queue")


def _replay_letters(settings: Settings, which: "LetterFilter", stop: threading.Event) -> bool:
    """Replay the dead letters; return whether some remain."""
    from penstock.cli.progress import progress_display
    from penstock.operations.dead_letters.replay import replay_letters

    reported_at = time.monotonic()
    with progress_display() as progress:

        def report(so_far: "ReplayedLetters") -> None:
            nonlocal reported_at
            if time.monotonic() - reported_at > _REPORT_EVERY_S:
                reported_at = time.monotonic()
                progress.say(f"{_of_letters(so_far)} so far")

        replayed = replay_letters(settings, which, stop=stop, on_page=report)
        progress.say(_of_letters(replayed))
    return bool(replayed.refused or replayed.left)


def _replay_events(
    settings: Settings, reaction: str, which: "LetterFilter", stop: threading.Event, intervals: Intervals
) -> bool:
    """Replay the events; return whether some remain."""
    from penstock.cli.progress import progress_display
    from penstock.operations.dead_letters.reactions import replay_events

    with progress_display() as progress:
        replayed = replay_events(settings, reaction, which, stop=stop, intervals=intervals)
        parts = [counted(replayed.letters, "dead letter"), f"{replayed.done:,} accepted"]
        parts += [f"{replayed.refused:,} refused again"] if replayed.refused else []
        parts += [f"{replayed.left:,} too large to be kept whole"] if replayed.left else []
        progress.say(", ".join(parts))
    return bool(replayed.refused or replayed.left)


def _of_queue(replayed: "Replayed") -> str:
    counts = replayed.counts
    parts = [
        f"{counted(counts.read, 'parked key')} of {counted(replayed.messages, 'message')}",
        f"{counts.written:,} written",
    ]
    parts += [f"{counts.superseded:,} superseded"] if counts.superseded else []
    parts += [f"{counts.control:,} without effect"] if counts.control else []
    parts += [counted(counts.dead_lettered, "dead letter")] if counts.dead_lettered else []
    return ", ".join(parts)


def _of_letters(replayed: "ReplayedLetters") -> str:
    parts = [counted(replayed.letters, "dead letter"), f"{replayed.done:,} in step now"]
    parts += [f"{replayed.superseded:,} superseded before"] if replayed.superseded else []
    parts += [f"{replayed.refused:,} refused again"] if replayed.refused else []
    parts += [f"{replayed.left:,} left as they are"] if replayed.left else []
    return ", ".join(parts)
