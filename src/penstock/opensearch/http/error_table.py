"""What OpenSearch's responses mean, for an item of a bulk request and for a whole request.

    response                                                    means
    200, 201; 404 of a delete                                   written
    200 with the result `noop`: an ingest pipeline dropped it   refused for good
    409 version_conflict_engine_exception                       superseded
    429, 503, other 5xx; blocked or closed index; no response   wait
    5xx of an item with an exception of an ingest processor     permanently refused
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

BLOCKED: Final = frozenset({"cluster_block_exception", "index_create_block_exception"})
"""Error types for what OpenSearch refuses at present, with 403 like a missing right."""

TOO_MANY_CLAUSES: Final = re.compile(r"\btoo_many_(?:nested_)?clauses\b")
"""Error types for a search for too many words in too many fields: it is a 500, but waiting does not help."""

_NO_ROOM = re.compile(r"would add \[\d+\] .*shards.* maximum .*open")
"""The cluster has as many shards as it may have, so no index can be created at present."""

_NO_WRITE_INDEX = "no write index is defined for alias "
"""How the reason begins; further on it could be a document's own words."""

_REFUSED = {
    401: (
        "the credentials",
        "Correct [sink] auth, username and password (or password_file), the API key, or the region of the signature.",
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
_OF_A_PROCESSOR = frozenset(
    {
        *("fail_processor_exception", "class_cast_exception", "null_pointer_exception", "arithmetic_exception"),
        *("index_out_of_bounds_exception", "array_index_out_of_bounds_exception"),
        *("string_index_out_of_bounds_exception", "negative_array_size_exception"),
        *("number_format_exception", "unsupported_operation_exception"),
    }
)
"""What the processor `fail`, and Java code that meets a value it does not expect, raise for one document: answered with
500 like an ailing server, but the same each time."""

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
    if kind in MISSING or (kind == "illegal_argument_exception" and reason.startswith(_NO_WRITE_INDEX)):
        raise _taken_away(describe_error(error))
    wait = _wait(status, kind, describe_error(error))
    if wait is not None and kind not in _OF_A_PROCESSOR:
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
    if kind in BLOCKED:
        return Wait("blocked", detail)
    if kind == "validation_exception" and _NO_ROOM.search(detail):
        return Wait("full", detail)
    if kind in _CLOSED:
        return Wait("closed", detail)
    if status in _TRY_LATER:
        return Wait("overloaded", detail)
    if status >= 500 and not TOO_MANY_CLAUSES.search(detail):
        return Wait("unavailable", detail, unclear=True)
    return None


def describe_error(error: Mapping[str, Any]) -> str:
    """Return the type and the reason of an error and of its causes, shortened, without the document's values.

    A reason is kept where it is known to quote nothing of a document but names of fields; else only the type is.
    """
    parts: list[str] = []
    cause: Any = error
    while isinstance(cause, Mapping) and len(parts) < 5:
        kind, reason = str(cause.get("type", "error")), str(cause.get("reason", ""))
        if kind in _CLOSED and cause.get("index"):
            reason = f"the index {cause['index']} is closed"
        known = reason if kind in _ABOUT_THE_INDEX else harmless(reason)
        parts.append(f"{kind}: {known}" if known else kind)
        cause = cause.get("caused_by")
    if ": " not in parts[0]:
        parts.append("(the reason may quote the document and is left out)")
    return "; ".join(parts)[:REASON_CHARACTERS]


def harmless(reason: str) -> str:
    """Return what a reason says in words that are known to quote no value of a document; empty for any other."""
    found = _HARMLESS.match(reason)
    return found[0] if found else ""


_ABOUT_THE_INDEX = (
    MISSING
    | BLOCKED
    | _CLOSED
    | _FORBIDDEN
    | {
        *("unavailable_shards_exception", "no_shard_available_action_exception"),
        *("circuit_breaking_exception", "process_cluster_event_timeout_exception", "version_conflict_engine_exception"),
        *("rejected_execution_exception", "opensearch_rejected_execution_exception", "routing_missing_exception"),
        "action_request_validation_exception",
    }
)
"""Errors that speak of an index, a node or an id: their reasons are kept whole."""

_HARMLESS = re.compile(
    "|".join(
        (
            r"failed to parse field \[.+?\] of type \[\w+\]",
            r"failed to parse$",
            r"object mapping for \[.+\] tried to parse field \[.*\] as object, but found a concrete value$",
            r"mapper \[.+\] cannot be changed from type \[\w+\] to \[\w+\]$",
            r"can't merge a non object mapping \[.+\] with an object mapping.*$",
            r"Could not dynamically add mapping for field \[.+\]\. Existing mapping for \[.+\] must be of type object",
            r"Limit of [a-z ]+ \[\d+\] has been exceeded.*$",
            r"mapping set to strict, dynamic introduction of \[.+\] within \[.+\] is not allowed$",
            r'Document contains at least one immense term in field=".+?"',
            r"bytes can be at most \d+ in length; got \d+",
            r"Malformed content, found extra data after parsing: [A-Z_]+$",
            r"input array must have string values, but was \[[A-Z_]+\]$",
            r"The depth of the field has exceeded the allowed limit of \[\d+\]",
            r"The number of nested documents has exceeded the allowed limit of \[\d+\]",
            r"The length \[\d+\] of field \[.+?\]",
            r"field name cannot be an empty string$",
            r"object field starting or ending with a \[\.\] makes object resolution ambiguous",
            r"Field \[.+?\] is a metadata field and cannot be added inside a document",
            r"field \[[\w.]+\] (?:not present|is null or missing|doesn't exist)",
            r"Unexpected end-of-input within/between Object entries",
            r"Duplicate field '.+'",
            r"Compressor detection can only be called on some xcontent bytes or compressed xcontent bytes",
            r"if _id is specified it must not be empty$",
            rf"Validation Failed: 1: this action {_NO_ROOM.pattern};?$",
            r"Malformed action/metadata line \[\d+\]",
            r"no write index is defined for alias \[.+?\]",
            r"alias \[.+?\] has more than one index associated with it \[.+?\]",
            r"(?:pipeline with id|no pipeline) \[.+?\] does not exist",
        )
    )
)
"""The beginnings of reasons, up to where they may quote a value. A name in brackets is a field's or an index's."""

_QUOTED = re.compile(r"""(?s)'.*'|".*"|`.*`""")


def _message(parsed: Any, answer: Response) -> str:
    """Return the message of a response without an error in OpenSearch's format: from AWS or a proxy."""
    if isinstance(parsed, dict):
        for key in ("message", "Message", "error"):
            if isinstance(parsed.get(key), str):
                return _QUOTED.sub("…", parsed[key])[:REASON_CHARACTERS]
    return f"{len(answer.raw)} bytes that are not OpenSearch's JSON"
