"""`penstock status`."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.layout import as_table_or_lists, terminal_width
from penstock.counted import counted
from penstock.errors import QueueUnavailable, SourceUnavailable
from penstock.settings import Settings

# ruff: noqa: PLC0415  What a command needs is imported when it runs, so that --help and a wrong setting answer at once.

if TYPE_CHECKING:
    from penstock.operations.status import CollectionStatus

_COLUMNS = ("collection", "index", "state", "in source", "in index", "writes/s", "lag", "dead letters", "time left")
_TEXTS = 3
"""The first columns hold words, the others numbers."""


def status(
    settings: Settings,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show how each collection stands: state, documents on both sides, rate, lag, dead letters, time left.

    The states are waiting (no worker has begun), loading, live, dropped (the collection is gone, its documents are
    kept), reconciling (it is back and loaded anew), stopped (no worker is there) and mapped (an event source mapping of
    AWS Lambda feeds the index, and only AWS knows how it stands). The time left is how long the
    source still keeps the changes that are needed next; it needs [source] retention_s.
    """
    from penstock.logs import set_up_logs
    from penstock.operations import status as looking

    set_up_logs(settings.observe.model_copy(update={"log_level": "error"}))
    found = looking.status(settings)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found.collections], indent=1))
    else:
        rows = [_COLUMNS, *map(_row, found.collections)]
        for line in as_table_or_lists(rows, texts=_TEXTS, width=terminal_width()):
            typer.echo(line)
        for each in found.collections:
            if each.lost:
                typer.echo(f"{_loud('position lost')}: {each.namespace}, {each.lost}; it is loaded anew")
        if found.parked:
            waiting = f"{counted(found.parked, 'message')} with parked keys"
            typer.echo(f"{_loud(waiting)} in the queue: penstock dead-letters replay --queue writes them")
    if found.source_problem:
        raise SourceUnavailable(found.source_problem)
    if found.queue_problem:
        raise QueueUnavailable(found.queue_problem)


def _row(line: "CollectionStatus") -> Sequence[str]:
    state = line.state
    if line.loaded is not None and line.state in ("loading", "reconciling"):
        state = f"{state} {line.loaded:.0%}"
    return [
        line.namespace,
        line.index,
        _loud(state) if line.state == "stopped" else state,
        _number(line.documents_source),
        _number(line.documents_index),
        "-" if line.writes_per_s is None else f"{line.writes_per_s:,.0f}",
        "-" if line.lag_s is None else f"{line.lag_s:,.1f} s",
        _loud(f"{line.dead_letters:,}") if line.dead_letters else "0",
        _left(line.position_left_s),
    ]


def _loud(text: str) -> str:
    return typer.style(text, fg="red", bold=True)


def _number(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


def _left(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds <= 0:
        return _loud("lost")
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours} h {rest // 60} min"
