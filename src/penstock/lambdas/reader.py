"""The function `reader`: GET /demo-data returns documents of the index, as an array of OpenSearch's hits.

    q      full text, over all fields: all words must occur, in any of them. `a | b`, `-word`, `"a phrase"` and `begin*`
           are understood; no text is a syntax error
    size   maximum number of documents, 1 to 1000; default 10
    after  the next page: the value of the header x-next-after in the last response; `Link` has the whole address
    id     one document by its document id (docs/bson.md); cannot be combined with other parameters

The best hits come first. A document is found about a second after it was written to the index. Everything is read with
POST /<alias>/_search.

OpenSearch refuses a search of too many words in too many fields (1,024 together). Then the fields are searched part by
part, one part after the other: all words must occur in fields of one part, and a page may be short. Which fields there
are is asked with POST /<alias>/_field_caps; the function's role allows no other request than these two.
"""

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import orjson
import structlog

from penstock.documents.document_id import MAX_ID_BYTES
from penstock.errors import SinkUnavailable
from penstock.lambdas.clients import collection, sink
from penstock.lambdas.http import ApiReply, ApiRequest, BadRequest, Proxied, answer, message
from penstock.lambdas.paging import SORT, SearchPlace, beginning, from_text, place_after, to_text
from penstock.observe.metrics import Metrics
from penstock.opensearch.http.client import Response, ResponseTooLarge
from penstock.opensearch.http.error_table import MISSING, TOO_MANY_CLAUSES
from penstock.opensearch.http.requests import ask, error_of
from penstock.opensearch.http.waiting import RetryForever
from penstock.runtime.backoff import Backoff

log = structlog.get_logger(__name__)

_AWAY = "The index did not answer in time. Try again."
_PARAMETERS = ("q", "size", "after", "id")
_MOST = 1000
_MOST_ANSWER_BYTES = 5_500_000
"""Lambda refuses a response of more than 6 MB, in which the body is a JSON string."""

_MOST_SEARCH_BYTES = 24 * 1024 * 1024
"""Of a response of the index that the function has memory for; a larger one is asked for in smaller pieces."""

_OMITTED = "The document is larger than a response may be."
_DIGITS_OF_INT64 = 19

_ALL = ("*",)
_MOST_FIELDS = 1000
_TEXTS = frozenset({"text", "match_only_text"})
_PLAIN = frozenset(
    {"keyword", "wildcard", "flat_object", "ip", "date", "date_nanos", "byte", "short", "integer", "long"}
    | {"unsigned_long", "half_float", "float", "double", "scaled_float"}
)
_WIDE = re.compile(f"{TOO_MANY_CLAUSES.pattern}|field expansion matches too many fields".encode())


class Search(NamedTuple):
    """The parameters of a search."""

    q: str | None = None
    size: int = 10
    after: SearchPlace | None = None
    id: str | None = None


class SearchPage(NamedTuple):
    """The result: hits, one more than are to be shown if there are more; the total if it is known exactly.

    At most `most` are to be shown. `start` is the first field of the part that was searched, `following` that of the
    next part.
    """

    hits: Sequence[Any]
    total: int | None
    most: int = 0
    start: int | None = None
    following: int | None = None


class _TooWide(Exception):
    """OpenSearch refuses to search for these words in these fields: there are too many."""


def handler(event: Any, context: Any) -> Proxied:
    """Handle a request of API Gateway."""
    return answer(event, context, method="GET", handle=_read, away=_AWAY)


def _read(request: ApiRequest, stop: threading.Event) -> ApiReply:
    search = search_of(request.parameters)
    page = _found(search, stop)
    if search.id is not None and not page.hits:
        return ApiReply(404, message("The index has no document with this id."))
    hits = list(_fitting(page.hits[: page.most]))
    headers = {} if page.total is None else {"x-total-count": str(page.total)}
    if (place := _place_after(page, len(hits), search)) is not None:
        after = to_text(place, search.q)
        following = urlencode({**request.parameters, "after": after})
        headers |= {"x-next-after": after, "link": f'<{quote(request.path, safe="/%")}?{following}>; rel="next"'}
    return ApiReply(200, b"[%b]" % b",".join(hits), headers)


