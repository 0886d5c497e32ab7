"""Log-ins in the activity: counted where they were refused, and in nobody's way."""

import threading

from penstock.console.jobs.activity import _kept
from penstock.console.jobs.job import Person
from penstock.console.jobs.log_ins import NOBODY, LogIns
from penstock.errors import SinkUnavailable
from testkit.workspace import until

ANNA = Person("Anna", "operator")


class Noted:
    """Stands in for the log in the index."""

    def __init__(self) -> None:
        self.entries: list[tuple[Person, str, str]] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def note(self, by: Person, what: str, _subject: str, result: str, *, kind: str) -> None:
        assert self.go_on.wait(60)
        assert kind == ("refused" if by is NOBODY else "log-in")
        self.entries.append((by, what, result))


def test_a_log_in_is_noted_with_its_address():
    noted = Noted()
    LogIns(lambda: noted).let_in(ANNA, "10.0.0.1")
    until(lambda: noted.entries == [(ANNA, "logged in", "from 10.0.0.1")], lambda: str(noted.entries))


def test_wrong_tokens_are_counted_into_few_entries():
    noted = Noted()
    log_ins = LogIns(lambda: noted, refused_every_s=0.05)
    noted.go_on.clear()
    log_ins.refused("10.0.0.0")
    until(lambda: log_ins._wrong == 0, "the first one is being written")
    for number in range(2000):
        log_ins.refused(f"10.0.{number % 250}.1")
    noted.go_on.set()
    until(lambda: len(noted.entries) == 2, lambda: str(noted.entries))
    assert noted.entries == [
        (NOBODY, "was refused", "1 wrong token from 10.0.0.0"),
        (NOBODY, "was refused", "2,000 wrong tokens from 250 addresses, the last from 10.0.249.1"),
    ]


def test_a_log_in_is_noted_at_once_while_wrong_tokens_are_counted():
    noted = Noted()
    log_ins = LogIns(lambda: noted, refused_every_s=3600)
    log_ins.refused("10.0.0.1")
    until(lambda: len(noted.entries) == 1, lambda: str(noted.entries))
    log_ins.refused("10.0.0.1")
    log_ins.let_in(ANNA, "10.0.0.2")
    until(lambda: len(noted.entries) == 2, lambda: str(noted.entries))
    assert noted.entries[1] == (ANNA, "logged in", "from 10.0.0.2")


def test_what_is_counted_when_the_console_ends_is_noted():
    noted, stop = Noted(), threading.Event()
    log_ins = LogIns(lambda: noted, stop, refused_every_s=3600)
    log_ins.refused("10.0.0.1")
    until(lambda: len(noted.entries) == 1, lambda: str(noted.entries))
    log_ins.refused("10.0.0.2")
    stop.set()
    until(lambda: len(noted.entries) == 2, lambda: str(noted.entries))
    assert noted.entries[1] == (NOBODY, "was refused", "1 wrong token from 10.0.0.2")
    until(lambda: not log_ins._is_writing, "its thread has ended")


def test_neither_log_ins_nor_wrong_tokens_push_out_what_somebody_did():
    entries = [{"kind": kind, "n": number} for number in range(1000) for kind in ("log-in", "refused")]
    done = [{"n": number} for number in range(600)]
    kept = _kept([*entries, *done])
    assert [each["n"] for each in kept if each.get("kind") == "log-in"] == list(range(100))
    assert [each["n"] for each in kept if each.get("kind") == "refused"] == list(range(20))
    assert [each["n"] for each in kept if "kind" not in each] == list(range(500))


def test_somebody_who_logs_in_does_not_wait_for_an_index_that_hangs():
    noted = Noted()
    log_ins = LogIns(lambda: noted)
    noted.go_on.clear()
    for _ in range(500):
        log_ins.let_in(ANNA, "10.0.0.1")
    assert noted.entries == []
    noted.go_on.set()
    until(lambda: len(noted.entries) >= 100, lambda: str(len(noted.entries)))
    assert len(noted.entries) <= 200, "what waits is bounded"


def test_an_index_that_is_away_keeps_nobody_out_and_later_ones_are_noted():
    noted, left = Noted(), [1]

    def activity() -> Noted:
        if left:
            left.pop()
            raise SinkUnavailable("away")
        return noted

    log_ins = LogIns(activity)
    log_ins.let_in(ANNA, "10.0.0.1")
    until(lambda: not left, "the first one was tried")
    log_ins.let_in(ANNA, "10.0.0.2")
    until(lambda: [each[2] for each in noted.entries] == ["from 10.0.0.2"], lambda: str(noted.entries))
