"""A member of a consumer group, on a real broker: what it may commit, and when."""

import secrets
import threading

import pytest
from confluent_kafka import Consumer

from penstock.errors import LeaseLost
from penstock.kafka import member
from penstock.kafka.member import Member, committed_of
from penstock.kafka.positions import Partition, Place, token_of
from penstock.model import Position
from penstock.settings import LogSettings
from testkit.connect import Topics


def position(topic: str, offset: int) -> Position:
    return Position(token_of({Partition(topic, 0): Place(offset, offset, 5)}), 5)


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
        consumer = Consumer({"bootstrap.servers": kafka_servers, "group.id": topic})
        found = committed_of(consumer, [Partition(topic, 0)])[Partition(topic, 0)]
        consumer.close()
        return found.place.offset if found else None

    try:
        with Member(settings, topic, [topic], stop=stop) as first:
            before = first.next_term()
            before.open_at({Partition(topic, 0): Place(0)})
            assert before.take(60)
            before.save(position(topic, 3))
            assert committed() == 3
            first._on_revoke(first._consumer, [])  # as a rebalance does, while something is in flight
            with pytest.raises(LeaseLost):
                before.save(position(topic, 9))
            after = first.next_term()
            assert after.committed[Partition(topic, 0)].place == Place(3, 3, 5)
            assert committed() == 3
            before.done.set()
            after.done.set()
    finally:
        stop.set()
