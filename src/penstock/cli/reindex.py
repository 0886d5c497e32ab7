"""`penstock reindex`."""

from typing import Annotated

import typer

from penstock.cli.named_collections import declared
from penstock.cli.signals import stop_signals
from penstock.errors import SettingsError
from penstock.settings import Settings

# ruff: noqa: PLC0415  What a command needs is imported when it runs, so that --help and a wrong setting answer at once.


def reindex(
    settings: Settings,
    namespace: Annotated[str, typer.Argument(metavar="NAMESPACE", help="The collection.", show_default=False)],
    rollback: Annotated[bool, typer.Option("--rollback", help="Let the index that served before serve again.")] = False,
    finish: Annotated[bool, typer.Option("--finish", help="Drop the index that does not serve any more.")] = False,
    abandon: Annotated[bool, typer.Option("--abandon", help="Give up an index that does not serve yet.")] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Make a new index though the settings are the same; roll back to one that is behind."
        ),
    ] = False,
    wait: Annotated[
        float,
        typer.Option("--wait", min=0, help="How long a difference may take to settle, in seconds.", metavar="N"),
    ] = 30.0,
    accept_dead_letters: Annotated[
        bool,
        typer.Option("--accept-dead-letters", help="Let an index serve that lacks documents which it has refused."),
    ] = False,
) -> None:
    """Make a new index of a collection by the settings of now, beside the one that people search.

    It is loaded and follows the changes, is verified, and then the read alias is moved to it in one step. The old index
    is kept and fed for --rollback until --finish drops it. Whatever ends the command, run it again: it goes on where
    it was. A worker (`penstock run`) goes on all the while, and feeds both.
    """
    from penstock.cli.progress import progress_display
    from penstock.observe.logs import set_up_logs
    from penstock.operations.reindex import cutover, reindex
    from penstock.runtime.allocation import for_many_documents
    from penstock.worker.collections.patterns import expanded

    if sum((rollback, finish, abandon)) > 1:
        raise SettingsError("--rollback, --finish and --abandon exclude each other")
    set_up_logs(settings.observe)
    for_many_documents()
    settings = expanded(settings)
    declared(settings, [namespace])
    with stop_signals() as signals, progress_display("going through", "done") as progress:
        stop, say = signals.stop, progress.say
        if rollback:
            cutover.rollback(settings, namespace, stop=stop, say=say, force=force)
        elif finish:
            cutover.finish(settings, namespace, stop=stop, say=say)
        elif abandon:
            cutover.abandon(settings, namespace, stop=stop, say=say)
        else:
            reindex.reindex(
                settings,
                namespace,
                stop=stop,
                progress=progress,
                say=say,
                wait_s=wait,
                force=force,
                accept_dead_letters=accept_dead_letters,
            )
    if signals.received:
        typer.echo("stopped; run it again and it goes on from there", err=True)
    raise typer.Exit(signals.exit_code(endless=False))
