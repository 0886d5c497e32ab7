"""`penstock reindex`."""

from typing import Annotated

import typer

from penstock.cli.named_collections import declared
from penstock.cli.preparation import prepare_to_work
from penstock.cli.signals import stop_signals
from penstock.errors import SettingsError
from penstock.runtime.intervals import Intervals
from penstock.settings import Settings


def reindex(
    settings: Settings,
    intervals: Intervals,
    namespace: Annotated[
        str, typer.Argument(metavar="NAMESPACE", help="The collection, as database.collection.", show_default=False)
    ],
    rollback: Annotated[bool, typer.Option("--rollback", help="Move the read alias back to the old index.")] = False,
    finish: Annotated[bool, typer.Option("--finish", help="Delete the index that is no longer searched.")] = False,
    abandon: Annotated[bool, typer.Option("--abandon", help="Delete the new index, before it is searched.")] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Build a new index although the settings are the same; roll back to an index that is behind.",
        ),
    ] = False,
    wait: Annotated[
        float,
        typer.Option("--wait", min=0, help="How long to wait for a difference to disappear, in seconds.", metavar="N"),
    ] = 30.0,
    accept_dead_letters: Annotated[
        bool,
        typer.Option("--accept-dead-letters", help="Switch to an index although it refused some documents."),
    ] = False,
) -> None:
    """Build a new index for a collection with the current settings, next to the one being searched.

    The new index is loaded, follows the changes and is verified; then the read alias moves to it in one step. The old
    index is kept up to date for --rollback, until --finish deletes it. If the command ends for any reason, run it
    again: it resumes where it was. A worker (`penstock run`) goes on meanwhile and feeds both indexes.
    """
    from penstock.cli.progress import progress_display
    from penstock.operations.reindex import cutover, reindex

    if sum((rollback, finish, abandon)) > 1:
        raise SettingsError("--rollback, --finish and --abandon cannot be combined; give one of them")
    settings, is_done = prepare_to_work(settings), False
    declared(settings, [namespace])
    with stop_signals() as signals, progress_display("going through", "done") as progress:
        stop, say = signals.stop, progress.say
        if rollback:
            cutover.rollback(settings, namespace, stop=stop, say=say, force=force, intervals=intervals)
        elif finish:
            cutover.finish(settings, namespace, stop=stop, say=say, intervals=intervals)
        elif abandon:
            cutover.abandon(settings, namespace, stop=stop, say=say, intervals=intervals)
        else:
            reindex.reindex(
                settings,
                namespace,
                stop=stop,
                progress=progress,
                say=say,
                options=reindex.ReindexOptions(wait, force, accept_dead_letters),
                intervals=intervals,
            )
        is_done = True
    if not is_done:
        typer.echo("stopped; run the command again to resume from here", err=True)
    raise typer.Exit(signals.exit_code(endless=False))
