"""The sink: writes -> bulk requests -> one outcome per write.

    write    cuts the writes into requests bounded by bytes and count, and sends them one after another
    _deliver repeats one request, or what is left of it, until every write in it has its outcome
    _send    one request, one answer; what it means stands in error_table
    _probe   asks, by a request that writes nothing, whether the index takes writes again

What a request looks like stands in bulk. Versions decide at the index, so sending a write of the stream twice is
harmless: its document's next change follows. What was read outside the stream is never sent after a wait: meanwhile the
document may have been deleted, and OpenSearch forgets deletes when a shard starts again (a restart, a relocation, an
index closed and opened). Such a call waits until the index takes writes, and then asks to read the documents again.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from penstock.errors import ReadAgain
from penstock.model import WRITTEN, Outcome, Refusal, Write
from penstock.observe.metrics import Metrics
from penstock.opensearch.http.bulk_response import BulkItem, bulk_items
from penstock.opensearch.http.client import Client, Response, Unreachable
from penstock.opensearch.http.error_table import judge_request, lost
from penstock.opensearch.http.waiting import Attempts, Reopening, RetryForever, Wait
from penstock.opensearch.index.indexes import write_alias_of
from penstock.opensearch.write.bulk import Form, form_of, guards_of, ids_of, lines_of, probe_of, refusals, requests_of
from penstock.settings import SinkSettings

_ANSWER_FIELDS = "filter_path=errors,items.*._index,items.*._id,items.*.result,items.*.status,items.*.error"


class _BulkCall(NamedTuple):
    """What one call of `write` shares among its requests; each of these holds the writes at some places."""

    writes: Sequence[Write]
    outcomes: list[Outcome | None]
    form: Form
    send_before: float | None

    def without_outcome(self, places: Sequence[int]) -> list[int]:
        """The places of what has no outcome yet."""
        return [place for place in places if self.outcomes[place] is None]


class OpenSearchSink:
    """Writes to the generations' write aliases; several threads may call it at once.

    At most `requests_in_flight` of its requests are under way; one more is made meanwhile, other calls wait.
    """

    def __init__(
        self,
        client: Client,
        settings: SinkSettings,
        metrics: Metrics,
        patience: RetryForever,
        *,
        may_send: Callable[[], None] = lambda: None,
    ) -> None:
        self.may_send = may_send
        """Asked before each request, repeated ones too; raises when nothing may be sent any more (LeaseLost)."""
        self.unanswered_at: float | None = None
        """When it last became unknown whether something arrived that was read outside the stream (time.monotonic)."""
        self._client = client
        self._max_bytes = settings.max_request_bytes
        self._max_writes = settings.max_request_writes
        self._query = f"?timeout={max(1, int(settings.timeout_s / 2))}s&{_ANSWER_FIELDS}"
        self._metrics = metrics
        self._patience = patience
        self._room_to_make = threading.BoundedSemaphore(settings.requests_in_flight + 1)
        self._room_to_send = threading.BoundedSemaphore(settings.requests_in_flight)
        self._reopenings: dict[str, Reopening] = {}
        """By the path of a request, for what was read outside the stream."""

    def write(self, writes: Sequence[Write], *, send_before: float | None = None) -> list[Outcome]:
        """Send the writes and answer their outcomes in order; see `penstock.ports.Sink`.

        Raises Stopped, ReadAgain, SinkUnavailable, IndexTakenAway, and what `may_send` raises.
        """
        if not writes:
            return []
        call = _BulkCall(writes, refusals(writes), form_of({write.alias for write in writes}), send_before)
        sendable = call.without_outcome(range(len(writes)))
        with self._patience.attempts() as attempts:
            for places in requests_of(writes, sendable, max_bytes=self._max_bytes, max_writes=self._max_writes):
                self._deliver(places, call, attempts)
        if send_before is not None and (reopening := self._reopenings.get(call.form.path)):
            reopening.took(write.id for write in writes)
        return [_require_outcome(outcome) for outcome in call.outcomes]

    def _deliver(self, places: Sequence[int], call: _BulkCall, attempts: Attempts) -> None:
        """Send a request and what is left of it, until every write in it has its outcome."""
        requests = [places]
        while requests:
            places = requests.pop()
            verdict = self._send(places, call)
            if verdict is None:
                attempts.succeeded()
            elif isinstance(verdict, Wait):
                left = call.without_outcome(places)
                self._wait(verdict, left, call, attempts)
                requests.append(left)
            elif (half := len(places) // 2) > 0:
                requests += [places[half:], places[:half]]
            else:
                call.outcomes[places[0]] = verdict

    def _wait(self, wait: Wait, left: Sequence[int], call: _BulkCall, attempts: Attempts) -> None:
        """Wait before the writes that are left are sent again; raises ReadAgain for what must not be."""
        if call.send_before is None:
            attempts.wait(wait)
            return
        if wait.unclear:
            self.unanswered_at = time.monotonic()
        refused = call.writes[left[0]].id
        reopening = self._reopenings.setdefault(call.form.path, Reopening(self._patience))
        reopening.wait(wait, refused, lambda: self._probe(call.form), until=call.send_before)
        raise ReadAgain(f"the index did not take all of them at once ({wait.reason}: {wait.detail})")

    def _probe(self, form: Form) -> Wait | None:
        """Ask whether the aliases take writes; return why to wait. Raises IndexTakenAway, SinkUnavailable."""
        self.may_send()
        try:
            answer = self._client.request("POST", form.path + self._query, probe_of(form))
        except Unreachable as error:
            return lost(str(error), unclear=error.unclear)
        if not answer.ok:
            refusal = judge_request(answer, f"POST {form.path}")
            return refusal if isinstance(refusal, Wait) else None
        items = bulk_items(answer)
        if items is None:
            return lost("not a valid bulk response", unclear=True)
        verdicts = (item.judge() for item in items if not _is_absent(item))
        return next((verdict for verdict in verdicts if isinstance(verdict, Wait)), None)

    def _send(self, places: Sequence[int], call: _BulkCall) -> Wait | Refusal | None:
        """Send one request and note the outcomes; answers why some are missing, or a Refusal of it as a whole."""
        with self._room_to_make:
            guards = guards_of(call.writes, places, call.form)
            ids = ids_of(call.writes, places)
            body = b"".join(guards) + lines_of(call.writes, places, ids, call.form)
            try:
                answer = self._ask(body, call)
            except Unreachable as error:
                self._metrics.count("penstock_bulk_requests_total", status="lost")
                return lost(str(error), unclear=error.unclear)
        self._metrics.count("penstock_bulk_requests_total", status=str(answer.status))
        if not answer.ok:
            return judge_request(answer, f"POST {call.form.path}")
        if not guards and _all_written(answer.raw, ids):
            for place in places:
                call.outcomes[place] = WRITTEN
            return None
        return _note_outcomes(places, answer, len(guards), call)

    def _ask(self, body: bytes, call: _BulkCall) -> Response:
        """Send a request once there is room for it; whether it may be sent is asked last."""
        with self._room_to_send:
            if call.send_before is not None and time.monotonic() >= call.send_before:
                raise ReadAgain("the documents were read too long ago to be sent")
            self.may_send()
            self._metrics.count("penstock_bulk_bytes_total", len(body))
            return self._client.request("POST", call.form.path + self._query, body)


def _note_outcomes(places: Sequence[int], answer: Response, guards: int, call: _BulkCall) -> Wait | None:
    """Note the outcome of each write; return the wait that some ask for, None when none does.

    Each answer belongs to the document that it names: OpenSearch answers in another order than it was asked in when an
    ingest pipeline fails for some documents, or drops them.
    """
    items = bulk_items(answer)
    if items is None:
        return lost("not a valid bulk response", unclear=True)
    answered_guards = [item for item in items if item.operation == "update"]
    if len(answered_guards) != guards:
        return lost(f"{len(answered_guards)} answers to {guards} guards", unclear=True)
    for guard in answered_guards:
        if guard.error is not None and not _is_absent(guard):
            guard.judge()  # raises when the alias is missing; all else is said of the deletes too
    matched = _matched(places, [item for item in items if item.operation != "update"], call)
    if matched is None:
        return lost(f"the answers to {len(places)} writes name other documents", unclear=True)
    wait: Wait | None = None
    for place, item in matched.items():
        verdict = item.judge()
        if isinstance(verdict, Wait):
            wait = verdict if wait is None or verdict.unclear else wait
        else:
            call.outcomes[place] = verdict
    return wait


def _is_absent(guard: BulkItem) -> bool:
    """Whether all is well with a guard: there is no such document."""
    return guard.error is not None and guard.error.get("type") == "document_missing_exception"


def _all_written(raw: bytes, ids: Sequence[bytes]) -> bool:
    """Whether the response says that each of these documents, in this order, was written, or deleted (404: absent).

    Inside strings its quotes would be escaped.
    """
    if b'"errors":false' not in raw[:64] or b'"result":"noop"' in raw:
        return False
    named = raw.split(b'"_id":')[1:]
    written = raw.count(b'"status":20') + raw.count(b'"status":404')
    return len(named) == written == len(ids) and all(map(bytes.startswith, named, ids))


def _matched(places: Sequence[int], items: Sequence[BulkItem], call: _BulkCall) -> dict[int, BulkItem] | None:
    """The answer to the write at each place; None when the answers are not those to these writes.

    An id that two aliases of the request share belongs to the one that the answer names: by its index, or by the alias
    itself where an ingest pipeline failed before the alias was resolved.
    """
    asked: dict[str, list[int]] = {}
    for place in places:
        asked.setdefault(call.writes[place].id, []).append(place)
    answered: dict[str, list[BulkItem]] = {}
    for item in items:
        answered.setdefault(item.id, []).append(item)
    if {each: len(found) for each, found in asked.items()} != {each: len(found) for each, found in answered.items()}:
        return None
    matched: dict[int, BulkItem] = {}
    for text_id, sharing in asked.items():
        if len(sharing) == 1:
            matched[sharing[0]] = answered[text_id][0]
            continue
        by_alias: dict[str, list[BulkItem]] = {}
        for item in answered[text_id]:
            alias = _alias_of(item, call.form)
            by_alias.setdefault(alias, []).append(item)
        if Counter(call.writes[place].alias for place in sharing) != {a: len(found) for a, found in by_alias.items()}:
            return None
        matched.update((place, by_alias[call.writes[place].alias].pop(0)) for place in sharing)
    return matched


def _alias_of(item: BulkItem, form: Form) -> str:
    """The alias that was asked for: the only one, or the one of the index that answered."""
    if len(form.names) == 1:
        return next(iter(form.names))
    return item.index_name if item.index_name in form.names else write_alias_of(item.index_name)


def _require_outcome(outcome: Outcome | None) -> Outcome:
    if outcome is None:
        raise AssertionError("a write was left without an outcome")
    return outcome
