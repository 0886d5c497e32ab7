"""A dead letter as it is stored in the index."""

import hashlib
from datetime import datetime
from typing import Any, Final, NamedTuple

from penstock.documents.document_id import MAX_ID_BYTES, can_be_asked_for, document_id, read_id_json
from penstock.errors import SettingsError
from penstock.model import Namespace

SCHEMA: Final = 1


class StoredLetter(NamedTuple):
    """A stored dead letter; `body` is truncated, `body_bytes` is its full size.

    `seq_no` and `primary_term` identify exactly this state of it, so that a newer letter is never removed instead.
    """

    namespace: Namespace
    alias: str
    id: str
    id_json: str
    version: int
    reason: str
    body: str | None
    body_bytes: int
    stored_at: datetime
    letter_id: str
    seq_no: int
    primary_term: int

    @property
    def source_id(self) -> Any:
        """The `_id` of its document."""
        return read_id_json(self.id_json)

    @property
    def can_be_read(self) -> bool:
        """Whether that is certainly the `_id`: not a text that was not UTF-8, nor a number that cannot be written.

        Earlier versions wrote U+FFFD for what was not UTF-8.
        """
        source_id = self.source_id
        is_exact = "\ufffd" not in str(source_id) and document_id(source_id) == self.id
        return is_exact and can_be_asked_for(source_id)


def stored_letter(source: dict[str, Any], letter_id: str, seq_no: int, primary_term: int) -> StoredLetter:
    """Read a letter that has this id in the index.

    Raises SettingsError if another version of penstock wrote it in another format.
    """
    if source.get("schema") != SCHEMA:
        raise SettingsError(
            f"A dead letter of {source.get('namespace')} has the format {source.get('schema')!r}; this version of"
            f" penstock reads {SCHEMA}. Run the version that wrote it, or a newer one."
        )
    return StoredLetter(
        Namespace.named(source["namespace"]),
        source["alias"],
        source["id"],
        source["key"],
        source["version"],
        source["reason"],
        source.get("body"),
        source["body_bytes"],
        datetime.fromisoformat(source["stored_at"]),
        letter_id,
        seq_no,
        primary_term,
    )


def letter_id(namespace: Namespace, text_id: str, alias: str) -> str:
    """Return the id of a document's letter: readable if it fits, else its hash. Each generation has its own letters."""
    return _readable(f"{namespace}/{alias}", text_id)


def earlier_letter_ids(namespace: Namespace, text_id: str, alias: str) -> list[str]:
    """Return the ids that version 0.1.0 gave: those of first generations did not contain the alias."""
    return [_readable(str(namespace), text_id)] if alias.endswith("-g1-write") else []


def _readable(of: str, text_id: str) -> str:
    plain = f"{of.replace('%', '%25').replace('/', '%2F')}/{text_id}"
    if len(plain.encode()) <= MAX_ID_BYTES:
        return plain
    return "sha256-" + hashlib.sha256(plain.encode()).hexdigest()
