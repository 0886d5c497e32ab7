"""Reads an index as it was at one moment: with a point in time, from any place in it.

On servers that have none, or cannot sort by a document's place in its shard (OpenSearch before 3.3), it uses a scroll,
which cannot be resumed later.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import quote

from penstock.errors import SinkUnavailable
from penstock.opensearch.http.client import Client, Unreachable
from penstock.opensearch.http.requests import ask
from penstock.opensearch.http.waiting import RetryForever
from penstock.opensearch.read.scan import SEARCH, Entry, PlaceLost, entry_of, hits_of, scan, search, unreadable
from penstock.settings import RESERVED_FIELD

_KEEP = "10m"
"""How long the server keeps the point in time after each page."""

_SEARCH = f"/{SEARCH}"


class ScanPlace(NamedTuple):
    """Where to resume: the point in time, and the sort value of the last document (None at the start)."""

    pit: str
    after: list[Any] | None = None


class Paged(NamedTuple):
    """A page, and the place after it; None if reading cannot resume there."""

    entries: list[Entry]
    place: ScanPlace | None


def walk(client: Client, patience: RetryForever, index: str, place: ScanPlace | None, *, page: int) -> Iterator[Paged]:
    """Yield all documents after the place, in pages, in no order.

    If it is left early, the point in time stays, so that reading can resume from a place. Raises PlaceLost,
    SinkUnavailable, Stopped.
    """
    begun = (place, _page(client, patience, place, page)) if place else _begun(client, patience, index, page)
    if begun is None:
        yield from (Paged(entries, None) for entries in scan(client, patience, index, page=page))
        return
    at, found = begun
    while found is not None and found.place is not None:
        yield found
        at = found.place
        found = _page(client, patience, at, page)
    with suppress(Unreachable, SinkUnavailable):
        client.request("DELETE", "/_search/point_in_time", {"pit_id": [at.pit]})


def _begun(client: Client, patience: RetryForever, index: str, size: int) -> tuple[ScanPlace, Paged] | None:
    """Return a new point in time and its first page; None if the server has none, or none for us."""
    try:
        at = _opened(client, patience, index)
        found = _page(client, patience, at, size) if at else None
    except PlaceLost:
        raise
    except SinkUnavailable:  # if there is another problem, the scroll will report it
        return None
    return (at, found) if at and found else None


def _opened(client: Client, patience: RetryForever, index: str) -> ScanPlace | None:
    name = quote(index, safe="")
    ask(client, patience, "POST", f"/{name}/_refresh")
    answer = ask(client, patience, "POST", f"/{name}/_search/point_in_time?keep_alive={_KEEP}")
    return ScanPlace(answer.json()["pit_id"]) if answer.ok else None


def _page(client: Client, patience: RetryForever, at: ScanPlace, size: int) -> Paged | None:
    """Return the next page, empty at the end; None if the server cannot sort by places."""
    query: dict[str, Any] = {
        "size": size,
        "pit": {"id": at.pit, "keep_alive": _KEEP},
        "sort": [{"_shard_doc": "asc"}],
        "version": True,
        "track_total_hits": False,
        "_source": [f"{RESERVED_FIELD}.id"],
    }
    if at.after is not None:
        query["search_after"] = at.after
    answer = search(client, patience, _SEARCH, query)
    if answer.status == 400 and at.after is None:
        return None
    if answer.status == 404:
        raise PlaceLost("the server no longer has the point in time")
    parsed = answer.json()
    if not answer.ok or not isinstance(parsed, dict):
        raise unreadable(answer, _SEARCH)
    if not parsed["_shards"]["total"]:  # its response to a point in time that it does not know at all
        raise PlaceLost("the server does not know the point in time")
    hits = hits_of(parsed, "the index")
    after = ScanPlace(parsed.get("pit_id", at.pit), hits[-1]["sort"]) if hits else None
    return Paged([entry_of(hit) for hit in hits], after)
