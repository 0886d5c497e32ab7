"""`penstock check`."""

import json
import sys
from typing import Annotated

import typer

from penstock.settings import Settings

# ruff: noqa: PLC0415  What a command needs is imported when it runs, so that --help and a wrong setting answer at once.

_STYLES = {"ok": "green", "warning": "yellow", "failure": "bold red"}

_PIPE_WIDTH = 240


def check(
    settings: Settings,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Look at the settings, both servers, the collections and the indexes, and say what to do about each finding.

    It writes nothing but an index of its own, which it deletes again. Exit code 0 only without failures; else
    2, 4 or 5, as a start would end.
    """
    from rich.console import Console
    from rich.table import Table

    from penstock.operations import check as checking

    findings = list(checking.check(settings))
    if as_json:
        typer.echo(json.dumps([finding._asdict() for finding in findings], indent=1))
    else:
        console = Console() if sys.stdout.isatty() else Console(width=_PIPE_WIDTH)
        table = Table("", "where", "what", "finding", "what to do", box=None, pad_edge=False)
        for each in findings:
            mark = f"[{_STYLES[each.verdict]}]{each.verdict}[/]"
            table.add_row(mark, each.area, *map(_literal, (each.subject, each.detail, each.todo)))
        console.print(table)
    raise typer.Exit(checking.exit_code(findings))


def _literal(text: str) -> str:
    """Brackets are not markup here."""
    return text.replace("[", "\\[")
