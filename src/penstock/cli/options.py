"""The flags for the settings, made from their declarations, for every command that reads settings."""

import inspect
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from penstock.documents.user_function import look_in
from penstock.runtime.intervals import INTERVALS
from penstock.settings import read_settings, settings_path
from penstock.settings.table import (
    COLLECTIONS_FLAG,
    COLLECTIONS_VARIABLE,
    DEFAULT_FILE,
    SETTINGS_FLAG,
    SETTINGS_VARIABLE,
    Setting,
    settings_table,
    shown,
)

_KEYWORD = inspect.Parameter.KEYWORD_ONLY


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give the command the flags of all settings, and call it with the `settings` read from them.

    The command's own parameters stay as they are; one that waits gets the `intervals` of `main`.
    """
    waits = "intervals" in inspect.signature(command).parameters

    def run(**values: Any) -> None:
        context = values.pop("context")
        flags = {row.parameter: values.pop(row.parameter) for row in settings_table()}
        file, chosen = settings_path(values.pop("settings_file"), os.environ), values.pop("collection")
        settings = read_settings(file=file, environ=os.environ, flags=flags, chosen=chosen or (), need_collections=True)
        look_in((file.parent if file else Path()).resolve())
        if waits:
            values["intervals"] = context.obj or INTERVALS
        command(settings=settings, **values)

    return _shaped(run, command, [_CONTEXT, *_OF_ALL, *map(_parameter, settings_table())])


def with_flags_only(command: Callable[..., None], *, sections: tuple[str, ...]) -> Callable[..., None]:
    """Give the command the flags of some sections, and call it with `settings` and the values `given`, by name.

    Reads no file, because the command may be about to write it.
    """
    rows = [row for row in settings_table() if row.section in sections]

    def run(**values: Any) -> None:
        flags = {row.parameter: values.pop(row.parameter) for row in rows}
        settings = read_settings(environ=os.environ, flags=flags)
        command(settings=settings, given={name: value for name, value in flags.items() if value is not None}, **values)

    return _shaped(run, command, [_parameter(row) for row in rows])


def _shaped(
    run: Callable[..., None], command: Callable[..., None], parameters: Sequence[inspect.Parameter]
) -> Callable[..., None]:
    """Make the function look like the command, with these parameters in addition to its own."""
    own = [
        parameter.replace(kind=_KEYWORD)
        for parameter in inspect.signature(command, eval_str=True).parameters.values()
        if parameter.name not in ("settings", "intervals", "given")
    ]
    whole = inspect.Signature([*own, *parameters])
    run.__signature__ = whole  # type: ignore[attr-defined]
    run.__annotations__ = {name: parameter.annotation for name, parameter in whole.parameters.items()}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run


def _option(name: str, kind: Any, *flags: str, **more: Any) -> inspect.Parameter:
    return inspect.Parameter(name, _KEYWORD, default=None, annotation=Annotated[kind, typer.Option(*flags, **more)])


_CONTEXT = inspect.Parameter("context", _KEYWORD, annotation=typer.Context)

_OF_ALL = (
    _option(
        "settings_file",
        Path | None,
        SETTINGS_FLAG,
        help=f"The settings file. Default: {SETTINGS_VARIABLE}, else {DEFAULT_FILE} in the current folder.",
        metavar="FILE",
        show_default=False,
        rich_help_panel="Settings",
    ),
    _option(
        "collection",
        list[str] | None,
        COLLECTIONS_FLAG,
        help=f"Only these collections (repeatable); in the environment, {COLLECTIONS_VARIABLE}.",
        metavar="DATABASE.COLLECTION",
        show_default=False,
        rich_help_panel="Settings",
    ),
)


def _parameter(row: Setting) -> inspect.Parameter:
    """Return the flag of a setting: plain text, which `read_settings` checks, so that one message has all problems."""
    choices = f" One of: {row.kind}." if row.is_choice else ""
    default = "" if row.default is None or row.is_secret else f" Default: {shown(row.default)}."
    return _option(
        row.parameter,
        str | None,
        row.flag,
        help=f"{row.description}{choices}{default}",
        metavar=_METAVARS.get(row.kind, "TEXT"),
        show_default=False,
        rich_help_panel=f"{row.section} (PENSTOCK_{row.section.upper()}_... in the environment)",
    )


_METAVARS = {"whole number": "N", "number": "N", "file": "FILE", "true or false": "BOOL"}
"""Short, so that a terminal of 80 columns has room for the names of the flags."""
