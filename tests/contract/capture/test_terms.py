"""What a term of capture leaves in the log when it is put out, or dies, at the worst moment."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import SecretStr

from penstock.capture import term as term_module
from penstock.capture.collections import cursors_of
from penstock.capture.report import CaptureReport
from penstock.capture.term import CaptureTerm
from penstock.connections import source_connection
from penstock.errors import LeaseLost, Stopped
from penstock.kafka.log import marks_topic_of
from penstock.kafka.log_writer import LogWriter
from penstock.kafka.mark_reader import newest_mark
from penstock.kafka.own_topics import OwnTopics
from penstock.observe.metrics import Metrics
from penstock.runtime.intervals import Intervals
from penstock.runtime.threads import ChildEvent
from penstock.settings import CollectionSettings, LogSettings, Settings, SourceSettings
from testkit.captured import CapturedLog
from testkit.workspace import until

COLL = "items"


@pytest.fixture
def cursor(database, source_uri, kafka_servers):
    log = LogSettings(
        bootstrap_servers=kafka_servers, own_topics=True, prefix="terms", topic_partitions=2, topic_replication=1
    )
    source = SourceSettings(uri=SecretStr(source_uri))
    collections = (CollectionSettings(namespace=f"{database.name}.{COLL}"),)
    (found,) = cursors_of(Settings(source=source, log=log, collections=collections))
    OwnTopics(log).make_marks(marks_topic_of(log.prefix, database.name))
    return found


@pytest.fixture
def log(database, kafka_servers):
    return CapturedLog(kafka_servers, "terms", database.name)


@pytest.fixture
def running(cursor):
    """Run terms, each in a thread of its own; yields a function that begins one and returns how it ends."""
    endings = []
    with source_connection(cursor.settings.source) as connection, ThreadPoolExecutor() as threads:

        def begin():
            ending = ChildEvent(threading.Event())
            endings.append(ending)
            metrics = Metrics()
            report = CaptureReport(cursor.name, metrics)
            found = CaptureTerm(cursor, connection, metrics, report, Intervals.fast(), ending, lambda: None)
            return threads.submit(found.run)

        yield begin
        for each in endings:
            each.set()


def ids(log):
    return [each.id for each in log.records(COLL)]


def test_what_a_predecessor_commits_before_it_is_put_out_is_not_written_again(database, running, log, monkeypatch):
    database.create_collection(COLL)
    go, done, begun = threading.Event(), threading.Event(), []

    class Late(LogWriter):
        """The first writer commits its second change only when the second one is about to put it out."""

        def begin(self):
            begun.append(self)
            if len(begun) == 2:
                go.set()
                assert done.wait(60)
            super().begin()

        def commit(self, marks):
            is_late = self is begun[0] and self.records and ids(log) == [1]
            if is_late:
                assert go.wait(60)
            written = super().commit(marks)
            if is_late:
                done.set()
            return written

    monkeypatch.setattr(term_module, "LogWriter", Late)
    first = running()
    until(log.marks, "the first term has begun")
    database[COLL].insert_one({"_id": 1})
    until(lambda: ids(log) == [1], "the first change")
    database[COLL].insert_one({"_id": 2})
    running()
    database[COLL].insert_one({"_id": 3})
    until(lambda: ids(log)[-1:] == [3], "the third change")
    assert ids(log) == [1, 2, 3]
    assert isinstance(first.exception(60), LeaseLost)


def test_changes_become_visible_with_their_mark_or_not_at_all(database, cursor, running, log, monkeypatch):
    database.create_collection(COLL)

    class Mortal:
        """A producer that dies right after its next commit."""

        def __init__(self, producer):
            self.producer, self.is_dead = producer, False

        def commit_transaction(self, timeout):
            assert not self.is_dead
            self.producer.commit_transaction(timeout)
            self.is_dead = True

        def __getattr__(self, name):
            if self.is_dead:
                raise Stopped("dead")
            return getattr(self.producer, name)

    class Dying(LogWriter):
        def commit(self, marks):
            if self.records:
                self._producer = Mortal(self._producer)
            return super().commit(marks)

    monkeypatch.setattr(term_module, "LogWriter", Dying)
    term = running()
    until(log.marks, "the term has begun")
    database[COLL].insert_many([{"_id": number} for number in range(5)])
    assert term.exception(60) is not None
    marks = marks_topic_of(cursor.settings.log.prefix, database.name)
    mark = newest_mark(cursor.settings.log, marks, threading.Event())
    assert sum(end.number for end in mark.ends.values()) == len(log.records(COLL)) > 0
