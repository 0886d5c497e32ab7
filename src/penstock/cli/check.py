"""`penstock check`."""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.preparation import log_little
from penstock.cli.tables import say, terminal_width, wrapped
from penstock.settings import Settings

if TYPE_CHECKING:
    from penstock.operations.check.finding import CheckFinding

_COLOURS = {"ok": "green", "warning": "yellow", "failure": "red"}
_INDENT = " " * 19


def check(
    settings: Settings,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check the settings, both servers, the collections and the indexes, and say what to do about each finding.

    The command writes nothing except an index of its own, which it deletes again. The exit code is 0 without failures;
    else 2, 4 or 5, the code with which `penstock run` would end.
    """
    from penstock.operations.check import check as checking

    log_little(settings)
    findings = list(checking.check(settings))
    print_findings(findings, as_json=as_json)
    raise typer.Exit(checking.exit_code(findings))


def print_findings(findings: Sequence["CheckFinding"], *, as_json: bool) -> None:
    """Print the findings, each with what to do about it."""
    if as_json:
        typer.echo(json.dumps([finding._asdict() for finding in findings], indent=1))
        return
    for each in findings:
        for line in _lines(each, width=terminal_width()):
            say(line)


def _lines(finding: "CheckFinding", *, width: int | None) -> Iterator[str]:
    """Yield the finding, then what to do about it."""
    first, *more = wrapped(f"{finding.subject}: {finding.detail}", indent=_INDENT, width=width)
    verdict = typer.style(f"{finding.verdict:7}", fg=_COLOURS[finding.verdict])
    yield f"{verdict}  {finding.area:10}{first.removeprefix(_INDENT)}"
    yield from more
    if finding.todo:
        yield from wrapped(f"to do: {finding.todo}", indent=_INDENT, width=width)
