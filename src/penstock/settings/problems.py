"""Puts what pydantic found into the terms of the person who wrote the settings; never shows a secret."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from penstock.settings.table import SECTIONS, TABLES, Setting, rows_of, settings_table

SHOWN_CHARACTERS = 60

_MEANINGS = {
    "missing": "is missing",
    "literal_error": "must be one of {expected}",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "path_type": "must be the name of a file",
    "tuple_type": "must be a list of texts",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
}


_NAMED_BY = {"collections": "namespace", "reactions": "name", "topics": "topic"}
"""The setting by which people know a table."""


def problems_of(
    error: ValidationError, *, names: Mapping[tuple[str, str], str], tables: Mapping[str, Sequence[Any]]
) -> list[str]:
    """Return each problem as one sentence; `names` maps (section, name) to the name under which a value was given."""
    problems = []
    for found in error.errors(include_url=False):
        where, setting = _place(found["loc"], names, tables)
        what = _meaning(found, setting)
        problems.append(f"{where} {what}" if where else what)
    return [line for problem in problems for line in problem.splitlines()]


def unknown(name: str, known: Iterable[str]) -> str:
    """Say that a name is not a setting, and which one may be meant.

    Ignores the shared prefix of the variables when it looks for similar names.
    """
    by_end = {each.removeprefix("PENSTOCK_"): each for each in known}
    near = difflib.get_close_matches(name.removeprefix("PENSTOCK_"), by_end, n=1, cutoff=0.75)
    return f"is not a setting; did you mean {by_end[near[0]]}?" if near else "is not a setting"


def _place(
    loc: tuple[int | str, ...], names: Mapping[tuple[str, str], str], tables: Mapping[str, Sequence[Any]]
) -> tuple[str, Setting | None]:
    """Return the name of the place in the user's terms, and the setting declared there."""
    if loc[0] in SECTIONS and len(loc) > 1:
        section, name = str(loc[0]), str(loc[1])
        setting = next((row for row in settings_table() if (row.section, row.name) == (section, name)), None)
        return names.get((section, name), f"[{section}] {name}"), setting
    if loc[0] in TABLES and len(loc) > 1:
        assert isinstance(loc[1], int)
        kind = str(loc[0])
        table = tables[kind][loc[1]]
        given = table.get(_NAMED_BY[kind]) if isinstance(table, dict) else None
        which = given if isinstance(given, str) else f"number {loc[1] + 1}"
        name = str(loc[2]) if len(loc) > 2 else ""
        setting = next((row for row in rows_of(kind) if row.name == name), None)
        within = f" `{loc[3]}`" if len(loc) > 3 and isinstance(loc[3], str) and kind == "collections" else ""
        return f"[[{kind}]] {which}: {name}{within}".rstrip(": "), setting
    return "", None


def _meaning(found: Any, setting: Setting | None) -> str:
    kind, context = found["type"], found.get("ctx", {})
    if kind == "extra_forbidden":
        return unknown(str(found["loc"][-1]), [row.name for row in rows_of(str(found["loc"][0]))])
    if kind == "value_error":
        return str(context["error"])
    meaning = _MEANINGS[kind].format(**context) if kind in _MEANINGS else found["msg"]
    return meaning if kind == "missing" else f"{meaning}{_shown(found['input'], setting)}"


def _shown(value: Any, setting: Setting | None) -> str:
    """Return the value that was given, unless it is a secret or could contain one."""
    if setting is None or setting.is_secret or not isinstance(value, str | int | float):
        return ""
    text = repr(value)
    return f", not {text}" if len(text) <= SHOWN_CHARACTERS and "@" not in text else ""
