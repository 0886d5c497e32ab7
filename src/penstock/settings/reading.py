"""Reads the settings: flags win over the environment, the environment over the file; every problem in one message."""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from penstock.errors import SettingsError
from penstock.settings import checks
from penstock.settings.aws_names import ALIASES, SIGNED_BY
from penstock.settings.checks import collisions, secret_variable
from penstock.settings.collections import CollectionSettings
from penstock.settings.declared import Settings
from penstock.settings.problems import problems_of, unknown
from penstock.settings.table import (
    COLLECTIONS_FLAG,
    COLLECTIONS_VARIABLE,
    DEFAULT_FILE,
    SECTIONS,
    SETTINGS_FLAG,
    SETTINGS_VARIABLE,
    TABLES,
    Setting,
    rows_of,
    settings_table,
)

_OF_TESTS = "PENSTOCK_TEST_"
_OF_KUBERNETES = re.compile(
    r"PENSTOCK_(.*_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
"""Variables that Kubernetes sets in every container of a namespace with a service named penstock..."""


@dataclass
class _Given:
    """The values given so far, the name under which the user gave each, and the problems found so far."""

    sections: dict[str, Any] = field(default_factory=lambda: {section: {} for section in SECTIONS})
    collections: list[Any] = field(default_factory=list)
    reactions: list[Any] = field(default_factory=list)
    topics: list[Any] = field(default_factory=list)
    names: dict[tuple[str, str], str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    unread: bool = False
    """Whether a place that may name collections could not be read."""

    def put(self, setting: Setting, value: Any, *, given_as: str) -> None:
        """Take a value; it wins over an earlier one."""
        self.sections[setting.section][setting.name] = value
        self.names[setting.section, setting.name] = given_as

    def choose(self, tables: Sequence[Any]) -> None:
        """Keep only these collections. What the file says about one of them holds for what its table does not set."""
        declared = {
            name: table
            for table in self.collections
            if isinstance(table, dict) and isinstance(name := table.get("namespace"), str)
        }
        self.collections = [
            {**_said_of(table.get("namespace"), declared), **table} if isinstance(table, dict) else table
            for table in tables
        ]


def _said_of(namespace: Any, declared: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the table of a collection, else that of the first pattern that matches it."""
    if not isinstance(namespace, str):
        return {}
    if namespace in declared or checks.PATTERN_SIGN in namespace:
        return declared.get(namespace, {})
    for name, table in declared.items():
        if checks.PATTERN_SIGN in name and checks.matches(name, namespace):
            index, coll = table.get("index"), namespace.partition(".")[2]
            if not isinstance(index, str):
                return table
            return {**table, "index": checks.index_by(index, coll)}
    return {}


def read_settings(
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    chosen: Sequence[str] = (),
    need_collections: bool = False,
) -> Settings:
    """Return the settings from all three origins, or raise SettingsError with everything that is wrong.

    `file` is the result of `settings_path`, None for no file. `flags` maps `Setting.parameter` to the value; a flag
    that was not given is None. `chosen` are the namespaces of `--collection`.
    """
    given, environ = _Given(), environ or {}
    _take_file(given, file)
    _take_environment(given, environ)
    _take_flags(given, flags or {}, chosen)
    settings = _validated(given)
    if need_collections and not given.collections and not given.unread:
        given.problems.append(
            f"no collection is declared: add a [[collections]] table to {DEFAULT_FILE}, set {COLLECTIONS_VARIABLE}, "
            f"or give {COLLECTIONS_FLAG} database.collection"
        )
    if settings is None or given.problems:
        raise SettingsError(*given.problems)
    return settings


def settings_path(file: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file to read: the one that was named, else penstock.toml in the current folder if it exists."""
    if file is None and environ.get(SETTINGS_VARIABLE):
        file = Path(environ[SETTINGS_VARIABLE])
    if file is None and Path(DEFAULT_FILE).is_file():
        file = Path(DEFAULT_FILE)
    return file


def _take_file(given: _Given, path: Path | None) -> None:
    if path is None:
        return
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        given.unread = True
        given.problems.append(
            f"the settings file {path} cannot be read: {error.strerror}; name another with {SETTINGS_FLAG} or "
            f"{SETTINGS_VARIABLE}, or create one with penstock init"
        )
        return
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        given.unread = True
        given.problems.append(f"{path} is not valid TOML: {error}")
        return
    for name, value in content.items():
        _take_table(given, path, name, value)


def _take_table(given: _Given, path: Path, name: str, value: Any) -> None:
    if name in TABLES:
        if isinstance(value, list):
            tables = [_with_files_relative_to(path, table, rows_of(name)) for table in value]
            setattr(given, name, tables)
        else:
            given.unread = True
            given.problems.append(f"{path}: {name} must be written as [[{name}]] tables")
    elif name not in SECTIONS:
        given.problems.append(f"{path}: [{name}] {unknown(name, (*SECTIONS, *TABLES))}")
    elif isinstance(value, dict):
        given.sections[name] = _with_files_relative_to(path, value, settings_table())
    else:
        given.problems.append(f"{path}: {name} must be a table: [{name}]")


def _with_files_relative_to(path: Path, table: Any, declared: Sequence[Setting]) -> Any:
    """Return the table with its names of files made relative to the settings file."""
    if not isinstance(table, dict):
        return table
    files = {row.name for row in declared if row.is_file}
    return {
        name: str(path.parent / value) if name in files and isinstance(value, str) else value
        for name, value in table.items()
    }


def _take_environment(given: _Given, environ: Mapping[str, str]) -> None:
    _take_aliases(given, environ)
    declared = {row.variable: row for row in settings_table()}
    secrets = {secret_variable(str(each["name"])): each for each in given.reactions if _has_name(each)}
    for variable, value in environ.items():
        if not variable.startswith("PENSTOCK_") or variable == SETTINGS_VARIABLE or not value:
            continue
        if variable == COLLECTIONS_VARIABLE:
            given.choose(_tables_of(given, value))
        elif variable in declared:
            given.put(declared[variable], value, given_as=variable)
        elif variable in secrets:
            secrets[variable]["secret"] = value
        elif not (variable.startswith(_OF_TESTS) or _OF_KUBERNETES.fullmatch(variable)):
            known = (*declared, *secrets, COLLECTIONS_VARIABLE, SETTINGS_VARIABLE)
            given.problems.append(f"{variable} {unknown(variable, known)}")


def _has_name(table: Any) -> bool:
    return isinstance(table, dict) and isinstance(table.get("name"), str)


def _take_aliases(given: _Given, environ: Mapping[str, str]) -> None:
    """Take the variables of AWS deployments; a PENSTOCK_ variable wins over them."""
    rows = {(row.section, row.name): row for row in settings_table()}
    for alias in ALIASES:
        if value := environ.get(alias.variable):
            given.put(rows[alias.section, alias.name], alias.made(value), given_as=alias.variable)
    if environ.get(SIGNED_BY):
        given.sections["sink"].setdefault("auth", "sigv4")


def _tables_of(given: _Given, value: str) -> list[Any]:
    """Return the collections given in the environment: names separated by commas, or tables in JSON."""
    if not value.lstrip().startswith("["):
        return [{"namespace": name.strip()} for name in value.split(",") if name.strip()]
    try:
        tables = json.loads(value)
    except ValueError as error:
        given.unread = True
        given.problems.append(f"{COLLECTIONS_VARIABLE} is not valid JSON: {error}")
        return []
    return [{"namespace": table} if isinstance(table, str) else table for table in tables]


def _take_flags(given: _Given, flags: Mapping[str, Any], chosen: Sequence[str]) -> None:
    declared = {row.parameter: row for row in settings_table()}
    for parameter, value in flags.items():
        if value is not None:
            given.put(declared[parameter], value, given_as=declared[parameter].flag)
    if chosen:
        given.choose([{"namespace": name} for name in chosen])


def _validated(given: _Given) -> Settings | None:
    tables = {name: getattr(given, name) for name in TABLES}
    try:
        return Settings.model_validate({**given.sections, **tables})
    except ValidationError as error:
        given.problems.extend(problems_of(error, names=given.names, tables=tables))
        if any(found["loc"][0] == "collections" and len(found["loc"]) > 1 for found in error.errors()):
            given.problems.extend(collisions(_sound(given.collections)))
        return None


def _sound(tables: Sequence[Any]) -> list[tuple[str, str]]:
    """Return the (namespace, alias) of the valid tables, so that problems between them are reported at once too."""
    sound = []
    for table in tables:
        try:
            collection = CollectionSettings.model_validate(table)
        except ValidationError:
            continue
        sound.append((collection.namespace, collection.alias))
    return sound
