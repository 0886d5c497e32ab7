"""A document's id as somebody typed it: the document id as penstock shows it, or the `_id` as extended JSON."""

from typing import Any, NamedTuple

from bson.errors import BSONError

from penstock.documents.document_id import HASHED, document_id, read, read_id_json
from penstock.errors import SettingsError


class DocumentRef(NamedTuple):
    """The document id; `source_id` is the `_id`, unknown where the document id is a hash."""

    text: str
    source_id: Any
    is_hashed: bool = False


def asked_id(typed: str) -> DocumentRef:
    """Read an id; what begins with `{` or `"` is extended JSON where it can be. Raises SettingsError."""
    if typed.startswith(("{", '"')):
        try:
            source_id = read_id_json(typed)
        except (ValueError, TypeError, BSONError):
            source_id = typed  # a text that only looks so
        return DocumentRef(document_id(source_id), source_id)
    if typed.startswith(HASHED):
        return DocumentRef(typed, None, is_hashed=True)
    try:
        source_id = read(typed)
    except (ValueError, ArithmeticError, BSONError) as error:
        raise SettingsError(
            f"{typed!r} is no document id: type it as `penstock dead-letters list` shows it, or the _id as extended"
            f' JSON, such as {{"$oid": "..."}}. A text of this form is s:{typed}.'
        ) from error
    return DocumentRef(document_id(source_id), source_id)
