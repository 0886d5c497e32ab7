"""Writes a first penstock.toml: every setting with its default, and the collections of a live server."""

import json
import os
import re
import textwrap
from collections.abc import Container, Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from pymongo.errors import PyMongoError

from penstock.connections import source_connection
from penstock.errors import SettingsError
from penstock.mongo.collections import databases, estimated_count, namespaces
from penstock.mongo.connection import address
from penstock.mongo.error_table import unavailable
from penstock.observe.wording import counted
from penstock.settings import SourceSettings
from penstock.settings.checks import check_index_name, check_namespace
from penstock.settings.table import SECTIONS, Setting, collection_table, section_class, settings_table

_EXAMPLE_TABLE = [
    "",
    "# Uncomment these two lines first, then any of those below.",
    "# [[collections]]",
    '# namespace = "shop.orders"',
]
_CREDENTIALS = re.compile(r"(?<=://)(?P<user>[^:@/]*)(?P<password>:[^@/]*)?@")


_NAME_BYTES = 100


class OfferedCollection(NamedTuple):
    """A collection of the live server; `documents` is its own estimate."""

    namespace: str
    documents: int


def collections_of(settings: SourceSettings) -> list[OfferedCollection]:
    """The collections of a live server that can be followed. Raises SourceUnavailable, SettingsError."""
    with source_connection(settings) as connection:
        client = connection.client
        try:
            return [
                OfferedCollection(str(namespace), estimated_count(client, namespace))
                for database in databases(client)
                for namespace in namespaces(client, database)
                if _wanted(str(namespace))
            ]
        except PyMongoError as error:
            raise unavailable(error, f"the list of collections at {address(settings)}") from error


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise SettingsError when the file is there and must stay."""
    if path.exists() and not overwrite:
        raise SettingsError(f"{path} already exists; give --force to replace it, or name another file")


def write_settings_file(path: Path, text: str, *, overwrite: bool) -> None:
    """Write the file, readable by its owner alone; refuses to replace one unless asked to."""
    refuse_existing(path, overwrite=overwrite)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)  # also of a file that was there already
        file.write(text)


def settings_file(
    found: Sequence[OfferedCollection], *, given: dict[str, Any] | None = None, folder: Path | None = None
) -> str:
    """The text of a settings file; `given` are values to set, by `Setting.parameter`, all others stay comments.

    In another `folder` than the current one, files have their absolute paths.
    """
    given = without_secrets(given or {})
    if folder and folder.resolve() != Path.cwd():
        files = {row.parameter for row in settings_table() if row.is_file}
        given = {name: str(Path(value).resolve()) if name in files else value for name, value in given.items()}
    found = [each for each in found if each.namespace != given.get("source_heartbeat")]
    lines = [
        "# Settings of penstock. Lines that are commented out show the defaults. Environment variables",
        "# (PENSTOCK_SOURCE_URI for uri in [source]) and flags (--source-uri) override this file.",
        "# Keep secrets out of this file: use a password_file, or PENSTOCK_SOURCE_PASSWORD.",
    ]
    for section in SECTIONS:
        lines += ["", f"# {section_class(section).__doc__}", f"[{section}]"]
        for row in (row for row in settings_table() if row.section == section):
            lines += _entry(row, given.get(row.parameter))
    return "\n".join([*lines, *_collections(found)]) + "\n"


def without_secrets(given: dict[str, Any]) -> dict[str, Any]:
    """The same values without secrets, also those in the connection string; the user there becomes `username`."""
    secrets = {row.parameter for row in settings_table() if row.is_secret and row.parameter != "source_uri"}
    kept = {name: value for name, value in given.items() if value is not None and name not in secrets}
    credentials = _CREDENTIALS.search(kept.get("source_uri", ""))
    if credentials:
        kept["source_uri"] = _CREDENTIALS.sub("", kept["source_uri"])
        if "source_secret" not in kept:  # which has the user, too
            kept.setdefault("source_username", unquote(credentials["user"]))
    return kept


def _entry(row: Setting, value: Any) -> Iterator[str]:
    yield ""
    notes = [] if row.kind.startswith("text") else [row.kind]
    if value is None and row.default is None:
        notes.append("not set")
    words = f"{row.description} ({'; '.join(notes)})" if notes else row.description
    yield from (f"# {line}" for line in textwrap.wrap(words, 110))
    if value is not None:
        yield f"{row.name} = {toml_value(value)}"
    else:
        yield f"# {row.name} = {'' if row.default is None else toml_value(row.default)}".rstrip()


def _collections(found: Iterable[OfferedCollection]) -> Iterator[str]:
    """A table for each; the first one shows what a table can say."""
    yield "\n# The collections and their indexes: one table for each collection."
    first, *others = list(_tables(found)) or [_EXAMPLE_TABLE]
    yield from first
    for row in collection_table():
        if not any(line.startswith(f"{row.name} = ") for line in first) and row.name != "namespace":
            yield from _entry(row, None)
    for table in others:
        yield from table


def _tables(found: Iterable[OfferedCollection]) -> Iterator[list[str]]:
    """A table for each; with an index name where its own name cannot be one, or is another's."""
    taken: set[str] = set()
    for each in found:
        index = index_name_from(each.namespace, taken)
        taken.add(index)
        table = [f"\n[[collections]]  # about {counted(each.documents, 'document')}"]
        table.append(f"namespace = {toml_value(each.namespace)}")
        yield table if index == each.namespace.lower() else [*table, f"index = {toml_value(index)}"]


def index_name_from(namespace: str, taken: Container[str] = ()) -> str:
    """A name that OpenSearch takes and that is not taken, as near to the collection's own as its rules allow."""
    name = namespace.lower()
    if not _is_index_name(name):
        name = re.sub(r"[^\w.-]", "-", name).lstrip("-_+.")
        name = name.encode()[:_NAME_BYTES].decode(errors="ignore")
    if not name or name.startswith("penstock-") or not _is_index_name(name):
        name = f"collection-{sha256(namespace.encode()).hexdigest()[:12]}"
    numbered = (f"{name}-{number}" for number in count(2))
    return name if name not in taken else next(each for each in numbered if each not in taken)


def _is_index_name(name: str) -> bool:
    try:
        check_index_name(name)
    except ValueError:
        return False
    return True


def _wanted(namespace: str) -> bool:
    """Whether a collection of the server can be followed at all."""
    try:
        check_namespace(namespace)
    except ValueError:
        return False
    return True


def toml_value(value: Any) -> str:
    """Return a value of a setting as TOML."""
    if hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(name)} = {toml_value(each)}" for name, each in value.items()) + " }"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    text = json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
    return text.replace("\x7f", "\\u007f")  # the one character that TOML does not take as JSON does
