"""The ranges of a term as a source."""

import threading
from itertools import islice

import pytest

from penstock.delivery.shared_load.stream import RangeStream
from penstock.delivery.shared_load.task import Task
from penstock.errors import Stopped
from penstock.kafka.member import Term
from penstock.kafka.positions import Committed, Partition, Place, places_of
from penstock.kafka.records import Record
from penstock.model import Batch, Namespace, Position, TransformedChange
from penstock.mongo.id_ranges import slices
from penstock.opensearch.state.shared_load import LoadPlan
from penstock.runtime.threads import ChildEvent

FIRST, SECOND = slices(range(3, 4), [10])
PLAN = LoadPlan("one", "tasks", is_written=True, partitions={0: (0, 3)})
PLACE = Partition("tasks", 0)


class TwoReplies:
    """A range that comes in two replies."""

    def batches(self, after, transform):
        assert after is None
        for number in (1, 2):
            change = TransformedChange(Namespace("shop", "orders"), "upsert", number, number)
            yield Batch([change], Position("in the range", number), 0.0, more=True)


@pytest.fixture
def stop():
    return threading.Event()


@pytest.fixture
def stream(stop, monkeypatch):
    monkeypatch.setattr(Term, "open_at", lambda *_: None)  # nobody polls
    term = Term(None, {PLACE: Committed(Place(0))}, 1, ChildEvent(stop))
    tasks = [Task("one", 1, FIRST), Task("earlier", 1, FIRST), Task("one", 2, SECOND), Task("later", 1, FIRST)]
    term.waiting.put([Record("tasks", 0, at, None, task.encoded(), 0) for at, task in enumerate(tasks)])
    return RangeStream(term, PLAN, lambda *_: TwoReplies(), lambda *_: None)


def test_an_offset_is_passed_when_all_of_its_range_was_read(stream):
    found = [
        (len(batch.changes), places_of(batch.position.token)[PLACE].offset)
        for batch in islice(stream.batches(None, None), 7)
    ]
    assert found == [(1, 0), (1, 0), (0, 1), (0, 2), (1, 2), (1, 2), (0, 3)]


def test_a_range_of_a_later_plan_is_left_to_its_members_and_what_is_in_flight_is_completed(stream):
    idle = list(islice(stream.batches(None, None), 9))[7:]
    assert [(each.changes, places_of(each.position.token)[PLACE].offset) for each in idle] == [([], 3), ([], 3)]


def test_it_ends_with_the_term(stream, stop):
    stop.set()
    with pytest.raises(Stopped):
        list(stream.batches(None, None))
