"""One term of a capture: the predecessor is put out, and what its newest mark says is gone on from.

begin     everything before the first change: fence, newest mark, collections, topics
run       the changes, in transactions, until the term ends
"""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Final, TypeVar, cast

import structlog

from penstock.capture.collections import Captured, CursorSettings, Later
from penstock.capture.report import CaptureReport
from penstock.capture.start import LogStart, compare
from penstock.errors import PositionLost, SourceUnavailable, SystemicFault
from penstock.kafka.log import Mark, marks_topic_of
from penstock.kafka.log_writer import LogWriter
from penstock.kafka.mark_reader import newest_mark
from penstock.kafka.own_topics import OwnTopics
from penstock.model import (
    CONTROL,
    Batch,
    Body,
    BsonDocument,
    Change,
    Namespace,
    Position,
    TransformedChange,
)
from penstock.mongo.collections import namespaces
from penstock.mongo.connection import Connection
from penstock.mongo.heartbeat import beat
from penstock.mongo.identity import SourceIdentity, identity_of
from penstock.mongo.position import position_after
from penstock.mongo.raw_events import RawEvents
from penstock.mongo.retrying import ask
from penstock.mongo.stream import MongoStream
from penstock.observe.metrics import Metrics
from penstock.pipeline.batching import Limits, gather
from penstock.runtime.intervals import Intervals
from penstock.runtime.threads import ChildEvent

log = structlog.get_logger(__name__)

T = TypeVar("T")

_AT_ONCE: Final = Limits(changes=10_000, bytes=32 * 1024 * 1024)
_MOST_S: Final = 0.1
"""A transaction ends at once when the source has nothing more ready, and else at one of these."""


class TermOver(Exception):
    """The term has done its work; the next one begins with other collections or names, or at another position."""


