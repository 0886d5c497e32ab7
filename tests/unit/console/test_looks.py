"""What is read once for all viewers."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from penstock.console.looks import Looks
from penstock.errors import SinkUnavailable
from testkit.workspace import until

LONG_S = 3600.0


def test_many_who_ask_at_once_cost_one_look():
    looks, count, begun, go_on = Looks(), [], threading.Event(), threading.Event()

    def read() -> int:
        count.append(1)
        begun.set()
        assert go_on.wait(60)
        return len(count)

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(looks.look, "status", read, every_s=LONG_S) for _ in range(8)]
        assert begun.wait(60)
        go_on.set()
        assert [each.result(60) for each in asked] == [1] * 8
    assert len(count) == 1


def test_while_somebody_reads_again_others_get_what_was_read_before():
    looks, begun, go_on = Looks(), threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert go_on.wait(60)
        return "new"

    assert looks.look("status", lambda: "old", every_s=LONG_S) == "old"
    with ThreadPoolExecutor(1) as pool:
        again = pool.submit(looks.look, "status", slow, every_s=0.0)
        assert begun.wait(60)
        assert looks.look("status", slow, every_s=0.0) == "old"
        go_on.set()
        assert again.result(60) == "new"


def test_what_could_not_be_read_is_not_asked_for_at_once_again():
    looks, count = Looks(), []

    def fail() -> None:
        count.append(1)
        raise SinkUnavailable("away")

    for _ in range(3):
        with pytest.raises(SinkUnavailable, match="away"):
            looks.look("status", fail, every_s=LONG_S)
    assert len(count) == 1
    assert looks.look("status", lambda: "back", every_s=0.0) == "back"


def test_what_an_action_changed_is_read_again():
    looks = Looks()
    looks.look("status", lambda: "before", every_s=LONG_S)
    looks.forget("status")
    assert looks.look("status", lambda: "after", every_s=LONG_S) == "after"


def test_looks_are_bounded():
    looks = Looks()
    for number in range(2000):
        looks.look(number, lambda: None, every_s=LONG_S)
    assert len(looks._looks) <= 500


def test_the_latest_is_at_hand_with_its_age_while_it_is_read_again():
    looks, begun, go_on = Looks(), threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert go_on.wait(60)
        return "new"

    assert looks.latest("status", lambda: "old", every_s=0.0) == ("old", 0.0)
    found, age_s = looks.latest("status", slow, every_s=0.0)
    assert (found, age_s > 0) == ("old", True)
    assert begun.wait(60)
    later, older_s = looks.latest("status", slow, every_s=0.0)
    assert (later, older_s > age_s) == ("old", True)
    go_on.set()
    until(lambda: looks.latest("status", slow, every_s=LONG_S)[0] == "new", "the new look")


def test_what_could_not_be_read_is_not_shown_as_the_latest():
    looks = Looks()

    def fail() -> str:
        raise SinkUnavailable("away")

    with pytest.raises(SinkUnavailable, match="away"):
        looks.latest("status", fail, every_s=0.0)
    assert looks.latest("status", lambda: "back", every_s=0.0) == ("back", 0.0)
