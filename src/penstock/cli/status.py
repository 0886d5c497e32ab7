"""`penstock status`."""

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.errors import SourceUnavailable
from penstock.settings import Settings

# ruff: noqa: PLC0415  What a command needs is imported when it runs, so that --help and a wrong setting answer at once.

if TYPE_CHECKING:
    from penstock.operations.status import CollectionStatus

_PIPE_WIDTH = 200
_COLUMNS = ("collection", "index", "state", "in source", "in index", "writes/s", "lag", "dead letters", "time left")


def status(
    settings: Settings,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show how each collection stands: state, documents on both sides, rate, lag, dead letters, time left.

    The states are waiting (no worker has begun), loading, live, dropped (the collection is gone, its documents are
    kept), reconciling (it is back and loaded anew) and stopped (no worker is there). The time left is how long the
    source still keeps the changes that are needed next; it needs [source] retention_s.
    """
    from penstock.logs import set_up_logs
    from penstock.operations import status as looking

    set_up_logs(settings.observe.model_copy(update={"log_level": "error"}))
    found = looking.status(settings)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found.collections], indent=1))
    else:
        _print_table(found.collections)
    if found.source_problem:
        raise SourceUnavailable(found.source_problem)


def _print_table(collections: "list[CollectionStatus]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for number, column in enumerate(_COLUMNS):
        table.add_column(column, justify="left" if number < 3 else "right", overflow="fold")
    for each in collections:
        table.add_row(*_row(each))
    (Console() if sys.stdout.isatty() else Console(width=_PIPE_WIDTH)).print(table)


def _row(line: "CollectionStatus") -> list[str]:
    state = line.state
    if line.loaded is not None and line.state in ("loading", "reconciling"):
        state = f"{state} {line.loaded:.0%}"
    letters = f"[bold red]{line.dead_letters:,}[/]" if line.dead_letters else "0"
    return [
        line.namespace,
        line.index,
        f"[bold red]{state}[/]" if line.state == "stopped" else state,
        _number(line.documents_source),
        _number(line.documents_index),
        "-" if line.writes_per_s is None else f"{line.writes_per_s:,.0f}",
        "-" if line.lag_s is None else f"{line.lag_s:,.1f} s",
        letters,
        _left(line.position_left_s),
    ]


def _number(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


def _left(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds <= 0:
        return "[bold red]lost[/]"
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours} h {rest // 60} min"
