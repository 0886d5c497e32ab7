"""When the stream has delivered everything before a moment, and how often names are compared."""

import threading

from penstock.model import Counts, Position
from penstock.mongo.watch import Watch
from penstock.planner import Plan
from penstock.runtime.intervals import Intervals
from penstock.worker.collections.disappeared import Disappeared, StreamWatermark
from penstock.worker.collections.renames import Renames
from penstock.worker.load_gate import LoadGate


class Source:
    """Answers the source's questions; in the place of the adapters of a pipeline without collections."""

    intervals = Intervals(disappeared_s=10)

    def __init__(self):
        self.asked = 0

    def ask(self, question, *arguments, stop):
        self.asked += 1
        return 7


def at(time):
    return Position(None, time)


def test_names_are_compared_at_once_and_then_at_their_intervals_also_on_a_machine_that_has_just_booted():
    source, clock, ending, compared = Source(), [0.0], threading.Event(), []
    plan = Plan(Watch("shop", ()), ())
    disappeared = Disappeared(plan, source, {}, LoadGate(ending), Renames(source), ending, now=lambda: clock[0])
    for second in range(25):
        clock[0], before = float(second), source.asked
        disappeared.look_if_due()
        if source.asked > before:
            compared.append(second)
    assert compared == [0, 11, 22]


def test_a_position_behind_the_moment_says_so():
    watermark = StreamWatermark()
    moment = watermark.moment(100)
    watermark.settled(at(99), Counts(read=1))
    assert not watermark.has_passed(moment)
    watermark.settled(at(100), Counts(read=1))
    assert watermark.has_passed(moment)


def test_where_positions_stand_still_empty_answers_after_the_moment_say_so():
    watermark = StreamWatermark()
    for _ in range(9):
        watermark.settled(at(1), Counts())
    moment = watermark.moment(100)
    for passed in (False, False, True):
        assert not watermark.has_passed(moment)
        watermark.settled(at(1), Counts(read=1))
        watermark.settled(at(1), Counts())
        assert watermark.has_passed(moment) == passed


def test_of_a_secondary_no_number_of_empty_answers_says_so():
    """It may be behind the primary, where the collection was missed."""
    watermark = StreamWatermark(by_time=True)
    moment = watermark.moment(100)
    for _ in range(9):
        watermark.settled(at(99), Counts())
    assert not watermark.has_passed(moment)
    watermark.settled(at(100), Counts())
    assert watermark.has_passed(moment)


def test_where_an_idle_position_tells_its_time_no_number_of_empty_answers_says_so():
    """A server that scans four hours of its log answers many of them."""
    watermark = StreamWatermark()
    moment = watermark.moment(100)
    for time in (1, 50, 98, 99):
        watermark.settled(Position("token", time, source_time=200), Counts())
        assert not watermark.has_passed(moment)
    watermark.settled(Position("token", 100, source_time=200), Counts())
    assert watermark.has_passed(moment)
