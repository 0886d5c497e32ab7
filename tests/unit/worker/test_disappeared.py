"""When everything before a moment was told by the stream."""

from penstock.model import Counts, Position
from penstock.worker.collections.disappeared import StreamWatermark


def at(time):
    return Position(None, time)


def test_a_position_behind_the_moment_says_so():
    heard = StreamWatermark()
    moment = heard.moment(100)
    heard.settled(at(99), Counts(read=1))
    assert not heard.has_passed(moment)
    heard.settled(at(100), Counts(read=1))
    assert heard.has_passed(moment)


def test_where_positions_stand_still_empty_answers_after_the_moment_say_so():
    heard = StreamWatermark()
    for _ in range(9):
        heard.settled(at(1), Counts())
    moment = heard.moment(100)
    for passed in (False, False, True):
        assert not heard.has_passed(moment)
        heard.settled(at(1), Counts(read=1))
        heard.settled(at(1), Counts())
        assert heard.has_passed(moment) == passed
