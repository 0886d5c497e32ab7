"""Where the answers of a term end: what is of one cluster time, and at hand, is in one of them."""

import threading

import bson
import pytest

from penstock.delivery.topics.own import OwnRecords
from penstock.delivery.topics.stream import TopicStream
from penstock.kafka.log import Numbered, headers_of
from penstock.kafka.member import Term
from penstock.kafka.positions import Committed, Partition, Place
from penstock.kafka.records import Record
from penstock.model import Namespace
from penstock.runtime.threads import ChildEvent

TOPIC = "log.shop.orders"
PLACES = [Partition(TOPIC, number) for number in range(2)]


@pytest.fixture
def term(monkeypatch):
    monkeypatch.setattr(Term, "open_at", lambda *_: None)  # nobody polls
    return Term(None, {each: Committed(Place(0)) for each in PLACES}, 2, ChildEvent(threading.Event()))


@pytest.fixture
def answers(term):
    """The versions of the changes of each answer until nothing waits, and whether more was at hand then."""

    def answers():
        reader = OwnRecords(Namespace("shop", "orders"), None, {}, lambda: None)
        stream = TopicStream(term, {each: Place(0) for each in PLACES}, reader)
        found = []
        for batch in stream.batches(None, lambda _, documents: [b"{}"] * len(documents)):
            found.append(([each.version for each in batch.changes], batch.more))
            if not batch.more:
                return found
        return None

    return answers


def polled(partition, first, versions):
    """Records of a partition, numbered from `first` on."""
    key = bson.encode({"_id": 1})
    return [
        Record(TOPIC, partition, number, key, None, 0, headers_of(Numbered("delete", version, number)))
        for number, version in enumerate(versions, first)
    ]


def test_what_is_of_one_cluster_time_and_was_polled_apart_is_one_answer(term, answers):
    term.waiting.put(polled(0, 1, range(1, 2001)))
    term.waiting.put(polled(0, 2001, [2000, 2000, 2001]))
    assert [(versions[-4:], more) for versions, more in answers()] == [([2000, 2000, 2000, 2001], False)]


def test_partitions_between_them_do_not_part_it(term, answers):
    term.waiting.put([*polled(0, 1, [7] * 1999), *polled(1, 1, [5])])
    term.waiting.put([*polled(1, 2, [6]), *polled(0, 2000, [7, 8])])
    ((versions, more),) = answers()
    assert (sorted(versions)[-2:], versions.count(7), more) == ([7, 8], 2000, False)


def test_another_cluster_time_begins_an_answer_of_its_own(term, answers):
    term.waiting.put(polled(0, 1, range(1, 2001)))
    term.waiting.put(polled(0, 2001, [2001]))
    assert [(versions[-1], more) for versions, more in answers()] == [(2000, True), (2001, False)]
