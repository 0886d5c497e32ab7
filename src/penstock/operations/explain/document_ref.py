"""A document's id as somebody typed it: the document id as penstock shows it, or the `_id` as extended JSON."""

from contextlib import suppress
from typing import Any, NamedTuple

from penstock.documents.document_id import (
    HASHED,
    UNREADABLE,
    can_be_asked_for,
    document_id,
    has_bytes,
    read,
    read_id_json,
)
from penstock.errors import SettingsError
from penstock.opensearch.dead_letters.letter import StoredLetter
from penstock.opensearch.read.by_ids import IndexedDocument
from penstock.settings import RESERVED_FIELD


class DocumentRef(NamedTuple):
    """The document id; `source_id` is the `_id`, unknown where the document id is a hash."""

    text: str
    source_id: Any
    is_hashed: bool = False

    def source_id_by(self, found: IndexedDocument | None, letter: StoredLetter | None) -> Any:
        """The `_id`; where the document id is a hash, it is known by what the index or a dead letter keeps of it.

        Raises SettingsError when neither does.
        """
        if not self.is_hashed:
            return self.source_id
        if found is not None and (kept := found.source.get(RESERVED_FIELD, {}).get("id")):
            return read_id_json(kept)
        if letter is not None:
            return letter.source_id
        raise SettingsError(
            f"The document id {self.text} is a hash, and neither the index nor a dead letter has it: give the _id as"
            " extended JSON instead."
        )


def asked_id(typed: str) -> DocumentRef:
    """Read an id; what begins with `{` or `"` is extended JSON where it can be. Raises SettingsError."""
    if typed.startswith(HASHED):
        return DocumentRef(typed, None, is_hashed=True)
    try:
        source_id = _source_id(typed)
        found = DocumentRef(document_id(source_id), source_id)
        if not (can_be_asked_for(source_id) or has_bytes(source_id)):
            raise ValueError("no query can name it")
    except UNREADABLE as error:
        raise SettingsError(
            f"{typed!r} is not a document id: give it as `penstock dead-letters list` shows it, or the _id as extended"
            f' JSON, such as {{"$oid": "..."}}. If the _id is this text, give s:{typed}.'
        ) from error
    return found


def _source_id(typed: str) -> Any:
    if typed.startswith(("{", '"')):
        with suppress(*UNREADABLE):  # a text that only looks so
            return read_id_json(typed)
        return typed
    return read(typed)
