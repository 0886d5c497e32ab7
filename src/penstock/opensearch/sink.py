"""The sink: writes -> bulk requests -> one outcome per write.

    write    cuts the writes into requests bounded by bytes and count, and sends them one after another
    _deliver repeats one request, or what is left of it, until every write in it has its outcome
    _send    one request, one answer; what it means stands in error_table

Versions decide at the index (`external_gte`), so sending a write twice is harmless while the document's tombstone
lives. Ids never stand in a URL, and never without `require_alias`: a missing index is never created by a write.
"""

import time
from collections.abc import Callable, Iterator, Sequence
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

_ANSWER_FIELDS = "filter_path=errors,items.*.status,items.*.error"


class _Part(NamedTuple):
    """One request, or what is left of it: the places of its writes, and the lines of each."""

    places: list[int]
    lines: list[bytes]

    def halves(self) -> "list[_Part]":
        """Two halves, to be sent last first."""
        middle = len(self.places) // 2
        return [
            _Part(self.places[middle:], self.lines[middle:]),
            _Part(self.places[:middle], self.lines[:middle]),
        ]


class _Call(NamedTuple):
    """What one call of `write` shares among its requests."""

    writes: Sequence[Write]
    outcomes: list[Outcome | None]
    path: str
    mixed: bool
    send_before: float | None

    def left(self, part: _Part) -> _Part:
        """What has no outcome yet."""
        left = [(place, lines) for place, lines in zip(*part, strict=True) if self.outcomes[place] is None]
        return _Part([place for place, _ in left], [lines for _, lines in left])


class OpenSearchSink:
    """Writes to the generations' write aliases; several threads may call it at once."""

    def __init__(
        self,
        client: Client,
        settings: SinkSettings,
        metrics: Metrics,
        patience: Patience,
        *,
        may_send: Callable[[], None] = lambda: None,
    ) -> None:
        self.may_send = may_send
        """Asked before each request, repeated ones too; raises when nothing may be sent any more (LeaseLost)."""
        self._client = client
        self._max_bytes = settings.max_request_bytes
        self._max_writes = settings.max_request_writes
        self._query = f"?timeout={max(1, int(settings.timeout_s / 2))}s&{_ANSWER_FIELDS}"
        self._metrics = metrics
        self._patience = patience

    def write(self, writes: Sequence[Write], *, send_before: float | None = None) -> list[Outcome]:
        """Send the writes and answer their outcomes in order; see `penstock.ports.Sink`.

        Raises Stopped, ReadAgain, SinkUnavailable, IndexTakenAway, and what `may_send` raises.
        """
        if not writes:
            return []
        first = writes[0].alias
        mixed = any(write.alias != first for write in writes)
        path = "/_bulk" if mixed else f"/{quote(first, safe='')}/_bulk"
        call = _Call(writes, [None] * len(writes), path, mixed, send_before)
        with self._patience.attempts() as attempts:
            for part in self._parts(call):
                self._deliver(part, call, attempts)
        return [_known(outcome) for outcome in call.outcomes]

    def _parts(self, call: _Call) -> Iterator[_Part]:
        """Cut the writes into requests; what OpenSearch would refuse a whole request for gets its outcome here."""
        max_bytes, max_writes, dumps = self._max_bytes, self._max_writes, orjson.dumps
        part, size, prefix = _Part([], []), 0, b""
        for place, (alias, text_id, version, body) in enumerate(call.writes):
            is_plain = 0 < len(text_id) <= MAX_ID_BYTES and text_id.isascii() and 0 <= version <= _MAX_VERSION
            if not is_plain and (refusal := _unsendable(text_id, version)) is not None:
                call.outcomes[place] = refusal
                continue
            if call.mixed:
                prefix = b'"_index":%b,' % dumps(alias)
            if body is None:
                lines = _DELETE % (prefix, dumps(text_id), version)
            else:
                lines = _INDEX % (prefix, dumps(text_id), version, body if b"\n" not in body else _one_line(body))
            if part.places and (size + len(lines) > max_bytes or len(part.places) >= max_writes):
                yield part
                part, size = _Part([], []), 0
            part.places.append(place)
            part.lines.append(lines)
            size += len(lines)
        if part.places:
            yield part

    def _deliver(self, part: _Part, call: _Call, attempts: Attempts) -> None:
        """Send a request and what is left of it, until every write in it has its outcome."""
        parts = [part]
        while parts:
            part = parts.pop()
            verdict = self._send(part, call)
            if verdict is None:
                attempts.succeeded()
            elif isinstance(verdict, Wait):
                self._wait(verdict, call, attempts)
                parts.append(call.left(part))
            elif len(part.places) > 1:
                parts.extend(part.halves())
            else:
                call.outcomes[part.places[0]] = verdict

    def _wait(self, wait: Wait, call: _Call, attempts: Attempts) -> None:
        if wait.unclear and call.send_before is not None:
            raise ReadAgain(f"nobody knows whether the writes arrived ({wait.reason}: {wait.detail})")
        attempts.wait(wait)

    def _send(self, part: _Part, call: _Call) -> Wait | Refusal | None:
        """Send one request and note the outcomes; answers why some are missing, or a Refusal of it as a whole."""
        if call.send_before is not None and time.monotonic() >= call.send_before:
            raise ReadAgain("the writes were read too long ago to be sent")
        guards = _guards(part, call)
        body = b"".join(guards + part.lines)
        self.may_send()
        self._metrics.count("penstock_bulk_bytes_total", len(body))
        try:
            answer = self._client.request("POST", call.path + self._query, body)
        except Unreachable as error:
            self._metrics.count("penstock_bulk_requests_total", status="lost")
            return lost(str(error), unclear=error.unclear)
        self._metrics.count("penstock_bulk_requests_total", status=str(answer.status))
        if not answer.ok:
            return judge_request(answer, f"POST {call.path}")
        return _settle(part.places, answer, len(guards), call.outcomes)


