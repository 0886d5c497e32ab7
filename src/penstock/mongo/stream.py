"""Changes from the change stream of a database, or of one collection, for ever.

batches           opens a cursor after the position, yields what it answers; after a fault it goes on from there
_recover          an error -> wait, log in again, resume by the cluster time, pass what is too large, or give up
_ask_for_less     fewer events at a time where the server takes longer for them than the connection waits
_pass_oversized   past an event above 16 MB: keys only, each document looked up
"""

import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import structlog
from pymongo.errors import NetworkTimeout, PyMongoError

from penstock.errors import PositionLost, Stopped
from penstock.model import (
    CONTROL,
    Batch,
    Body,
    BsonDocument,
    Change,
    Namespace,
    Position,
    SourceTransform,
    TransformedChange,
    seconds_of,
)
from penstock.mongo.collections import committed_time, identities
from penstock.mongo.connection import Connection
from penstock.mongo.cursor import ChangeCursor, CursorReply, events_in
from penstock.mongo.error_table import Fault, fault_of, in_words
from penstock.mongo.events import EventReader, MissingDocument, WholeEvents
from penstock.mongo.identity import SourceIdentity, identity_with
from penstock.mongo.members import PRIMARY, Member, a_secondary
from penstock.mongo.oversized import looked_up
from penstock.mongo.position import moves_when_idle, position_after, position_at, time_within
from penstock.mongo.raw_events import RawEvents
from penstock.mongo.retrying import Retries
from penstock.mongo.watch import Watch
from penstock.observe.metrics import Metrics
from penstock.pipeline.transform import apply_transform
from penstock.runtime.intervals import INTERVALS, Intervals
from penstock.runtime.threads import ChildEvent

log = structlog.get_logger(__name__)


_OF_A_MEMBER = frozenset({Fault.LOST, Fault.REFUSED, Fault.NOT_ENABLED, Fault.NOT_ALLOWED})
"""What a secondary may say, and the primary not: each member has its own log, and DocumentDB 4.0 streams from none."""