def _place_after(page: SearchPage, given: int, search: Search) -> SearchPlace | None:
    if given < len(page.hits):
        return place_after(page.hits[:given], search.after, page.start)
    return None if page.following is None else beginning(page.following)


def search_of(parameters: Mapping[str, str]) -> Search:
    """Read the parameters. Raises BadRequest with everything that is wrong."""
    problems = [f"`{name}` is not known" for name in sorted(parameters) if name not in _PARAMETERS]
    if "id" in parameters and len(parameters) > 1 and not problems:
        problems.append("`id` cannot be combined with other parameters")
    if not 0 < len(parameters.get("id", "1").encode()) <= MAX_ID_BYTES:
        problems.append(f"`id` must have 1 to {MAX_ID_BYTES} bytes")
    if not parameters.get("q", "all").strip():
        problems.append("`q` is empty; leave it out to read all documents")
    size = parameters.get("size", "10")
    if not (size.isascii() and size.isdigit() and len(size) <= 4 and 1 <= int(size) <= _MOST):
        problems.append(f"`size` must be a whole number from 1 to {_MOST}")
    if problems:
        raise BadRequest(f"{'; '.join(problems)}. The parameters are {', '.join(_PARAMETERS)}.")
    q, after = parameters.get("q"), parameters.get("after")
    return Search(q, int(size), None if after is None else from_text(after, q), parameters.get("id"))


def _found(search: Search, stop: threading.Event) -> SearchPage:
    """Search in all fields, at once or part by part. Raises BadRequest, SinkUnavailable, Stopped."""
    if search.after is None or search.after.start is None:
        with suppress(_TooWide):
            return _searched(search, stop, _ALL)
        search = search._replace(after=None)
    return _found_by_parts(search, stop)


def _found_by_parts(search: Search, stop: threading.Event) -> SearchPage:
    """Search in the first part that has hits. The same words and the same first field make the same part."""
    fields, width = _fields(stop), _MOST_FIELDS
    start = search.after.start or 0 if search.after else 0
    while fields[start:]:
        try:
            page = _searched(search, stop, fields[start : start + width])
        except _TooWide:
            width //= 2
            if not width:
                raise BadRequest("OpenSearch refuses `q`: it has too many words.") from None
            continue
        end = start + width
        following = end if fields[end:] else None
        if page.hits or following is None:
            return SearchPage(page.hits, None, page.most, start, following)
        search, start = search._replace(after=None), end
    return SearchPage((), None)


def _fields(stop: threading.Event) -> list[str]:
    """The fields in which words can be searched; those of texts first, without their other forms (`name.keyword`)."""
    reply = _ask(stop, "_field_caps?fields=*")
    types = {name: next(iter(each)) for name, each in reply.json()["fields"].items()} if reply.ok else {}
    texts = {name for name, kind in types.items() if kind in _TEXTS}
    others = {name for name, kind in types.items() if kind in _PLAIN and name.rpartition(".")[0] not in texts}
    return [*sorted(texts), *sorted(others)]


def _searched(search: Search, stop: threading.Event, fields: Sequence[str]) -> SearchPage:
    """Search until all shards of the index answer. Raises BadRequest, _TooWide, SinkUnavailable, Stopped."""
    backoff = Backoff(stop)
    body = body_of(search, fields)
    while True:
        try:
            reply = _ask(stop, "_search", body)
        except ResponseTooLarge:
            body = _smaller(body)
            continue
        if not reply.ok:
            return _refused(reply, search)
        found = verbatim(reply.raw)
        if not found["timed_out"] and not found["_shards"]["failed"]:
            break
        log.info("searching again, some shards did not answer", failed=found["_shards"]["failed"])
        backoff.wait()
    total = found["hits"]["total"]
    is_known = total["relation"] == "eq" and search.after is None
    hits, asked = found["hits"]["hits"], body["size"]
    if hits and asked == 1 and search.id is None:  # whether there are more nobody knows: the next page may be empty
        hits = [*hits, None]
    most = search.size if asked > search.size else max(1, asked - 1)
    return SearchPage(hits, total["value"] if is_known else None, most)