@dataclass
class CaptureTerm:
    """Used by one thread. It ends when `ending` is set."""

    cursor: CursorSettings
    connection: Connection
    metrics: Metrics
    report: CaptureReport
    intervals: Intervals
    ending: ChildEvent
    assert_held: Callable[[], None]
    _captured: Captured = field(init=False)
    _writer: LogWriter = field(init=False)
    _mark: Mark = field(init=False)
    _marked_at: float = 0.0
    _looked_at: float = 0.0
    _beaten_at: float = 0.0

    def run(self) -> None:
        """Capture until the term ends. Raises TermOver, LeaseLost, ReadAgain, PositionLost, Stopped and others."""
        settings = self.cursor.settings
        marks = marks_topic_of(settings.log.prefix, self.cursor.db, self.cursor.own)
        self._writer = LogWriter(settings.log, marks, marks, stop=self.ending)
        with closing(self._writer):
            self._writer.begin()
            self._begin(newest_mark(settings.log, marks, self.ending))
            self.report.enter("live")
            log.info("capture goes on", capture=self.cursor.name, cluster_time=self._mark.position.time)
            try:
                self._follow()
            except PositionLost as lost:
                self._go_on_from_now(lost)

    def _begin(self, mark: Mark | None) -> None:
        """Make sure of the topics, and write a first mark where there is none, or where it says something else now."""
        self._captured = self._collections(mark)
        settings = self.cursor.settings.log
        topics = OwnTopics(settings).make(self._captured.topics, self.ending)
        start = compare(settings, self._captured, topics, mark, self.ending)
        self._writer.go_on(start.topics, start.ends)
        source = self._source_identity(mark)
        position = mark.position if mark else self._position_now()
        self._mark = Mark(position, start.ends, start.ids, None, self._captured.later, source.stored())
        self.report.marked(position)
        if start.lost:
            self._report_deleted(start)
        if mark is None or start.ids != mark.topics:
            self._write([self._mark, *(self._missing(each.declared, position) for each in start.lost)])

    def _collections(self, mark: Mark | None) -> Captured:
        """Return what is to be captured; waits while patterns match nothing yet."""
        prefix = self.cursor.settings.log.prefix
        known = [Namespace.named(each.removeprefix(f"{prefix}.")) for each in mark.topics] if mark else []
        while True:
            captured = self._found(known, mark.names if mark else {})
            if captured.collections:
                return captured
            self.report.reached(Position("", 0), changes=False)
            if self.ending.wait(self.intervals.patterns_s):
                raise TermOver

    def _found(self, known: Sequence[Namespace], later: Later) -> Captured:
        """Look at the collections that there are, where patterns may match them."""
        self._looked_at = time.monotonic()
        there = self._ask(namespaces, self.cursor.db) if self.cursor.has_patterns else []
        found = self.cursor.collections(there, known, later)
        self.report.refused(found.refused)
        return found

    def _source_identity(self, mark: Mark | None) -> SourceIdentity:
        """Return what can be seen of the source. Raises SystemicFault when the mark is of another one."""
        watch = self._captured.watch
        now: SourceIdentity = self._ask(identity_of, watch.db, watch.carried(0), self.connection.address)
        if mark and (known := SourceIdentity.kept(mark.source)):
            known.require_same(now, f"The log of {self.cursor.name}")
        return now

    def _stream(self) -> MongoStream:
        watch = self._captured.watch
        return MongoStream(
            self.connection,
            watch,
            name=self.report.pipeline,
            metrics=self.metrics,
            stop=self.ending,
            intervals=self.intervals,
            events=RawEvents(watch.db, watch.colls, watch.renamed),
        )

    def _position_now(self) -> Position:
        return self._stream().position_now()

    def _follow(self) -> None:
        stream, after = self._stream(), self._mark.position
        gathered = gather(stream, after, _AT_ONCE, _as_it_is, max_age_s=_MOST_S, on_answer=self._take)
        with closing(gathered) as batches:  # the log takes what is there while more is read
            for batch in batches:
                if self._writer.records:
                    self._commit(batch.position)
                else:
                    self._rest(batch.position)
                self._look_around()

    def _take(self, batch: Batch) -> None:
        """Add an answer of the source. A control change is written at once, with what came before it.

        Raises SystemicFault when not every event is accounted for.
        """
        self.assert_held()
        left_out, added, control = batch.left_out, 0, 0
        for is_control, group in groupby(batch.changes, _is_control):
            changes = list(group)
            if not is_control:
                added += self._add(changes)
                continue
            control += len(changes)
            for each in changes:
                self._control(each)
        if batch.events != added + control + left_out:
            raise SystemicFault(
                f"capture of {self.cursor.name}: the counts do not balance: {batch.events} events were read, {added}"
                f" are written, {control} are control changes, {left_out} are left out; stopped before the transaction"
                " was committed. Please report this with the log."
            )
        self.metrics.count("penstock_capture_events_total", left_out, capture=self.cursor.name, outcome="left_out")
        self.metrics.count("penstock_capture_events_total", control, capture=self.cursor.name, outcome="control")

    def _add(self, changes: Sequence[TransformedChange]) -> int:
        topics = self._captured.by_name
        by_namespace: dict[Namespace, list[TransformedChange]] = {}
        for each in changes:
            by_namespace.setdefault(each.namespace, []).append(each)
        for namespace, its in by_namespace.items():
            self._writer.add(topics[namespace].topic, its)
        return sum(map(len, by_namespace.values()))

    def _control(self, change: TransformedChange) -> None:
        """Write the mark of a change of a whole collection, if it is one of these. Raises TermOver after a new name."""
        plain = Change(change.namespace, change.kind, change.version, to=change.to)
        affected = self._captured.affected(plain)
        if not affected:
            return
        later = self._captured.after(plain)
        position = position_after(change.id, change.version)
        self._write([replace(self._mark, position=position, control=plain, names=later)])
        log.warning(
            "collection dropped or renamed",
            capture=self.cursor.name,
            collections=[str(each.declared) for each in affected],
            by=change.kind,
            now=str(change.to) if change.to else None,
        )
        if later != self._captured.later:
            raise TermOver

    def _commit(self, position: Position) -> None:
        changes = self._writer.records > 0
        self._write([replace(self._mark, position=position)])
        self.report.reached(position, changes=changes)

    def _rest(self, position: Position) -> None:
        """Nothing is to be written but, from time to time, where the source stands."""
        self.report.reached(position, changes=False)
        if position != self._mark.position and time.monotonic() - self._marked_at > self.intervals.idle_save_s:
            self._write([replace(self._mark, position=position)])

    def _write(self, marks: Sequence[Mark]) -> None:
        """Commit what was added, with these marks."""
        self.assert_held()
        outcomes = dict(self._writer.kinds)
        written = self._writer.commit(marks)
        self._mark = replace(written[-1], control=None)
        self.report.marked(self._mark.position)
        self._marked_at = time.monotonic()
        self.metrics.count("penstock_capture_transactions_total", capture=self.cursor.name)
        for outcome, number in outcomes.items():
            self.metrics.count("penstock_capture_events_total", number, capture=self.cursor.name, outcome=outcome)

    def _look_around(self) -> None:
        """Write the heartbeat and look for new collections, when it is time. Raises TermOver."""
        now = time.monotonic()
        source, watch = self.cursor.settings.source, self._captured.watch
        if watch.heartbeat and now - self._beaten_at > source.heartbeat_s:
            self._beaten_at = now
            try:
                self._ask(beat, Namespace(watch.db, watch.heartbeat))
            except SourceUnavailable as error:
                log.warning("heartbeat refused", pipeline=self.report.pipeline, cause=str(error))
        if self.cursor.has_patterns and now - self._looked_at > self.intervals.patterns_s:
            known = [each.declared for each in self._captured.collections]
            if self._found(known, self._captured.later).topics != self._captured.topics:
                raise TermOver

    def _go_on_from_now(self, lost: PositionLost) -> None:
        """Say that changes are missing, and go on; they are loaded again. Raises TermOver, PositionLost."""
        self.metrics.count("penstock_capture_positions_lost_total", capture=self.cursor.name, reason="source")
        if self.cursor.settings.pipeline.on_position_lost == "stop":
            raise lost
        position = self._position_now()
        declared = [each.declared for each in self._captured.collections]
        log.error(
            "position lost: changes are missing in the log, which goes on from now",
            capture=self.cursor.name,
            cause=lost.cause,
            heal=f"penstock load --again {' '.join(map(str, declared))}",
        )
        self._write([self._missing(each, position) for each in declared])
        raise TermOver

    def _report_deleted(self, start: LogStart) -> None:
        """Say that topics were deleted and made again. Raises PositionLost where that is to end it."""
        names = [str(each.declared) for each in start.lost]
        heal = f"penstock load --again {' '.join(names)}"
        self.metrics.count("penstock_capture_positions_lost_total", capture=self.cursor.name, reason="topic")
        what = f"The topics of {', '.join(names)} were deleted and made again: the changes that they held are gone."
        if self.cursor.settings.pipeline.on_position_lost == "stop":
            raise PositionLost(what, f'Set [pipeline] on_position_lost to "reload", start again, and run `{heal}`.')
        log.error("position lost: a topic was deleted and made again", capture=self.cursor.name, cause=what, heal=heal)

    def _missing(self, declared: Namespace, position: Position) -> Mark:
        """Return the mark that says that changes of a collection are missing before it."""
        return replace(self._mark, position=position, control=Change(declared, "invalidate", position.time))

    def _ask(self, question: Callable[..., T], *arguments: object) -> T:
        return ask(self.connection, self.ending, question, *arguments)


def _is_control(change: TransformedChange) -> bool:
    return change.kind in CONTROL


def _as_it_is(_namespace: Namespace, documents: Sequence[BsonDocument]) -> Sequence[Body]:
    """In the place of a transform: the document is the body, for it was not decoded."""
    return cast(Sequence[Body], documents)
