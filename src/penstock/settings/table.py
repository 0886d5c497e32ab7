"""The declarations of `declared` as rows: what a setting is called in the file, the environment, the flags.

The reader, the command line, `penstock init` and docs/settings.md are all made from these rows.
"""

import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import AwareDatetime, SecretStr
from pydantic.fields import FieldInfo

from penstock.settings.aws_names import ALIASES
from penstock.settings.collections import CollectionSettings
from penstock.settings.declared import Settings
from penstock.settings.log import TopicSettings
from penstock.settings.reactions import ReactionSettings
from penstock.settings.section import Section

SECTIONS = ("source", "sink", "pipeline", "observe", "console", "log")

TABLES = ("collections", "reactions", "topics")

COLLECTIONS_VARIABLE = "PENSTOCK_COLLECTIONS"
COLLECTIONS_FLAG = "--collection"
SETTINGS_VARIABLE = "PENSTOCK_SETTINGS"
SETTINGS_FLAG = "--settings"
DEFAULT_FILE = "penstock.toml"


@dataclass(frozen=True)
class Setting:
    """One setting; `section` is one of SECTIONS, or the name of the tables it is a field of: one of TABLES."""

    section: str
    name: str
    field: FieldInfo

    @property
    def in_file(self) -> str:
        """Its name in the settings file."""
        return f"[{self.section}] {self.name}" if self.section in SECTIONS else f"[[{self.section}]] {self.name}"

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"PENSTOCK_{self.section}_{self.name}".upper()

    @property
    def other_variable(self) -> str | None:
        """The variable that gives it in AWS deployments, if there is one."""
        return next((a.variable for a in ALIASES if (a.section, a.name) == (self.section, self.name)), None)

    @property
    def parameter(self) -> str:
        """The name of the parameter that carries the flag's value."""
        return f"{self.section}_{self.name}"

    @property
    def flag(self) -> str:
        """The flag of the command line."""
        return "--" + self.parameter.replace("_", "-")

    @property
    def description(self) -> str:
        """A sentence or two for the user."""
        return self.field.description or ""

    @property
    def default(self) -> Any:
        """The value if none is given; None if there is no default or the setting must be given."""
        return None if self.field.is_required() else self.field.default

    @property
    def is_secret(self) -> bool:
        """Whether the value must never be shown."""
        return SecretStr in self._types

    @property
    def is_file(self) -> bool:
        """Whether the value names a file; in the settings file such names are relative to it."""
        return Path in self._types

    @property
    def is_choice(self) -> bool:
        """Whether the value is one of a fixed set of words."""
        return any(get_origin(kind) is Literal for kind in self._types)

    @property
    def kind(self) -> str:
        """The type, in plain words."""
        words = [value for kind in self._types if get_origin(kind) is Literal for value in get_args(kind)]
        if words and AwareDatetime in self._types:
            words.append("time")
        return ", ".join(words) or next(word for python, word in _KINDS.items() if python in self._types)

    @property
    def _types(self) -> tuple[Any, ...]:
        annotation = self.field.annotation
        members = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
        plain = (get_args(member)[0] if hasattr(member, "__metadata__") else member for member in members)
        return tuple(get_origin(kind) if get_origin(kind) in (tuple, dict) else kind for kind in plain)


_KINDS: dict[Any, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    Path: "file",
    tuple: "list of texts",
    dict: "table of texts",
    SecretStr: "text (secret)",
    str: "text",
}


@cache
def settings_table() -> tuple[Setting, ...]:
    """Return every setting except those of a collection, in the order of the file."""
    return tuple(row for section in SECTIONS for row in _rows(section, section_class(section)))


@cache
def collection_table() -> tuple[Setting, ...]:
    """Return every setting of a `[[collections]]` table."""
    return tuple(_rows("collections", CollectionSettings))


@cache
def reaction_table() -> tuple[Setting, ...]:
    """Return every setting of a `[[reactions]]` table."""
    return tuple(_rows("reactions", ReactionSettings))


@cache
def topic_table() -> tuple[Setting, ...]:
    """Return every setting of a `[[topics]]` table."""
    return tuple(_rows("topics", TopicSettings))


def rows_of(section: str) -> tuple[Setting, ...]:
    """Return the settings of a section, or of a table of such tables."""
    tables = {"collections": collection_table, "reactions": reaction_table, "topics": topic_table}
    return tables[section]() if section in tables else tuple(row for row in settings_table() if row.section == section)


def shown(value: Any) -> str:
    """Return the value as one would write it in a table or a sentence."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def section_class(section: str) -> type[Section]:
    """Return the class that declares a section."""
    declared = Settings.model_fields[section].annotation
    assert isinstance(declared, type)
    assert issubclass(declared, Section)
    return declared


def _rows(section: str, declared: type[Section]) -> Iterator[Setting]:
    for name, field in declared.model_fields.items():
        yield Setting(section, name, field)
