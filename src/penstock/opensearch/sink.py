"""The sink: writes -> bulk requests -> one outcome per write.

    write    cuts the writes into requests bounded by bytes and count, and sends them one after another
    _deliver repeats one request, or what is left of it, until every write in it has its outcome
    _send    one request, one answer; what it means stands in error_table

Versions decide at the index (`external_gte`), so sending a write twice is harmless while the document's tombstone
lives. Ids never stand in a URL, and never without `require_alias`: a missing index is never created by a write.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import orjson

from penstock.change import WRITTEN, Outcome, Refusal, Write
from penstock.errors import ReadAgain
from penstock.metrics import Metrics
from penstock.opensearch.client import Answer, Client, Unreachable
from penstock.opensearch.error_table import judge_item, judge_request, lost
from penstock.opensearch.waiting import Attempts, Patience, Wait
from penstock.settings import SinkSettings

MAX_ID_BYTES: Final = 512
"""OpenSearch answers 400 for the whole request above this."""

_MAX_VERSION = (1 << 63) - 1

_INDEX = b'{"index":{%b"_id":%b,"version":%d,"version_type":"external_gte","require_alias":true}}\n%b\n'
_DELETE = b'{"delete":{%b"_id":%b,"version":%d,"version_type":"external_gte","require_alias":true}}\n'
_GUARD = b'{"update":{%b"_id":"penstock-guard","require_alias":true}}\n{"doc":{}}\n'
"""A bulk request of deletes with external versions creates a missing index, `require_alias` or not. An update of a
document that is not there changes nothing, and its `require_alias` holds for the whole request."""

_ANSWER_FIELDS = "?filter_path=errors,items.*.status,items.*.error"


class _Line(NamedTuple):
    """One write as the lines of a bulk request, and its place among the outcomes."""

    place: int
    alias: str
    is_delete: bool
    lines: bytes


class _Call(NamedTuple):
    """What one call of `write` shares among its requests."""

    path: str
    mixed: bool
    send_before: float | None
    outcomes: list[Outcome | None]


class OpenSearchSink:
    """Writes to the generations' write aliases; several threads may call it at once."""

    def __init__(self, client: Client, settings: SinkSettings, metrics: Metrics, patience: Patience) -> None:
        self._client = client
        self._max_bytes = settings.max_request_bytes
        self._max_writes = settings.max_request_writes
        self._metrics = metrics
        self._patience = patience

    def write(self, writes: Sequence[Write], *, send_before: float | None = None) -> list[Outcome]:
        """Send the writes and answer their outcomes in order; see `penstock.ports.Sink`.

        Raises Stopped, ReadAgain, SinkUnavailable, and SystemicFault when an index was taken away.
        """
        if not writes:
            return []
        first = writes[0].alias
        mixed = any(write.alias != first for write in writes)
        path = "/_bulk" if mixed else f"/{quote(first, safe='')}/_bulk"
        call = _Call(path, mixed, send_before, [None] * len(writes))
        with self._patience.attempts() as attempts:
            for part in self._parts(writes, call):
                self._deliver(part, call, attempts)
        return [_known(outcome) for outcome in call.outcomes]

    def _parts(self, writes: Sequence[Write], call: _Call) -> Iterator[list[_Line]]:
        """Cut the writes into requests; what OpenSearch would refuse a whole request for gets its outcome here."""
        part: list[_Line] = []
        size = 0
        prefix = b""
        max_bytes, max_writes, outcomes, dumps = self._max_bytes, self._max_writes, call.outcomes, orjson.dumps
        for place, (alias, text_id, version, body) in enumerate(writes):
            refusal = _unsendable(text_id, version)
            if refusal is not None:
                outcomes[place] = refusal
                continue
            if call.mixed:
                prefix = b'"_index":%b,' % dumps(alias)
            if body is None:
                lines = _DELETE % (prefix, dumps(text_id), version)
            else:
                lines = _INDEX % (prefix, dumps(text_id), version, body if b"\n" not in body else _one_line(body))
            if part and (size + len(lines) > max_bytes or len(part) >= max_writes):
                yield part
                part, size = [], 0
            part.append(_Line(place, alias, body is None, lines))
            size += len(lines)
        if part:
            yield part

    def _deliver(self, part: list[_Line], call: _Call, attempts: Attempts) -> None:
        """Send a request and what is left of it, until every write in it has its outcome."""
        parts = [part]
        while parts:
            part = parts.pop()
            verdict = self._send(part, call)
            if isinstance(verdict, Refusal):
                if len(part) > 1:
                    parts.extend(_halves(part))
                else:
                    call.outcomes[part[0].place] = verdict
                continue
            if verdict is None:
                attempts.succeeded()
                continue
            self._wait(verdict, call, attempts)
            left = [line for line in part if call.outcomes[line.place] is None]
            too_much = verdict.reason == "overloaded" and len(left) == len(part) > 1
            parts.extend(_halves(left) if too_much else [left])

    def _wait(self, wait: Wait, call: _Call, attempts: Attempts) -> None:
        if wait.unclear and call.send_before is not None:
            raise ReadAgain(f"nobody knows whether the writes arrived ({wait.reason}: {wait.detail})")
        attempts.wait(wait)

    def _send(self, part: list[_Line], call: _Call) -> Wait | Refusal | None:
        """Send one request and note the outcomes; answers why some are missing, or a Refusal of it as a whole."""
        if call.send_before is not None and time.monotonic() >= call.send_before:
            raise ReadAgain("the writes were read too long ago to be sent")
        guards = _guards(part, mixed=call.mixed)
        body = b"".join([*guards, *(line.lines for line in part)])
        self._metrics.count("penstock_bulk_bytes_total", len(body))
        try:
            answer = self._client.request("POST", call.path + _ANSWER_FIELDS, body)
        except Unreachable as error:
            self._metrics.count("penstock_bulk_requests_total", status="lost")
            return lost(str(error), unclear=error.unclear)
        self._metrics.count("penstock_bulk_requests_total", status=str(answer.status))
        if not answer.ok:
            return judge_request(answer, f"POST {call.path}")
        return _settle(part, answer, len(guards), call.outcomes)


