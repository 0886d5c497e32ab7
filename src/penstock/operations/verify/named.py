"""Documents that somebody names, to be verified alone."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from penstock.documents.document_id import FOREIGN, HIDDEN, can_be_asked_for, source_id_of
from penstock.errors import SettingsError
from penstock.opensearch.read.by_ids import IndexedDocument
from penstock.settings import RESERVED_FIELD


def named_documents(
    ids: Iterable[str], indexed: Callable[[Iterable[str]], Mapping[str, IndexedDocument]]
) -> dict[str, Any]:
    """Return the `_id` of each document by its document id. Raises SettingsError for one that is not known."""
    asked = list(dict.fromkeys(ids))
    found = indexed(asked)
    source_ids = {text: source_id_of(text, _kept(found.get(text))) for text in asked}
    if unknown := [text for text, each in source_ids.items() if not _can_be_looked_for(each)]:
        raise SettingsError(
            f"{', '.join(unknown)}: such a document cannot be looked for alone, since its _id is not known here. Verify"
            " the whole collection."
        )
    return source_ids


def _kept(found: IndexedDocument | None) -> str | None:
    """What the index keeps of an `_id` that the document id cannot tell."""
    kept: str | None = found.source.get(RESERVED_FIELD, {}).get("id") if found else None
    return kept


def _can_be_looked_for(source_id: Any) -> bool:
    return source_id is FOREIGN or (source_id is not HIDDEN and can_be_asked_for(source_id))
