"""Capture: the change stream into topics of Kafka, beside today's catch-up and a bare loop over the stream.

    .venv/bin/python -m benchmarks.capture [--rounds 7] [--changes 200000]

The changes are those of `catch_up`: inserts, updates and deletes, mixed, made once. Every round reads them from the
same position of the change stream.

penstock capture     into topics of its own, as `penstock capture` does: transactions with marks, 12 partitions
bare watch           a change stream of the driver, of which nothing is done with the events
penstock catch-up    into an empty index, as `penstock run` does
All look documents up (`updateLookup`). Source, Kafka and OpenSearch are on the same machine.
"""

import threading
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Literal

from bson import Timestamp
from confluent_kafka import Consumer, TopicPartition

from benchmarks.catch_up import NAME, Changes, penstock_catch_up
from benchmarks.ground import DB, Ground, kafka
from benchmarks.item import Given, main
from benchmarks.results import Section
from benchmarks.rounds import Took, Way, measured, timed
from penstock.capture.collections import CursorSettings, cursors_of
from penstock.capture.report import CaptureReport
from penstock.capture.term import CaptureTerm
from penstock.connections import source_connection
from penstock.errors import Stopped
from penstock.kafka.log import End, Mark, marks_topic_of, topic_of
from penstock.kafka.log_writer import LogWriter
from penstock.kafka.mark_reader import newest_mark
from penstock.kafka.own_topics import OwnTopics
from penstock.kafka.positions import Partition
from penstock.model import Namespace, Position
from penstock.observe.metrics import Metrics
from penstock.runtime.intervals import INTERVALS
from penstock.runtime.threads import ChildEvent
from penstock.settings import LogSettings

PARTITIONS = 12


class _Until(CaptureReport):
    """Measures from the moment when the term is ready, and ends it once this number of changes is committed."""

    def measure(self, changes: int, ending: threading.Event) -> None:
        self.changes, self.ending = changes, ending

    def enter(self, state: Literal["standby", "live"]) -> None:
        super().enter(state)
        self.began, self.cpu = time.perf_counter(), time.process_time()

    def reached(self, position: Position, *, changes: bool) -> None:
        super().reached(position, changes=changes)
        kinds = ("upsert", "delete", "unresolved")
        written = sum(
            self.metrics.value("penstock_capture_events_total", capture=self.name, outcome=each) for each in kinds
        )
        if written >= self.changes and not self.ending.is_set():
            self.took = Took(time.perf_counter() - self.began, time.process_time() - self.cpu)
            self.ending.set()


@dataclass
class Log:
    """Topics for each round, with a first mark at the position where the changes begin."""

    changes: Changes
    servers: str
    rounds: "count[int]"
    cursor: CursorSettings | None = None

    def fresh(self) -> None:
        """Make empty topics, whose first mark is where the changes begin."""
        log = LogSettings(
            bootstrap_servers=self.servers,
            own_topics=True,
            prefix=f"round-{next(self.rounds)}",
            topic_partitions=PARTITIONS,
            topic_replication=1,
        )
        (self.cursor,) = cursors_of(self.changes.at.settings([NAME]).model_copy(update={"log": log}))
        topics, marks = OwnTopics(log), marks_topic_of(log.prefix, DB)
        topics.make_marks(marks)
        found = topics.make([topic_of(log.prefix, Namespace(DB, NAME))], threading.Event()).values()
        ends = {Partition(each.name, number): End(0, 0) for each in found for number in range(each.partitions)}
        with closing(LogWriter(log, marks, marks, stop=threading.Event())) as writer:
            writer.begin()
            writer.go_on(list(found), ends)
            writer.commit([Mark(self.changes.begin, ends, {each.name: each.id for each in found})])

    def capture(self) -> Took:
        """Capture all changes, in this process."""
        assert self.cursor is not None
        ending = ChildEvent(threading.Event())
        report = _Until(self.cursor.name, Metrics())
        report.measure(self.changes.count, ending)
        with source_connection(self.cursor.settings.source) as connection:
            term = CaptureTerm(self.cursor, connection, report.metrics, report, INTERVALS, ending, lambda: None)
            with suppress(Stopped):
                term.run()
        return report.took

    def require_all(self) -> None:
        """Raise SystemExit unless the newest mark counts every change, and the partitions reach that far."""
        assert self.cursor is not None
        log = self.cursor.settings.log
        mark = newest_mark(log, marks_topic_of(log.prefix, DB), threading.Event())
        written = sum(end.number for end in mark.ends.values()) if mark else 0
        config = {"bootstrap.servers": self.servers, "group.id": "bench"}
        with closing(Consumer(config)) as consumer:
            ends = {
                each: consumer.get_watermark_offsets(TopicPartition(*each))[1] for each in (mark.ends if mark else ())
            }
        if written != self.changes.count or any(mark.ends[each].offset > end for each, end in ends.items() if mark):
            raise SystemExit(f"{written} of {self.changes.count} changes are in the log: no figures")


def bare_watch(changes: Changes) -> None:
    """Read all events with the driver's own change stream."""
    begin, seen = changes.begin.time, 0
    start = Timestamp(begin >> 32, (begin & 0xFFFFFFFF) + 1)
    collection = changes.at.mongo[DB][NAME]
    with collection.watch(full_document="updateLookup", start_at_operation_time=start, batch_size=1000) as stream:
        for _ in stream:
            seen += 1
            if seen >= changes.count:
                return


def sections(at: Ground, given: Given) -> Iterable[Section]:
    changes = Changes(at, given.changes)
    with kafka() as servers:
        log = Log(changes, servers, count(1))
        found = measured(
            f"capture of {changes.count:,} changes",
            "changes",
            changes.count,
            [
                Way("penstock capture", log.capture, log.fresh, log.require_all),
                Way("bare watch", partial(timed, partial(bare_watch, changes))),
                Way("penstock catch-up", partial(penstock_catch_up, changes), partial(at.fresh, [NAME])),
            ],
            {("penstock capture", "bare watch"): 0.9, ("penstock capture", "penstock catch-up"): None},
            rounds=given.rounds,
        )
    yield found.section()


if __name__ == "__main__":
    main("capture", __doc__, sections, changes=200_000)
