"""The position is saved beside the pipeline's work, in order, and a failure to save it is told."""

import threading

import pytest

from penstock.errors import LeaseLost
from penstock.model import Position
from penstock.pipeline.checkpointer import Checkpointer
from testkit.workspace import until


def at(number):
    return Position(str(number), number)


class Slow:
    """Saves once it may; `begun` holds what was begun, `saved` what is saved."""

    def __init__(self):
        self.begun, self.saved, self.may = [], [], threading.Event()

    def __call__(self, position):
        self.begun.append(position)
        assert self.may.wait(10)
        self.saved.append(position)


def test_a_slow_save_holds_nothing_up_and_the_last_position_is_saved_in_the_end():
    slow = Slow()
    with Checkpointer(slow, every_s=0) as saving:
        for number in range(1, 10):
            saving.reached(at(number), read=number)
        until(lambda: slow.begun, "the first save")
        assert (slow.begun, slow.saved) == ([at(1)], [])
        slow.may.set()
        saving.finish()
        assert slow.saved == [at(1), at(9)]


def test_leaving_waits_for_the_save_that_is_under_way():
    slow = Slow()
    with Checkpointer(slow, every_s=0) as saving:
        saving.reached(at(1), read=1)
        until(lambda: slow.begun, "the save")
        threading.Timer(0.3, slow.may.set).start()
    assert slow.saved == [at(1)]


def test_positions_are_saved_at_their_intervals_and_those_of_an_idle_source_less_often():
    saved = []
    with Checkpointer(saved.append, every_s=0) as saving:
        saving.reached(at(1), read=5)
        until(lambda: saved == [at(1)], lambda: saved)
        saving.reached(at(2), read=5)
        until(lambda: saving.reached(at(3), read=6) or saved == [at(1), at(3)], lambda: saved)
    with Checkpointer(saved.append, every_s=60) as saving:
        saving.reached(at(4), read=7)
        until(lambda: saved[-1] == at(4), lambda: saved)
        saving.reached(at(5), read=8)
        assert saved[-1] == at(4)
        saving.finish()
        assert saved[-1] == at(5)
        saving.finish()
    assert saved == [at(1), at(3), at(4), at(5)]


def just_booted():
    """A clock that begins at 0, as the monotonic one does when the machine starts."""
    return 0.0


def test_the_first_position_is_saved_at_once_also_on_a_machine_that_has_just_booted():
    saved = []
    with Checkpointer(saved.append, every_s=3600, now=just_booted) as saving:
        saving.reached(at(1), read=1)
        until(lambda: saved == [at(1)], lambda: saved)
        saving.reached(at(2), read=2)
        assert saved == [at(1)]


def test_the_position_of_an_idle_source_is_saved_at_its_own_intervals():
    saved, clock = [], [0.0]
    with Checkpointer(saved.append, every_s=0, idle_s=10, now=lambda: clock[0]) as saving:
        for second in range(25):
            clock[0] = float(second)
            saving.reached(at(second), read=5)
            until(lambda: saving._under_way is None or saving._under_way.done(), "the save")
    assert saved == [at(0), at(10), at(20)]


@pytest.mark.parametrize("every_s", [0, 3600])
def test_what_a_save_raised_is_raised_by_every_call_that_follows(every_s):
    def save(_):
        raise LeaseLost("taken")

    with Checkpointer(save, every_s=every_s, now=just_booted) as saving:
        saving.reached(at(1), read=1)
        with pytest.raises(LeaseLost, match="taken"):
            until(lambda: saving.reached(at(2), read=2), "the failure")
        with pytest.raises(LeaseLost, match="taken"):
            saving.finish()
