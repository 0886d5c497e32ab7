"""What OpenSearch's responses mean, for an item of a bulk request and for a whole request.

    response                                                    means
    200, 201; 404 of a delete                                   written
    200 with the result `noop`: an ingest pipeline dropped it   refused for good
    409 version_conflict_engine_exception                       superseded
    429, 503, other 5xx; blocked or closed index; no response   wait
    400 validation_exception: no room for more shards           wait
    404 index_not_found_exception, an alias without an index    IndexTakenAway
    401, 403                                                    SinkUnavailable, after the credentials were renewed
    404, 405, 3xx of a whole request                            SinkUnavailable: something else answers there
    413, 400 and other 4xx of a whole request                   split; for a single write: permanently refused
    any other 4xx of an item                                    permanently refused

The bodies were recorded from a real server: testkit/opensearch_bodies.json.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from penstock.errors import IndexTakenAway, IndexUnreadable, SinkUnavailable
from penstock.model import SUPERSEDED, WRITTEN, Outcome, Refusal
from penstock.opensearch.http.client import Response
from penstock.opensearch.http.waiting import Wait

REASON_CHARACTERS: Final = 1000

MISSING: Final = frozenset({"index_not_found_exception", "no_such_index_exception"})
"""Error types for an index or alias that does not exist."""

TOO_MANY_CLAUSES: Final = "maxClauseCount"
"""In the reason of a search that asks for too many words in too many fields: it is a 500, but waiting does not help."""

_BLOCKED = frozenset({"cluster_block_exception", "index_create_block_exception"})
_NO_ROOM = re.compile(r"would add \[\d+\] .*shards.* maximum .*open")
"""The cluster has as many shards as it may have, so no index can be created at present."""

_REFUSED = {
    401: (
        "the credentials",
        "Correct [sink] auth, username and password (or password_file), or the region of the signature.",
    ),
    403: (
        "a permission",
        "Give the user, or the AWS role and the domain's access policy, this right: docs/rights.md lists all.",
    ),
}
"""What is refused, by status, and what to do."""

_CLOSED = frozenset({"index_closed_exception"})
_FORBIDDEN = frozenset({"security_exception", "authorization_exception", "access_denied_exception"})
_TRY_LATER = frozenset({408, 425, 429})
_UNREADABLE = frozenset({"routing_missing_exception", "illegal_argument_exception"})
"""Why an index answers no read by ids, however often it is asked: its mapping, or an alias of several indexes."""


DROPPED: Final = "dropped by an ingest pipeline of the index"
"""The reason of a refusal that OpenSearch reports as success: nothing was written."""


def judge_item(status: int, error: Mapping[str, Any] | None, result: str = "") -> Outcome | Wait:
    """Return what an item of a bulk response means. Raises IndexTakenAway, SinkUnavailable."""
    if result == "noop":
        return Refusal(status, DROPPED)
    if 200 <= status < 300 or (status == 404 and error is None):
        return WRITTEN
    error = error or {}
    kind, reason = str(error.get("type", "")), str(error.get("reason", ""))
    if status == 409 and kind == "version_conflict_engine_exception":
        return SUPERSEDED
    if kind in MISSING or "no write index is defined for alias" in reason:
        raise _taken_away(describe_error(error))
    wait = _wait(status, kind, describe_error(error))
    if wait is not None:
        return wait
    if status in (401, 403) or kind in _FORBIDDEN:
        cause = describe_error(error)
        raise SinkUnavailable(f"The index refused a write: {cause}.", "Grant this user write access to the index.")
    return Refusal(status, describe_error(error))


def judge_request(answer: Response, what: str) -> Wait | Refusal:
    """Return what the failure of a whole request means; a Refusal is permanent and due to the request's content.

    Raises SinkUnavailable, whose message starts with `what` was asked.
    """
    parsed = answer.json()
    error = parsed.get("error") if isinstance(parsed, dict) else None
    detail = describe_error(error) if isinstance(error, Mapping) else _message(parsed, answer)
    kind = str(error.get("type", "")) if isinstance(error, Mapping) else ""
    wait = _wait(answer.status, kind, detail)
    if wait is not None:
        return wait
    if answer.status in (401, 403):
        refused, todo = _REFUSED[401 if answer.status == 401 else 403]
        raise SinkUnavailable(f"{what}: OpenSearch refused {refused} ({answer.status}: {detail}).", todo)
    if kind in MISSING:
        raise _taken_away(detail)
    if answer.status < 400 or (answer.status in (404, 405) and not kind):
        cause = f"{what}: not a response of OpenSearch ({answer.status}: {detail})."
        raise SinkUnavailable(cause, "Check the address in [sink] url.")
    if answer.status == 413:
        return Refusal(413, "larger than the server accepts in one request")
    return Refusal(answer.status, detail)


def judge_read(index: str, error: Mapping[str, Any]) -> Wait:
    """Return the wait that one document of a read by ids asks for. Raises IndexUnreadable, SinkUnavailable."""
    kind, detail = str(error.get("type", "")), describe_error(error)
    if kind in _UNREADABLE:
        raise IndexUnreadable(
            f"{index} cannot be read by ids: {detail}. penstock reads from one index, without routing: correct its"
            " aliases; or build it again with `penstock reindex`, without `_routing` in the mapping."
        )
    if kind in _FORBIDDEN:
        raise SinkUnavailable(f"{index} cannot be read: {detail}. Grant this user read access to the index.")
    return _wait(0, kind, detail) or Wait("unavailable", detail)


def _taken_away(detail: str) -> IndexTakenAway:
    return IndexTakenAway(
        f"The index refused a write: {detail}. Another tool deleted or replaced it or removed its alias, so the saved"
        " position no longer belongs to it. If the index is unchanged, restore its aliases; else run `penstock load"
        " --again` for its collection."
    )


def lost(detail: str, *, unclear: bool) -> Wait:
    """Return the wait after no response, or after one that cannot be understood."""
    return Wait("lost", detail, unclear=unclear)


def _wait(status: int, kind: str, detail: str) -> Wait | None:
    """Return the wait that a status or an error type asks for, None if waiting would change nothing."""
    if kind in _BLOCKED:
        return Wait("blocked", detail)
    if kind == "validation_exception" and _NO_ROOM.search(detail):
        return Wait("full", detail)
    if kind in _CLOSED:
        return Wait("closed", detail)
    if status in _TRY_LATER:
        return Wait("overloaded", detail)
    if status >= 500 and TOO_MANY_CLAUSES not in detail:
        return Wait("unavailable", detail, unclear=True)
    return None


def describe_error(error: Mapping[str, Any]) -> str:
    """Return the type, the reason and the causes in OpenSearch's words, shortened, without the document's values.

    Some causes quote the value. Only their type is kept.
    """
    parts: list[str] = []
    cause: Any = error
    of_a_value = False
    while isinstance(cause, Mapping) and len(parts) < 5:
        kind, reason = str(cause.get("type", "error")), str(cause.get("reason", ""))
        if kind in _CLOSED and cause.get("index"):
            reason = f"the index {cause['index']} is closed"
        parts.append(kind if of_a_value else f"{kind}: {without_values(reason)}")
        of_a_value = of_a_value or reason.startswith("failed to parse field")
        cause = cause.get("caused_by")
    return "; ".join(parts)[:REASON_CHARACTERS]


_TAIL = re.compile(
    r"(?is)[\s.]*(\bin document with id|preview of field's value|the prefix of the first immense term|\bat \[source).*"
)
_QUOTED = re.compile(r"""(?s)(?<!\bfield )'.*'|(?<!\bfield=)".*"|`.*`""")


def without_values(reason: str) -> str:
    """Remove what OpenSearch quotes from a document in a message; field names stay, in their brackets."""
    return _QUOTED.sub("'…'", _TAIL.sub("", reason))


def _message(parsed: Any, answer: Response) -> str:
    """Return the message of a response without an error in OpenSearch's format: from AWS or a proxy."""
    if isinstance(parsed, dict):
        for key in ("message", "Message", "error"):
            if isinstance(parsed.get(key), str):
                return without_values(parsed[key])[:REASON_CHARACTERS]
    return f"{len(answer.raw)} bytes that are not OpenSearch's JSON"
