"""The end of a page of search results, as the opaque text `after` that asks for the next page.

Results are ordered by score and then by sequence number, which has doc values; sorting by `_id` would load every id
into the heap, and may be forbidden. A sequence number is only unique within a shard, so the text also names the
documents of the page that share the last one's place; the next page starts at that place, without them.

A document that is written between two pages moves to the end: it may be returned twice, but is never missed.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Any, NamedTuple
from zlib import crc32

import orjson

from penstock.lambdas.http import BadRequest

SORT = [{"_score": "desc"}, {"_seq_no": "asc"}]

_HIGHEST_SCORE = 3.4e38

_NOT_OURS = "`after` does not belong to this search: give the one of its last response, with the same `q`."


class SearchPlace(NamedTuple):
    """The place after a page: score and sequence number of its last document, and the ids returned at that place.

    `start`: the first of the fields that were searched, where a search of all of them at once was refused.
    """

    score: float
    sequence: int
    given: tuple[str, ...] = ()
    start: int | None = None

    def search(self) -> dict[str, Any]:
        """Return the part of a search's body that makes it start at this place."""
        return {"search_after": [self.score, self.sequence - 1]}


def place_after(hits: Sequence[Any], before: SearchPlace | None, start: int | None = None) -> SearchPlace:
    """Return the place after these hits, which start at the place `before`."""
    score, sequence = hits[-1]["sort"]
    given = [hit["_id"] for hit in hits if hit["sort"] == [score, sequence]]
    if before is not None and (before.score, before.sequence, before.start) == (score, sequence, start):
        given = [*before.given, *given]
    return SearchPlace(float(score), sequence, tuple(given), start)


def beginning(start: int) -> SearchPlace:
    """Return the place before the first hit of a search in the fields from `start` on."""
    return SearchPlace(_HIGHEST_SCORE, 0, (), start)


def to_text(place: SearchPlace, query: str | None) -> str:
    """Return the text for a place in the results of a query."""
    return urlsafe_b64encode(orjson.dumps([_of(query), *place])).decode().rstrip("=")


def from_text(text: str, query: str | None) -> SearchPlace:
    """Read a text made by `to_text`. Raises BadRequest."""
    try:
        of, score, sequence, given, start = orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, TypeError):
        raise BadRequest(_NOT_OURS) from None
    ids = isinstance(given, list) and all(isinstance(each, str) and each for each in given)
    numbers = type(score) is float and _is_count(sequence) and (start is None or _is_count(start))
    if of != _of(query) or not numbers or not ids:
        raise BadRequest(_NOT_OURS)
    return SearchPlace(score, sequence, tuple(given), start)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _of(query: str | None) -> int:
    return 0 if query is None else crc32(query.encode())