class MongoStream:
    """The source of one cursor; its positions belong to it. A `penstock.ports.Source`."""

    _transform: SourceTransform

    def __init__(
        self,
        connection: Connection,
        watch: Watch,
        *,
        name: str,
        metrics: Metrics,
        stop: threading.Event,
        batch_size: int = 1000,
        intervals: Intervals = INTERVALS,
        events: WholeEvents | RawEvents | None = None,
    ) -> None:
        """`events`: what makes changes of events, in the place of documents."""
        self._connection = connection
        self._client = connection.client
        self._watch = watch
        self._name = name
        self._metrics = metrics
        self._ending = ChildEvent(stop)
        self._batch_size = batch_size
        self._asked_for = batch_size
        self._timeouts = 0
        self._intervals = intervals
        self._raw = events if isinstance(events, RawEvents) else None
        by_changes = EventReader(watch.db, watch.colls, self._why_missing, watch.renamed)
        self._events = events if isinstance(events, WholeEvents) else by_changes
        self._source: SourceIdentity | None = None
        self._identities: dict[str, str] = {}
        self._position: Position | None = None
        self._opened_time = 0
        self._too_large = False
        self._from_secondary = False
        """Whether the present cursor is on a secondary."""
        self._secondary_refused = False
        self._majority_at = (0, 0.0)
        """What the majority had at the last reply, and since when it has had no more, though there was more."""

    def batches(self, after: Position | None, transform: SourceTransform) -> Generator[Batch]:
        """Yield each answer of the server; may be called again after `close`. `ports.Source` says the rest."""
        self._ending.clear()
        self._transform = transform
        self._position = after
        retries = Retries(self._connection, self._ending)
        try:
            while not self._ending.is_set():
                self._client = self._connection.client
                try:
                    for batch in self._pass_oversized(retries) if self._too_large else self._follow(retries):
                        self._position = batch.position
                        yield batch
                except PyMongoError as error:
                    self._recover(error, retries)
        except Stopped:
            if not self._ending.closed:
                raise

    def position_now(self) -> Position:
        """A position from which everything that happens from now on will be seen. Not while `batches` runs."""
        with closing(self.batches(None, _leave_out)) as batches:
            for batch in batches:
                return batch.position
        raise Stopped("stopped while asking for the stream's position")

    def close(self) -> None:
        """End `batches`, within a second; it frees the cursor itself."""
        self._ending.set()

    def _follow(self, retries: Retries) -> Iterator[Batch]:
        with closing(self._cursor(self._asked_for)) as cursor:
            for reply, asked_at in self._replies(cursor, retries):
                if self._raw:
                    yield self._raw_batch(self._raw, reply, asked_at)
                else:
                    yield self._batch(map(events_in, reply.pieces()), reply, asked_at)
                self._asked_for = cursor.batch_size = min(2 * self._asked_for, self._batch_size)

    def _pass_oversized(self, retries: Retries) -> Iterator[Batch]:
        """Read one event at a time, keys only, until the one that was too large is likely to be behind."""
        with closing(self._cursor(1)) as cursor:
            for seen, (reply, asked_at) in enumerate(self._replies(cursor, retries)):
                maybe_oversized = False
                if self._raw:  # which of them was too large is not known: all are left to others
                    yield self._raw_batch(self._raw, reply, asked_at)
                else:
                    events, size, maybe_oversized = looked_up(self._client, reply, self._watch)
                    yield self._batch([events], replace(reply, size=size), asked_at)
                if maybe_oversized or seen > self._batch_size or (seen and not reply.count):
                    break
        self._too_large = False

    def _replies(self, cursor: ChangeCursor, retries: Retries) -> Iterator[tuple[CursorReply, float]]:
        """Open the cursor and answer each reply with the moment when it was asked for.

        The first one, without an event, says where a stream begins that had no position.
        """
        self._note_collections()
        asked_at = time.monotonic()
        reply = cursor.open(self._watch.pipeline(self._position, keys_only=self._too_large))
        if self._position is None:
            yield reply, asked_at
        while cursor.alive and not self._ending.is_set():
            asked_at = time.monotonic()
            reply = cursor.next()
            retries.succeeded()
            self._timeouts = 0
            yield reply, asked_at

    def _cursor(self, batch_size: int) -> ChangeCursor:
        watch = self._watch
        coll = watch.target(self._position)
        member = self._member()
        self._from_secondary = member is not PRIMARY
        wait_ms = round(self._intervals.stream_wait_s * 1000)
        return ChangeCursor(self._client, watch.db, coll, batch_size=batch_size, wait_ms=wait_ms, member=member)

    def _member(self) -> Member:
        """A stream begins on the primary: "now" on a secondary is earlier, and DocumentDB wants its first token so."""
        if self._position is None or self._secondary_refused or not self._connection.streams_from_secondary:
            return PRIMARY
        return a_secondary(self._client)

    def _note_collections(self) -> None:
        """Note, before the cursor is opened, which collections there are, and a time that is surely before it."""
        self._identities = self._list_collections()
        self._require_same_source()
        if self._position is None:
            self._opened_time = committed_time(self._client, self._watch.first)

    def _list_collections(self) -> dict[str, str]:
        """The collections that exist; with none that the user may not list nothing is taken for deleted."""
        return identities(self._client, self._watch.db, self._watch.carried(0))

    def _require_same_source(self) -> None:
        """Raise SystemicFault when another source answers than the last time: an address may lead elsewhere."""
        before, now = self._source, identity_with(self._client, self._identities, self._connection.address)
        if before:
            before.require_same(now, f"The change stream of {self._watch}")
        self._source = now

    def _batch(self, pieces: Iterable[list[BsonDocument]], reply: CursorReply, asked_at: float) -> Batch:
        """Make changes of a reply's events, which come in pieces."""
        changes: list[TransformedChange] = []
        missing: dict[str, MissingDocument] = {}
        token: BsonDocument | None = None
        for events in pieces:
            decoded = self._events.changes(events, missing)
            for change in decoded:
                if change.kind in CONTROL:
                    self._forget(change)
            changes += apply_transform(decoded, self._transform)
            token = events[-1]["_id"] if events else token
        return Batch(changes, self._position_now(reply, changes, token), asked_at, reply.size, reply.full)

    def _raw_batch(self, raw: RawEvents, reply: CursorReply, asked_at: float) -> Batch:
        """Do the same without decoding documents, and count the events."""
        left_out = raw.left_out
        events = raw.reader.events_of(reply)
        changes = apply_transform(raw.changes(events), self._transform)
        position = self._position_now(reply, changes, events[-1].token if events and not reply.token else None)
        left_out = raw.left_out - left_out
        return Batch(changes, position, asked_at, reply.size, reply.full, reply.count, left_out)

    def _position_now(
        self, reply: CursorReply, changes: Sequence[TransformedChange], token: BsonDocument | None
    ) -> Position:
        """The position after a reply, with the source's own time where it tells how far it has looked."""
        position = self._position_after(reply, changes, token)
        if changes or self._tells_its_time(reply, position):
            return replace(position, source_time=self._time_of_source(reply))
        return position

    def _time_of_source(self, reply: CursorReply) -> int:
        """The source's own time at a reply.

        The primary tells that of the majority, behind which no stream ever is. Where the majority takes no writes (its
        other members are down, or far behind), that stands still while the newest time goes on: then that one counts.
        """
        if self._from_secondary:
            return reply.newest_time
        time_there, since = self._majority_at
        if reply.time != time_there or reply.newest_time <= reply.time:
            self._majority_at = (reply.time, time.monotonic())
            return reply.time
        return reply.newest_time if time.monotonic() - since > self._intervals.majority_s else reply.time

    def _tells_its_time(self, reply: CursorReply, position: Position) -> bool:
        """Whether an empty reply says how far the server has looked: nothing at once is not nothing more.

        A server that scans its log answers many of them. How DocumentDB's token behaves then is not known, so it is
        believed only when it has moved.
        """
        if not reply.token:
            return False
        before = self._position.time if self._position else 0
        return moves_when_idle(reply.token) or position.time > before

    def _position_after(
        self, reply: CursorReply, changes: Sequence[TransformedChange], token: BsonDocument | None
    ) -> Position:
        """The position after a reply, whose last event has this token.

        `resumeAfter` refuses an invalidate's token; `startAfter` takes it, but neither MongoDB 4.0 nor DocumentDB know
        that, so what comes after it is named by time. Where idle replies carry no token (MongoDB 4.0) the position
        stays.
        """
        lowest = changes[-1].version if changes else self._position.time if self._position else self._opened_time
        if changes and changes[-1].kind == "invalidate":
            return position_at(lowest + 1)
        if reply.token:
            return position_after(reply.token, time_within(reply.token, lowest, reply.time))
        if token:
            return position_after(token, lowest)
        return self._position or position_at(self._opened_time or reply.time)

    def _why_missing(self, coll: str) -> MissingDocument:
        """Say why the document of an update is not there: deleted, unless another collection has its name."""
        now = self._list_collections()
        if coll not in now:
            return "gone"
        return "delete" if self._identities.setdefault(coll, now[coll]) == now[coll] else "gone"

    def _forget(self, change: Change) -> None:
        """After a drop or a rename another collection may get the name."""
        if change.kind == "drop_database":
            self._identities.clear()
        for namespace in (change.namespace, change.to):
            if namespace:
                self._identities.pop(namespace.coll, None)

    def _recover(self, error: PyMongoError, retries: Retries) -> None:
        """Prepare going on after an error, or raise what ends the stream."""
        fault = fault_of(error)
        if self._from_secondary and fault in _OF_A_MEMBER:
            self._secondary_refused = True
            log.warning(
                "a secondary refuses the stream; reading from the primary",
                pipeline=self._name,
                watches=str(self._watch),
                error=in_words(error),
            )
        elif fault is Fault.LOST:
            self._resume_by_time(error)
        elif fault is Fault.TOO_LARGE and not self._too_large:
            self._too_large = True
        else:
            retries.require_retryable(error, self._client, f"the change stream of {self._watch}")
        if isinstance(error, NetworkTimeout):
            self._ask_for_less()
        self._metrics.count("penstock_source_resumes_total", pipeline=self._name)
        waited = retries.wait()
        log.info(
            "change stream reopens",
            pipeline=self._name,
            watches=str(self._watch),
            reason=fault.name.lower(),
            error=in_words(error),
            waited_s=round(waited, 2),
        )

    def _ask_for_less(self) -> None:
        """Ask for a tenth of the events: the same request, from the same place, would take as long again."""
        self._timeouts += 1
        self._asked_for = max(1, self._asked_for // 10)
        log.error(
            "no answer in time; asking for fewer events (a longer socketTimeoutMS in [source] uri may help too)",
            pipeline=self._name,
            watches=str(self._watch),
            timeouts=self._timeouts,
            asks_for=self._asked_for,
        )

    def _resume_by_time(self, error: PyMongoError) -> None:
        """Try the position's cluster time once where its token is of no use; raise PositionLost after that."""
        position = self._position
        if position and position.token and position.time:
            self._position = position_at(position.time)
            log.warning(
                "the resume token cannot be used, trying its cluster time", pipeline=self._name, error=in_words(error)
            )
            return
        names = self._watch.names.replace(",", "")
        when = datetime.fromtimestamp(seconds_of(position.time), UTC).isoformat() if position else "now"
        raise PositionLost(
            f"The change log of the source no longer holds the position of {self._watch.names} ({when}):"
            f" {in_words(error)}. The changes since then can no longer be read.",
            f"Run `penstock load --again {names}` to load these collections again, and make the change log's retention"
            " longer than the longest time penstock may be stopped.",
        ) from error


def _leave_out(_namespace: Namespace, documents: Sequence[BsonDocument]) -> Sequence[Body]:
    """In the place of a transform where only the position is wanted."""
    return [None] * len(documents)
