"""The settings as they count, with every secret masked, and what `check` finds."""

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from pydantic import SecretStr
from starlette.requests import Request
from starlette.routing import Route

from penstock.console.desk import Context, Desk, Link
from penstock.console.security.origin import is_of_another_site
from penstock.mongo.connection import address
from penstock.observe.logs import mask_credentials
from penstock.operations.check.check import check
from penstock.settings import Settings
from penstock.settings.section import Section
from penstock.settings.table import SECTIONS, Setting, rows_of, shown

LINKS: tuple[Link, ...] = (Link("Settings", "/settings"),)

_PACKAGES = ("penstock", "pymongo", "starlette", "uvicorn", "jinja2")
_CHECKED_EVERY_S = 10.0


@dataclass(frozen=True)
class Shown:
    """A setting as it counts."""

    name: str
    value: str
    is_default: bool
    description: str


@dataclass(frozen=True)
class Table:
    """A section, or one of the tables of collections or reactions."""

    title: str
    rows: Sequence[Shown]


def routes(desk: Desk) -> list[Route]:
    """Return the routes of the settings."""

    def read(request: Request) -> Context:
        findings = None
        if "check" in request.query_params and not is_of_another_site(request.headers):
            findings = desk.looks.look("check", lambda: list(check(desk.declared)), every_s=_CHECKED_EVERY_S)
            findings = sorted(findings, key=lambda each: ("failure", "warning", "ok").index(each.verdict))
        return {
            "tables": list(_tables(desk.declared)),
            "findings": findings,
            "mask": mask_credentials,
            "versions": [*((name, version(name)) for name in _PACKAGES), ("Python", platform.python_version())],
        }

    return [desk.page("/settings", "settings.html", read)]


def _tables(settings: Settings) -> Iterator[Table]:
    yield Table("[source]", [*_rows(rows_of("source"), settings.source), _server(settings)])
    for section in SECTIONS[1:]:
        yield Table(f"[{section}]", _rows(rows_of(section), getattr(settings, section)))
    for collection in settings.collections:
        yield Table(f"[[collections]] {collection.namespace}", _rows(rows_of("collections"), collection))
    for reaction in settings.reactions:
        yield Table(f"[[reactions]] {reaction.name}", _rows(rows_of("reactions"), reaction))


def _server(settings: Settings) -> Shown:
    """The part of `uri` that is no secret."""
    return Shown("(server)", address(settings.source), is_default=False, description="The server that `uri` names.")


def _rows(declared: Sequence[Setting], values: Section) -> list[Shown]:
    given = ((row, getattr(values, row.name)) for row in declared)
    return [Shown(row.name, _text(row, value), value == row.default, row.description) for row, value in given]


def _text(row: Setting, value: Any) -> str:
    """Return a value without anything secret: what is declared as one, and what an address may carry."""
    if value is None or value in ((), {}):
        return ""
    if row.is_secret or isinstance(value, SecretStr):
        return "*****"
    if row.name == "url" and row.section == "reactions":
        return "*****"  # the path of a webhook may be its secret
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return mask_credentials(shown(value))
