"""`penstock`: gathers the commands, and turns the errors that end them into a message and an exit code."""

from collections.abc import Callable
from functools import cache
from typing import Annotated

import typer
from typer.main import get_command

from penstock.cli import mapping
from penstock.cli.apply import apply
from penstock.cli.capture import capture
from penstock.cli.check import check
from penstock.cli.console import console
from penstock.cli.dead_letters import drop, list_, show
from penstock.cli.endings import said
from penstock.cli.explain import explain
from penstock.cli.extras import EXTRAS, add_extra
from penstock.cli.init import init
from penstock.cli.load import load
from penstock.cli.options import with_flags_only, with_settings
from penstock.cli.reindex import reindex
from penstock.cli.replay import replay
from penstock.cli.run import run
from penstock.cli.status import status
from penstock.cli.verify import verify
from penstock.runtime.intervals import INTERVALS, Intervals

app = typer.Typer(
    name="penstock",
    help="Keeps OpenSearch indexes in step with Amazon DocumentDB and MongoDB collections.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"penstock {version('penstock')}")
        raise typer.Exit


@app.callback()
def penstock(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Keeps OpenSearch indexes in step with Amazon DocumentDB and MongoDB collections."""


app.command("init")(with_flags_only(init, sections=("source", "sink")))
app.command("check")(with_settings(check))
app.command("run")(with_settings(run))
app.command("capture")(with_settings(capture))
app.command("apply")(with_settings(apply))
app.command("console")(with_settings(console))
app.command("load")(with_settings(load))
app.command("reindex")(with_settings(reindex))
app.command("status")(with_settings(status))
app.command("verify")(with_settings(verify))
app.command("explain")(with_settings(explain))
dead_letters_app = typer.Typer(
    no_args_is_help=True, help="Documents that could not be indexed, kept until they are replayed or dropped."
)
dead_letters_app.command("list")(with_settings(list_))
dead_letters_app.command("show")(with_settings(show))
dead_letters_app.command("replay")(with_settings(replay))
dead_letters_app.command("drop")(with_settings(drop))
app.add_typer(dead_letters_app, name="dead-letters")
mapping_app = typer.Typer(no_args_is_help=True, help="The mapping of an index: its fields and their types.")
mapping_app.command("suggest")(with_settings(mapping.suggest))
app.add_typer(mapping_app, name="mapping")
for extra in EXTRAS:
    add_extra(app, extra)


@cache
def commands() -> Callable[..., None]:
    """Return all commands with their flags, as one to be called. There are a thousand flags: made once a process."""
    return get_command(app)


def main(intervals: Intervals = INTERVALS) -> None:
    """Run the command line. Every error that penstock raises on purpose becomes a message and its exit code."""
    with said():
        commands()(obj=intervals)