def _smaller(body: dict[str, Any]) -> dict[str, Any]:
    """Return the search for fewer hits; for one without its document where one is too much already."""
    size = body["size"]
    return {**body, "size": max(1, size // 4)} if size > 1 else {**body, "_source": False}


def _ask(stop: threading.Event, endpoint: str, body: dict[str, Any] | None = None) -> Response:
    path = f"/{quote(collection().alias, safe='')}/{endpoint}"
    return ask(sink(), RetryForever(_metrics(), stop), "POST", path, body, most_bytes=_MOST_SEARCH_BYTES)


def _refused(reply: Response, search: Search) -> SearchPage:
    kind, reason = error_of(reply)
    if reply.status == 404 and kind in MISSING:
        return SearchPage((), 0)
    if _WIDE.search(reply.raw):
        raise _TooWide
    if reply.status == 400 and search.q is not None:
        raise BadRequest(f"OpenSearch refuses `q`: {reason or kind}.")
    raise SinkUnavailable(f"The search was refused ({reply.status} {kind}: {reason}).")


def body_of(search: Search, fields: Sequence[str] = _ALL) -> dict[str, Any]:
    """Return the body of the search request."""
    if search.id is not None:
        return {"size": 1, "query": {"ids": {"values": [search.id]}}}
    words = {"query": search.q, "fields": list(fields), "lenient": True, "default_operator": "and"}
    matching = {"match_all": {}} if search.q is None else {"simple_query_string": words}
    query: dict[str, Any] = {"must": [matching]}
    place = search.after
    if place is None:
        return {"size": search.size + 1, "sort": SORT, "query": {"bool": query}}
    query["must_not"] = [{"ids": {"values": place.given}}]
    return {"size": search.size + 1, "sort": SORT, "query": {"bool": query}, **place.search()}


def _fitting(hits: Sequence[Any]) -> Iterator[bytes]:
    """Yield hits as JSON, as many as fit into a response; one that never fits comes without its `_source`."""
    left = _MOST_ANSWER_BYTES
    for place, hit in enumerate(hits):
        kept = {name: hit[name] for name in ("_index", "_id", "_score", "_source") if name in hit}
        if "_source" not in kept:
            kept["_omitted"] = _OMITTED
        text = written(kept)
        size = len(orjson.dumps(text.decode())) + 1
        if size > _MOST_ANSWER_BYTES:
            del kept["_source"]
            text = written({**kept, "_omitted": _OMITTED})
            size = len(text)
        if size > left and place:
            return
        left -= size
        yield text


def verbatim(raw: bytes) -> Any:
    """Parse JSON so that `written` keeps the digits of every number: `_source` has all digits of a decimal."""
    return json.loads(raw, parse_float=_Digits, parse_int=_whole)


def written(value: Any) -> bytes:
    """Return the JSON of a value that `verbatim` has parsed."""
    return orjson.dumps(value, _fragment)


class _Digits(float):
    """A number that remembers how it was written."""

    text: str

    def __new__(cls, text: str) -> "_Digits":
        number = super().__new__(cls, text)
        number.text = text
        return number


def _whole(text: str) -> float:
    return int(text) if len(text) < _DIGITS_OF_INT64 else _Digits(text)


def _fragment(value: Any) -> orjson.Fragment:
    return orjson.Fragment(value.text)


@cache
def _metrics() -> Metrics:
    return Metrics()
