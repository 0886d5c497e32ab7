"""Reads beside the stream, while majority reads do not show yet what the stream has brought or a client has written."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from pymongo import MongoClient, WriteConcern
from pymongo.collection import Collection
from pymongo.database import Database

from penstock.model import Change
from penstock.mongo.collections import reached_time
from penstock.mongo.connection import Connection, cluster_time, connect
from penstock.mongo.error_table import Fault, MajorityBehind, fault_of, unavailable
from penstock.mongo.lookup import with_states
from penstock.mongo.retrying import ask
from penstock.mongo.stream import MongoStream
from penstock.mongo.watch import Watch
from penstock.observe.metrics import Metrics
from penstock.runtime.intervals import Intervals
from penstock.settings import SourceSettings
from testkit.source_twins import RealSide, changes_of, whole
from testkit.workspace import until

SOON = Intervals(stream_wait_s=0.05, majority_s=0.2)

BEHIND_S = 1.0
"""How long the majority stands still: longer than a question waits in silence."""


@pytest.fixture
def connection(source_uri: str) -> Iterator[Connection]:
    with connect(SourceSettings(uri=source_uri)) as opened:
        yield opened


@pytest.fixture
def orders(database: Database) -> Collection:
    """Two documents, and a client that waits for no majority."""
    database["orders"].insert_many([{"_id": 1, "n": "old"}, {"_id": 2, "n": "old"}])
    return database["orders"].with_options(write_concern=WriteConcern(1))


@pytest.fixture
def behind(source_switch: Callable[..., None]) -> Iterator[Callable[[], None]]:
    """Let the majority stand still, for a while."""
    timers: list[threading.Timer] = []

    def hold() -> None:
        source_switch(holdMajority=True)
        timers.append(threading.Timer(BEHIND_S, source_switch, kwargs={"holdMajority": False}))
        timers[-1].start()

    yield hold
    for each in timers:
        each.join()


def test_a_state_is_not_older_than_the_change_it_was_asked_for(
    connection: Connection, orders: Collection, behind: Callable[[], None]
) -> None:
    side = RealSide(connection, orders.database)
    behind()
    orders.update_one({"_id": 1}, {"$set": {"n": "new"}})
    orders.delete_one({"_id": 2})
    seen = side.time()
    asked = [Change(side.name("orders"), "unresolved", seen, key) for key in (1, 2)]
    found: list[Any] = ask(connection, threading.Event(), with_states, asked)
    assert [(each.kind, each.document and each.document["n"]) for each in found] == [
        ("upsert", "new"),
        ("delete", None),
    ]
    assert all(each.version >= seen for each in found)


def test_a_load_holds_what_was_written_before_it_began(
    connection: Connection, orders: Collection, behind: Callable[[], None]
) -> None:
    """The stream's position is behind these writes, so it does not bring them; `a` is of a type that was not there."""
    side = RealSide(connection, orders.database)
    behind()
    orders.update_one({"_id": 1}, {"$set": {"n": "new"}})
    orders.insert_one({"_id": "a", "n": "new"})
    changes = changes_of(side.load("orders").batches(None, whole))
    assert {each.id: each.body["n"] for each in changes} == {1: "new", 2: "old", "a": "new"}


def test_what_is_beyond_the_log_of_the_source_is_not_waited_for(connection: Connection, database: Database) -> None:
    name = RealSide(connection, database).name("orders")
    ahead = cluster_time(connection.client) + (1000 << 32)
    assert reached_time(connection.client, name, ahead) < ahead


def test_the_lag_grows_while_the_majority_takes_no_writes(
    connection: Connection, source_client: MongoClient, database: Database, source_switch: Callable[..., None]
) -> None:
    """Where only the primary is left, the stream brings nothing: that is not being in step."""
    watch = Watch(database.name, ("orders",))
    stream = MongoStream(connection, watch, name="test", metrics=Metrics(), stop=threading.Event(), intervals=SOON)
    orders = source_client.get_database(database.name, write_concern=WriteConcern(w=1)).orders
    orders.insert_one({"_id": 1})
    with closing(stream.batches(None, lambda _, documents: [b"{}"] * len(documents))) as batches:
        orders.insert_one({"_id": 2})
        until(lambda: next(batches).position.source_time, "the source tells its time")
        assert next(batches).position.behind_s == 0
        source_switch(holdMajority=True)

        def behind_s() -> int:
            orders.update_one({"_id": 2}, {"$inc": {"n": 1}})
            return next(batches).position.behind_s

        until(lambda: behind_s() >= 3, "the lag grows")
        source_switch(holdMajority=False)
        until(lambda: next(batches).position.behind_s == 0, "it is in step again")


def test_a_majority_that_stays_behind_is_asked_again(
    connection: Connection, orders: Collection, source_switch: Callable[..., None]
) -> None:
    source_switch(holdMajority=True)
    orders.insert_one({"_id": 3})
    side = RealSide(connection, orders.database)
    with pytest.raises(MajorityBehind) as raised:
        reached_time(connection.client, side.name("orders"), side.time())
    assert fault_of(raised.value) is Fault.TRANSIENT
    assert "majority of the source's members" in str(unavailable(raised.value, "a read"))
