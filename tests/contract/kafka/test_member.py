"""A member of a consumer group, on a real broker: what it may commit, and when."""

import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer

from penstock.errors import LeaseLost
from penstock.kafka import member
from penstock.kafka.connection import configuration
from penstock.kafka.member import Member, committed_of
from penstock.kafka.positions import Partition, Place, token_of
from penstock.model import Position
from penstock.settings import LogSettings
from testkit.connect import Topics
from testkit.workspace import until

_MAY_BE_SILENT_S = 6.0
"""How long a member of the test may not poll before its group puts it out; brokers take no shorter session."""


def position(topic: str, offset: int) -> Position:
    return Position(token_of({Partition(topic, 0): Place(offset, offset, 5)}), 5)


def committed_offset(servers: str, topic: str) -> int | None:
    """Return what the group named like the topic has committed there."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": topic})
    found = committed_of(consumer, [Partition(topic, 0)])[Partition(topic, 0)]
    consumer.close()
    return found.place.offset if found else None


class Sleeper(Member):
    """A member whose polling can be held up."""

    is_held = False

    def _poll(self) -> None:
        if self.is_held:
            self.sleeps.set()
            self.goes_on.wait()
        super()._poll()

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Not poll meanwhile."""
        self.sleeps, self.goes_on = threading.Event(), threading.Event()
        self.is_held = True
        assert self.sleeps.wait(60)
        try:
            yield
        finally:
            self.is_held = False
            self.goes_on.set()


def test_a_member_that_was_put_out_commits_nothing_and_knows_it(kafka_servers, monkeypatch):
    may_be_silent = {"max.poll.interval.ms": round(_MAY_BE_SILENT_S * 1000)}
    monkeypatch.setattr(member, "_TERM_MAY_END_S", 0.5)
    monkeypatch.setattr(member, "configuration", lambda *given: {**configuration(*given), **may_be_silent})
    topic, stop = f"put-out-{secrets.token_hex(4)}", threading.Event()
    topics = Topics(kafka_servers)
    topics.create(topic)
    topics.send(topic, b"key", b"value")
    topics.flush()
    settings = LogSettings(bootstrap_servers=kafka_servers, session_timeout_s=_MAY_BE_SILENT_S)
    try:
        with Sleeper(settings, topic, [topic], stop=stop) as first, ThreadPoolExecutor() as pipelines:
            before = first.next_term()
            before.open_at({Partition(topic, 0): Place(0)})
            assert before.waiting.take(60)
            with first.held_up():
                wished = pipelines.submit(before.save, position(topic, 1))  # while it still has its partitions
                with Member(settings, topic, [topic], stop=stop) as second:
                    now = second.next_term()
                    assert now.committed == {Partition(topic, 0): None}
                    now.open_at({Partition(topic, 0): Place(0)})
                    pipelines.submit(now.save, position(topic, 7)).result(60)
                    with pytest.raises(LeaseLost, match="may be another member's"):
                        before.assert_held()  # it does not know yet
                    first.goes_on.set()
                    with pytest.raises(LeaseLost, match=r"the position was refused|are another member's"):
                        wished.result(60)
                    until(before.ending.is_set, "it polls again, and learns of it")
                    with pytest.raises(LeaseLost, match="may be another member's"):
                        before.assert_held()
                    assert committed_offset(kafka_servers, topic) == 7
                    before.done.set()
                    now.done.set()
    finally:
        stop.set()


class Giving(Member):
    """A member that gives its partitions back when the test wants it, in the thread that polls, as a rebalance does."""

    gives = False

    def _poll(self) -> None:
        if self.gives:
            self.gives = False
            self._end_term(lost=False)
        super()._poll()


def test_partitions_that_were_given_back_are_committed_for_no_more(kafka_servers, monkeypatch):
    monkeypatch.setattr(member, "_TERM_MAY_END_S", 0.5)
    topic, stop = f"member-{secrets.token_hex(4)}", threading.Event()
    topics = Topics(kafka_servers)
    topics.create(topic)
    for number in range(10):
        topics.send(topic, b"key", str(number).encode())
    topics.flush()
    settings = LogSettings(bootstrap_servers=kafka_servers, session_timeout_s=6)

    def committed() -> int | None:
        return committed_offset(kafka_servers, topic)

    try:
        with Giving(settings, topic, [topic], stop=stop) as first:
            before = first.next_term()
            before.open_at({Partition(topic, 0): Place(0)})
            assert before.waiting.take(60)
            before.save(position(topic, 3))
            assert committed() == 3
            first.gives = True
            until(lambda: before.lost, "the term to end")  # while something is in flight
            with pytest.raises(LeaseLost):
                before.save(position(topic, 9))
            after = first.next_term()
            assert after.committed[Partition(topic, 0)].place == Place(3, 3, 5)
            assert committed() == 3
            before.done.set()
            after.done.set()
    finally:
        stop.set()