def _unsendable(text_id: str, version: int) -> Refusal | None:
    """Why OpenSearch would refuse the whole request for this write, if it would."""
    if not 0 <= version <= _MAX_VERSION:
        return Refusal(400, f"the version {version} is not between 0 and 2**63 - 1")
    if not text_id:
        return Refusal(400, "the id is empty")
    if text_id.isascii() and len(text_id) <= MAX_ID_BYTES:
        return None
    try:
        size = len(text_id.encode())
    except UnicodeEncodeError:
        return Refusal(400, "the id is not valid Unicode")
    return Refusal(400, f"the id has {size} bytes, OpenSearch takes {MAX_ID_BYTES}") if size > MAX_ID_BYTES else None


def _one_line(body: bytes) -> bytes:
    """The same JSON on one line: a line break can only stand between its tokens, and would end the bulk line."""
    return body.replace(b"\n", b" ")


def _guards(part: list[_Line], *, mixed: bool) -> list[bytes]:
    """The lines that keep a request from creating a missing index: one for each alias that has only deletes."""
    deleted = {line.alias for line in part if line.is_delete}
    if not deleted:
        return []
    deleted -= {line.alias for line in part if not line.is_delete}
    return [_GUARD % (b'"_index":%b,' % orjson.dumps(alias) if mixed else b"") for alias in sorted(deleted)]


def _settle(part: list[_Line], answer: Answer, guards: int, outcomes: list[Outcome | None]) -> Wait | None:
    """Note the outcome of each item; answers the wait that items ask for, None when none does."""
    if not guards and answer.raw.count(b'"status":20') == len(part) and _no_errors(answer.raw):
        for line in part:
            outcomes[line.place] = WRITTEN
        return None
    items = _items(answer)
    if items is None or len(items) != guards + len(part):
        given = "no items" if items is None else f"{len(items)} items"
        return lost(f"{given} in the answer to {guards + len(part)} writes", unclear=True)
    wait: Wait | None = None
    for status, error in items[:guards]:
        if error is None or error.get("type") != "document_missing_exception":
            judge_item(status, error)  # raises when the index is missing; whatever else is said of the deletes too
    for line, (status, error) in zip(part, items[guards:], strict=True):
        verdict = judge_item(status, error)
        if isinstance(verdict, Wait):
            wait = verdict if wait is None or verdict.unclear else wait
        else:
            outcomes[line.place] = verdict
    return wait


def _no_errors(raw: bytes) -> bool:
    """Say whether the answer begins by telling that no item failed. Inside strings its quotes would be escaped."""
    return b'"errors":false' in raw[:64]


def _items(answer: Answer) -> list[tuple[int, dict[str, Any] | None]] | None:
    """The status and error of each item, in order; None when the answer is not one to a bulk request."""
    parsed = answer.json()
    try:
        found = [next(iter(item.values())) for item in parsed["items"]]
        return [(int(each["status"]), each.get("error")) for each in found]
    except (TypeError, KeyError, ValueError, AttributeError, StopIteration):
        return None


def _halves(part: list[_Line]) -> list[list[_Line]]:
    """Two halves, to be sent last first."""
    middle = len(part) // 2
    return [part[middle:], part[:middle]]


def _known(outcome: Outcome | None) -> Outcome:
    if outcome is None:
        raise AssertionError("a write was left without an outcome")
    return outcome
