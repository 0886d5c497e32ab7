"""Reads an index: all ids with their versions in bounded memory, and documents by id in real time."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from penstock.errors import SinkUnavailable
from penstock.opensearch.http.client import Client, Response, Unreachable
from penstock.opensearch.http.requests import ask, error_of
from penstock.opensearch.http.waiting import RetryForever
from penstock.opensearch.read.by_ids import read_by_ids
from penstock.settings import RESERVED_FIELD

PAGE: Final = 2000

SEARCH: Final = "_search?allow_partial_search_results=false"
"""While shards are missing, such a search is refused and asked again."""

_KEEP = "10m"
"""How long the server keeps the place of a scan between two pages; a consumer may take that long for a page."""


_SOURCE_IS_OFF = b"_source is disabled"
"""OpenSearch refuses a search for parts of what an index does not keep."""


class PlaceLost(SinkUnavailable):
    """The server no longer has the place of a scan (it was restarted, or too much time has passed): start again."""


class Entry(NamedTuple):
    """A document of an index without its body; `id_json` is the original `_id` in the reserved field, if it has one."""

    id: str
    version: int
    id_json: str | None


def scan(client: Client, patience: RetryForever, index: str, *, page: int = PAGE) -> Iterator[list[Entry]]:
    """Yield all documents as they were at the start, in pages, in no order.

    Raises PlaceLost between two pages, SinkUnavailable, Stopped.

    Close the generator when you leave it early; otherwise the server keeps the place for minutes.
    """
    field = f"{RESERVED_FIELD}.id"
    query = {"size": page, "sort": ["_doc"], "version": True, "_source": [field], "query": {"match_all": {}}}
    for hits in scrolled(client, patience, index, query):
        yield [entry_of(hit) for hit in hits]


def scrolled(
    client: Client, patience: RetryForever, index: str, query: dict[str, Any]
) -> Iterator[list[dict[str, Any]]]:
    """Yield the results of a search, page by page, as they were at the start; see `scan`."""
    name = quote(index, safe="")
    read_json(client, patience, "POST", f"/{name}/_refresh", None)
    answer = read_json(client, patience, "POST", f"/{name}/{SEARCH}&scroll={_KEEP}", query)
    try:
        while hits := hits_of(answer, index):
            yield hits
            answer = _next_page(client, patience, index, answer["_scroll_id"])
    finally:
        with suppress(Unreachable, SinkUnavailable):
            client.request("DELETE", "/_search/scroll", {"scroll_id": [answer["_scroll_id"]]})


def _next_page(client: Client, patience: RetryForever, index: str, scroll: str) -> dict[str, Any]:
    """Return the next page of a scroll. Raises PlaceLost, also when only some shards have lost it."""
    answer = ask(client, patience, "POST", "/_search/scroll", {"scroll": _KEEP, "scroll_id": scroll})
    parsed = answer.json()
    if answer.status == 404 or (answer.ok and isinstance(parsed, dict) and parsed["_shards"]["failed"]):
        raise PlaceLost(f"{index} could not be read to its end: OpenSearch has lost the place. Try again.")
    if not answer.ok or not isinstance(parsed, dict):
        raise unreadable(answer, "/_search/scroll")
    return parsed


def read_sources(client: Client, patience: RetryForever, index: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the bodies of documents in real time, by id; missing ones are left out. Raises SinkUnavailable."""
    found = read_by_ids(client, patience, index, ids)
    return {text_id: document.source for text_id, document in found.items()}


def sample(client: Client, patience: RetryForever, index: str, size: int) -> list[Entry]:
    """Return `size` random documents, at most 10,000. Raises SinkUnavailable."""
    name = quote(index, safe="")
    read_json(client, patience, "POST", f"/{name}/_refresh", None)
    by_chance: dict[str, Any] = {"function_score": {"query": {"match_all": {}}, "random_score": {}}}
    query = {"size": size, "version": True, "_source": [f"{RESERVED_FIELD}.id"], "query": by_chance}
    return [entry_of(hit) for hit in hits_of(read_json(client, patience, "POST", f"/{name}/_search", query), index)]


def count(client: Client, patience: RetryForever, index: str) -> int:
    """Return how many documents an index or alias has; up to a second old."""
    answer = read_json(client, patience, "POST", f"/{quote(index, safe='')}/_count", {"query": {"match_all": {}}})
    return int(answer["count"])


def read_json(
    client: Client, patience: RetryForever, method: str, path: str, body: dict[str, Any] | None
) -> dict[str, Any]:
    """Return the response to a request that must succeed. Raises SinkUnavailable, Stopped."""
    answer = search(client, patience, path, body) if body else ask(client, patience, method, path)
    parsed = answer.json()
    if not answer.ok or not isinstance(parsed, dict):
        raise unreadable(answer, path)
    return parsed


def search(client: Client, patience: RetryForever, path: str, query: dict[str, Any]) -> Response:
    """Return the response to a search; without parts of `_source` where a mapping has switched that off."""
    answer = ask(client, patience, "POST", path, query)
    if answer.status == 400 and _SOURCE_IS_OFF in answer.raw:
        return ask(client, patience, "POST", path, {**query, "_source": False})
    return answer


def unreadable(answer: Response, path: str) -> SinkUnavailable:
    """Return the error for a response without documents."""
    kind, reason = error_of(answer)
    return SinkUnavailable(f"The index cannot be read ({path.partition('?')[0]}: {answer.status} {kind}: {reason}).")


def hits_of(answer: dict[str, Any], index: str) -> list[dict[str, Any]]:
    """Return the documents of a page. Raises SinkUnavailable if a shard's are missing."""
    shards = answer["_shards"]
    if answer["timed_out"] or shards["successful"] < shards["total"]:
        raise SinkUnavailable(
            f"{index} could not be read completely: {shards['failed']} of {shards['total']} shards failed. Try again."
        )
    hits: list[dict[str, Any]] = answer["hits"]["hits"]
    return hits


def entry_of(hit: dict[str, Any]) -> Entry:
    """Return one document of a page as an entry."""
    reserved = hit.get("_source", {}).get(RESERVED_FIELD, {})
    return Entry(hit["_id"], hit["_version"], reserved.get("id"))
