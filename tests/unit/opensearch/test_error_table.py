"""The error table on the bodies that a real server answered (testkit/opensearch_bodies.json)."""

import json
from typing import Any

import pytest

from penstock.errors import IndexTakenAway, IndexUnreadable, PenstockError, SinkUnavailable
from penstock.model import SUPERSEDED, WRITTEN, Refusal
from penstock.opensearch.http.client import Response
from penstock.opensearch.http.error_table import (
    REASON_CHARACTERS,
    describe_error,
    judge_item,
    judge_read,
    judge_request,
)
from penstock.opensearch.http.waiting import Wait
from testkit import opensearch_bodies

RECORDED = json.loads(opensearch_bodies.RECORDED.read_text())

ITEMS: dict[str, Any] = {
    "created": WRITTEN,
    "updated": WRITTEN,
    "deleted": WRITTEN,
    "deleted what is absent": WRITTEN,
    "older": SUPERSEDED,
    "older delete": SUPERSEDED,
    "block read_only": "blocked",
    "block read_only_allow_delete": "blocked",
    "block write": "blocked",
    "closed": "closed",
    "no primary": "unavailable",
    "missing alias": IndexTakenAway,
    "an index, not an alias": IndexTakenAway,
    "no write index": IndexTakenAway,
}
"""What each recorded item means; every other one is refused for good."""

REQUESTS: dict[str, Any] = {
    "id of 513 bytes": Refusal,
    "negative version": Refusal,
    "no action line": Refusal,
    "unknown path": Refusal,
    "wrong method": SinkUnavailable,
    "cluster read-only": "blocked",
    "circuit breaker": "overloaded",
}


def meaning(judge: Any, *given: Any) -> Any:
    """The outcome, the reason of a wait, or the class of a refusal or error."""
    try:
        verdict = judge(*given)
    except PenstockError as error:
        return type(error)
    if isinstance(verdict, Wait):
        return verdict.reason
    return Refusal if isinstance(verdict, Refusal) else verdict


@pytest.mark.parametrize("name", RECORDED["items"])
def test_every_recorded_item_has_its_meaning(name: str) -> None:
    item = RECORDED["items"][name]
    assert meaning(judge_item, item["status"], item.get("error")) == ITEMS.get(name, Refusal)


def test_the_table_names_only_what_was_recorded() -> None:
    assert set(ITEMS) < set(RECORDED["items"])
    assert set(REQUESTS) == set(RECORDED["requests"])


@pytest.mark.parametrize("name", REQUESTS)
def test_every_recorded_request_has_its_meaning(name: str) -> None:
    request = RECORDED["requests"][name]
    answer = Response(request["status"], json.dumps(request["body"]).encode())
    assert meaning(judge_request, answer, "POST /_bulk") == REQUESTS[name]


@pytest.mark.parametrize("name", [name for name in RECORDED["items"] if name not in ITEMS])
def test_a_reason_tells_the_type_and_no_value(name: str) -> None:
    refusal = judge_item(**RECORDED["items"][name])
    assert isinstance(refusal, Refusal)
    assert refusal.reason.startswith(f"{RECORDED['items'][name]['error']['type']}: ")
    assert "secret" not in refusal.reason


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (429, "rejected_execution_exception", "overloaded"),
        (429, "anything", "overloaded"),
        (500, "anything", "unavailable"),
        (503, "process_cluster_event_timeout_exception", "unavailable"),
        (503, "cluster_block_exception", "blocked"),
        (400, "anything", Refusal),
        (422, "anything", Refusal),
        (409, "another_conflict", Refusal),
        (403, "security_exception", SinkUnavailable),
        (401, "anything", SinkUnavailable),
        (404, "shard_not_found_exception", Refusal),
    ],
)
def test_unrecorded_items_are_judged_by_status_and_type(status: int, kind: str, expected: Any) -> None:
    assert meaning(judge_item, status, {"type": kind, "reason": "why"}) == expected


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (413, b"", Refusal),
        (413, b'{"Message":"Request size exceeded 10485760 bytes"}', Refusal),
        (408, b"", "overloaded"),
        (429, b"429 Too Many Requests /_bulk", "overloaded"),
        (502, b"<html>", "unavailable"),
        (504, b'{"message":null}', "unavailable"),
        (404, b"<html>", SinkUnavailable),
        (307, b"", SinkUnavailable),
        (401, b"Unauthorized", SinkUnavailable),
        (403, b'{"Message":"User is not authorized"}', SinkUnavailable),
        (403, b"[]", SinkUnavailable),
        (404, b'{"error":{"type":"index_not_found_exception","reason":"no such index [x]"}}', IndexTakenAway),
    ],
)
def test_whole_requests_are_judged_also_when_the_answer_is_no_json(status: int, body: bytes, expected: Any) -> None:
    assert meaning(judge_request, Response(status, body), "POST /_bulk") == expected


@pytest.mark.parametrize(("kind", "unclear"), [("anything", True), ("cluster_block_exception", False)])
def test_only_a_server_that_failed_may_have_written(kind: str, unclear: bool) -> None:
    wait = judge_item(503, {"type": kind, "reason": "why"})
    assert isinstance(wait, Wait)
    assert wait.unclear is unclear


def test_a_reason_is_bounded_in_length_and_in_depth() -> None:
    reason = f"failed to parse field [{'r' * 400}] of type [long]"
    error: dict[str, Any] = {"type": "t", "reason": reason}
    for _ in range(50):
        error = {"type": "t", "reason": reason, "caused_by": error}
    assert len(describe_error(error)) == REASON_CHARACTERS


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("failed to parse field [a] of type [long] in document with id 'x'. Preview of field's value: 'it's [5]'",
         "failed to parse field [a] of type [long]"),
        ("'se'cr'et' is not an IP string literal.", ""),
        ("Illegal input [card 4111-1111-1111-1111]", ""),
        ("unable to convert [secret number] to integer", ""),
        ("For input string: secret", ""),
        ("failed to parse date field [secret] with format [yyyy]", ""),
        ("secret: failed to parse field [a] of type [long]", ""),
        ("Duplicate field 'a'\n at [Source: (byte[])\"{...}\"; line: 1]", "Duplicate field 'a'"),
        ("Limit of total fields [2] has been exceeded", "Limit of total fields [2] has been exceeded"),
    ],
)  # fmt: skip
def test_a_reason_that_is_not_known_to_be_harmless_is_left_out(reason: str, kept: str) -> None:
    told = describe_error({"type": "t_exception", "reason": reason})
    assert told == (
        f"t_exception: {kept}" if kept else "t_exception; (the reason may quote the document and is left out)"
    )
    assert describe_error({"type": "a", "reason": "failed to parse", "caused_by": {"type": "b", "reason": reason}}) == (
        f"a: failed to parse; b: {kept}" if kept else "a: failed to parse; b"
    )


@pytest.mark.parametrize(
    ("kind", "meant"),
    [
        ("index_closed_exception", "closed"),
        ("cluster_block_exception", "blocked"),
        ("no_shard_available_action_exception", "unavailable"),
        ("opensearch_rejected_execution_exception", "unavailable"),
        ("routing_missing_exception", IndexUnreadable),
        ("illegal_argument_exception", IndexUnreadable),
        ("security_exception", SinkUnavailable),
    ],
)
def test_a_document_that_was_not_read_is_judged_by_its_own_error(kind: str, meant: object) -> None:
    error = {"type": kind, "reason": "no", "index": "orders-g1"}
    if isinstance(meant, str):
        assert judge_read("orders", error).reason == meant
    else:
        with pytest.raises(meant, match=kind):
            judge_read("orders", error)
