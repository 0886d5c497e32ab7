"""Compares documents with the index, field by field.

`differences` compares one document. `compare` compares a whole collection, but only while nothing is written: changes
in flight show up as differences. `penstock.operations.verify` handles those.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from penstock.documents.document_id import document_id
from penstock.model import BsonDocument
from penstock.operations.inspect.differences import differences

_SHOWN = 20


class MakeBody(Protocol):
    """Makes the body of a document, or returns None to leave it out. Raises DocumentError."""

    def __call__(self, document: dict[str, object], /) -> bytes | None: ...


@dataclass
class Comparison:
    """The result; `differences` lists at most 20 of them, with the document id and the names of the fields."""

    documents: int = 0
    fields: int = 0
    left_out: int = 0
    missing: int = 0
    different: int = 0
    too_many: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether the index holds exactly what the collection says it should."""
        return not (self.missing or self.different or self.too_many)


def compare(
    pages: Iterable[Sequence[BsonDocument]],
    transform: MakeBody,
    fetch: Callable[[Sequence[str]], Mapping[str, Any]],
    count: Callable[[], int],
) -> Comparison:
    """Compare each document of the source with the index; `count` then shows whether the index has more.

    `pages` are the source's documents, `fetch` returns the indexed documents by their ids in real time.
    """
    found = Comparison()
    for page in pages:
        expected = {document_id(each["_id"]): transform(dict(each)) for each in page}
        indexed = fetch(list(expected))
        for text_id, body in expected.items():
            _compare(found, text_id, body, indexed.get(text_id))
    found.too_many += max(0, count() - (found.documents - found.missing))
    return found


def _compare(found: Comparison, text_id: str, body: bytes | None, indexed: Mapping[str, Any] | None) -> None:
    if body is None:
        found.left_out += 1
        if indexed is not None:
            _note(found, f"{text_id}: left out by the transform, but in the index")
            found.different += 1
            found.documents += 1
        return
    found.documents += 1
    found.fields += len(orjson.loads(body))
    if indexed is None:
        found.missing += 1
        _note(found, f"{text_id}: missing in the index")
    elif names := differences(body, indexed):
        found.different += 1
        _note(found, f"{text_id}: differs in {', '.join(names)}")


def _note(found: Comparison, difference: str) -> None:
    if len(found.differences) < _SHOWN:
        found.differences.append(difference)