def _unsendable(text_id: str, version: int) -> Refusal | None:
    """Why OpenSearch would refuse the whole request for this write, if it would."""
    if not 0 <= version <= _MAX_VERSION:
        return Refusal(400, f"the version {version} is not between 0 and 2**63 - 1")
    if not text_id:
        return Refusal(400, "the id is empty")
    try:
        size = len(text_id.encode())
    except UnicodeEncodeError:
        return Refusal(400, "the id is not valid Unicode")
    return Refusal(400, f"the id has {size} bytes, OpenSearch takes {MAX_ID_BYTES}") if size > MAX_ID_BYTES else None


def _one_line(body: bytes) -> bytes:
    """The same JSON on one line: a line break can only stand between its tokens, and would end the bulk line."""
    return body.replace(b"\n", b" ")


def _guards(part: _Part, call: _Call) -> list[bytes]:
    """The lines that keep a request from creating a missing index: one for each alias that has only deletes."""
    writes = call.writes
    deleted = {writes[place].alias for place in part.places if writes[place].body is None}
    if not deleted:
        return []
    deleted -= {writes[place].alias for place in part.places if writes[place].body is not None}
    return [_GUARD % (b'"_index":%b,' % orjson.dumps(alias) if call.mixed else b"") for alias in sorted(deleted)]


def _settle(places: list[int], answer: Answer, guards: int, outcomes: list[Outcome | None]) -> Wait | None:
    """Note the outcome of each item; answers the wait that items ask for, None when none does."""
    if not guards and answer.raw.count(b'"status":20') == len(places) and _no_errors(answer.raw):
        for place in places:
            outcomes[place] = WRITTEN
        return None
    items = _items(answer)
    if items is None or len(items) != guards + len(places):
        given = "no items" if items is None else f"{len(items)} items"
        return lost(f"{given} in the answer to {guards + len(places)} writes", unclear=True)
    for status, error in items[:guards]:
        if error is not None and error.get("type") != "document_missing_exception":
            judge_item(status, error)  # raises when the alias is missing; all else is said of the deletes too
    wait: Wait | None = None
    for place, (status, error) in zip(places, items[guards:], strict=True):
        verdict = judge_item(status, error)
        if isinstance(verdict, Wait):
            wait = verdict if wait is None or verdict.unclear else wait
        else:
            outcomes[place] = verdict
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


def _known(outcome: Outcome | None) -> Outcome:
    if outcome is None:
        raise AssertionError("a write was left without an outcome")
    return outcome
