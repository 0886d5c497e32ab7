"""Searches an index as people do: through its read alias, in the language of a search box."""

import secrets
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from penstock.connections import sink_client
from penstock.errors import SettingsError, SinkUnavailable
from penstock.opensearch.http.client import Unreachable
from penstock.opensearch.http.requests import error_of
from penstock.settings import RESERVED_FIELD, Settings

HITS: Final = 20
LONGEST_QUERY: Final = 1000
_MOST_COUNTED: Final = 10_000
_ENDS_AFTER: Final = "5s"


@dataclass(frozen=True)
class Piece:
    """A piece of a text; the query matches in those that are `marked`."""

    text: str
    marked: bool


@dataclass(frozen=True)
class Hit:
    """A document that was found: its document id, its fields, and by field what matches in it."""

    id: str
    index: str
    score: float | None
    source: Mapping[str, Any]
    highlights: Mapping[str, Sequence[Sequence[Piece]]]


@dataclass(frozen=True)
class Found:
    """The best hits; `total` is exact unless `at_least`."""

    hits: Sequence[Hit]
    total: int
    at_least: bool
    took_ms: int


def search(settings: Settings, namespace: str, query: str) -> Found:
    """Search a collection's index through its read alias. Raises SettingsError, SinkUnavailable.

    The query is OpenSearch's simple query string: words, "phrases", -without, begin*.
    """
    alias = next((each.alias for each in settings.collections if each.namespace == namespace), None)
    if alias is None:
        raise SettingsError(f"{namespace} is not a declared collection: add a [[collections]] table for it.")
    mark = secrets.token_hex(8)
    with closing(sink_client(settings)) as client:
        path = f"/{quote(alias, safe='')}/_search?timeout={_ENDS_AFTER}&request_cache=false"
        try:
            answer = client.request("POST", path, _body(query[:LONGEST_QUERY], mark))
        except Unreachable as error:
            raise SinkUnavailable(f"No usable response from {client.url}: {error}.", error.todo) from None
    if answer.status == 404:
        raise SinkUnavailable(f"There is no index {alias} yet.", f"Load it: penstock load {namespace}")
    if not answer.ok:
        kind, reason = error_of(answer)
        raise SinkUnavailable(f"The search in {alias} was refused ({answer.status} {kind}: {reason}).")
    return _found(answer.json(), mark)


def _body(query: str, mark: str) -> dict[str, Any]:
    words = {"query": query, "fields": ["*"], "lenient": True, "default_operator": "and"}
    return {
        "query": {"simple_query_string": words} if query.strip() else {"match_all": {}},
        "size": HITS,
        "track_total_hits": _MOST_COUNTED,
        "highlight": {
            "fields": {"*": {}},
            "require_field_match": False,
            "pre_tags": [mark],
            "post_tags": [mark],
            "max_analyzer_offset": 100_000,
            "number_of_fragments": 2,
            "fragment_size": 120,
        },
    }


def _found(answer: Mapping[str, Any], mark: str) -> Found:
    total = answer["hits"]["total"]
    return Found(
        hits=[_hit(each, mark) for each in answer["hits"]["hits"]],
        total=total["value"],
        at_least=total["relation"] != "eq",
        took_ms=answer["took"],
    )


def _hit(hit: Mapping[str, Any], mark: str) -> Hit:
    return Hit(
        id=hit["_id"],
        index=hit["_index"],
        score=hit.get("_score"),
        source={name: value for name, value in hit.get("_source", {}).items() if name != RESERVED_FIELD},
        highlights={
            field: [_pieces(each, mark) for each in fragments]
            for field, fragments in hit.get("highlight", {}).items()
            if not field.endswith(".keyword")
        },
    )


def _pieces(text: str, mark: str) -> list[Piece]:
    return [Piece(piece, marked=bool(place % 2)) for place, piece in enumerate(text.split(mark)) if piece]
