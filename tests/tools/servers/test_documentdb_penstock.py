"""penstock on a DocumentDB: its streams and loads, what is lost, what is not enabled, and what `check` says."""

import threading
from contextlib import closing

import pytest
from pymongo import MongoClient

from penstock.errors import PositionLost, SourceUnavailable
from penstock.model import Namespace, Position
from penstock.mongo.connection import connect, server
from penstock.mongo.identity import identity_of
from penstock.mongo.load import MongoLoad
from penstock.mongo.stream import MongoStream
from penstock.mongo.watch import watches
from penstock.observe.metrics import Metrics
from penstock.operations.check.source import source_findings
from penstock.operations.inspect.views import Inspection
from penstock.runtime.intervals import Intervals
from penstock.settings import CollectionSettings, Settings, SourceSettings
from penstock_tools.servers.source import LocalSourceSettings, local_source
from testkit.source_twins import whole

ORDERS = Namespace("shop", "orders")
LOG_SIZE = 100
IDLE_BATCHES = 600
"""So many answers without what a test waits for, and it will not come."""


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    settings = LocalSourceSettings(mode="documentdb-5.0", log_size=LOG_SIZE)
    with local_source(tmp_path_factory.mktemp("documentdb"), settings) as source:
        yield source


@pytest.fixture
def client(local):
    """A client of a server with ten orders, and without enabled streams."""
    with MongoClient(local.uri) as client:
        client.drop_database("shop")
        for rule in client.admin.aggregate([{"$listChangeStreams": 1}]):
            client.admin.command({"modifyChangeStreams": 1, **rule, "enable": False})
        client.shop.orders.insert_many([{"_id": number, "n": number} for number in range(10)])
        yield client


@pytest.fixture
def connection(local, client):
    with connect(SourceSettings(uri=local.uri)) as connection:
        yield connection


@pytest.fixture
def stream(connection):
    def stream(cursor_per="database"):
        (watch,) = watches([ORDERS], cursor_per)
        return MongoStream(
            connection,
            watch,
            name="test",
            metrics=Metrics(),
            stop=threading.Event(),
            batch_size=7,
            intervals=Intervals(stream_wait_s=0.1),
        )

    return stream


def enable(client, collection=""):
    client.admin.command({"modifyChangeStreams": 1, "database": "shop", "collection": collection, "enable": True})


def read(source, after, count):
    """Read so many changes; answer them, each with the position after its batch."""
    read, idle = [], 0
    with closing(source.batches(after, whole)) as batches:
        for batch in batches:
            read += [(change, batch.position) for change in batch.changes]
            if len(read) >= count:
                return read
            idle = 0 if batch.changes else idle + 1
            assert idle < IDLE_BATCHES, f"not enough came: {read}"
    raise AssertionError(f"the source ended: {read}")


def kinds(changes):
    return [(change.kind, change.id) for change, _ in changes]


def test_it_is_taken_for_a_documentdb(connection):
    found = server(connection.client)
    assert (found.product, found.version, found.replica_set) == ("DocumentDB", "5.0.0", "rs0")
    assert found.time > 0
    seen = identity_of(connection.client, "shop", ["orders"], connection.address)
    assert (seen.replica_set, seen.id, seen.collections, seen.hosts) == ("rs0", "", frozenset(), seen.addresses)


@pytest.mark.parametrize(("cursor_per", "collection"), [("database", ""), ("collection", "orders")])
def test_a_stream_that_is_not_enabled_ends_with_the_command_that_enables_it(client, stream, cursor_per, collection):
    with pytest.raises(SourceUnavailable, match="modifyChangeStreams has not been run") as refused:
        stream(cursor_per).position_now()
    command = f'{{modifyChangeStreams: 1, database: "shop", collection: "{collection}", enable: true}}'
    assert f"db.adminCommand({command})" in refused.value.todo
    enable(client, collection)
    assert stream(cursor_per).position_now().token


@pytest.mark.parametrize(("cursor_per", "collection"), [("database", ""), ("collection", "orders")])
def test_a_load_and_the_changes_since_its_start_are_all_there_is(client, connection, stream, cursor_per, collection):
    enable(client, collection)
    start = stream(cursor_per).position_now()
    client.shop.orders.insert_one({"_id": "new", "n": 1})
    client.shop.orders.update_one({"_id": 3}, {"$set": {"n": 33}})
    client.shop.orders.update_one({"_id": 4}, {"$set": {"n": 44}})
    client.shop.orders.delete_one({"_id": 4})
    load = MongoLoad(connection, ORDERS, name="test", metrics=Metrics(), stop=threading.Event())
    loaded = {change.id: change for batch in load.batches(None, whole) for change in batch.changes}
    assert {key: change.body["n"] for key, change in loaded.items()} == {
        **{number: number for number in range(10) if number not in (3, 4)},
        3: 33,
        "new": 1,
    }
    changes = read(stream(cursor_per), start, 4)
    assert kinds(changes) == [("upsert", "new"), ("upsert", 3), ("delete", 4), ("delete", 4)]
    assert all(change.version <= loaded[0].version for change, _ in changes)


def test_a_stream_goes_on_from_each_of_its_positions_and_over_a_drop(client, stream):
    enable(client)
    start = stream().position_now()
    client.shop.orders.delete_many({})
    client.shop.orders.drop()
    client.shop.orders.insert_many([{"_id": f"later {number}"} for number in range(10)])
    changes = read(stream("collection"), start, 21)
    expected = [*[("delete", number) for number in range(10)], ("drop", None)]
    expected += [("upsert", f"later {number}") for number in range(10)]
    assert kinds(changes) == expected
    positions = {position for _, position in changes}
    assert len(positions) > 2
    for position in positions - {changes[-1][1]}:
        rest = [each for each, (_, reached) in zip(expected, changes, strict=True) if reached.time > position.time]
        assert kinds(read(stream("collection"), position, len(rest))) == rest


def test_a_position_that_aged_out_is_lost(client, stream):
    enable(client)
    position = stream().position_now()
    for each in range(2 * LOG_SIZE):
        client.shop.orders.update_one({"_id": 1}, {"$set": {"n": -each - 1}})
    with pytest.raises(PositionLost, match=r"shop\.orders .*CappedPositionLost"):
        read(stream(), position, 1)


def test_a_stream_that_is_overtaken_while_it_is_open_is_lost(client, stream):
    enable(client)
    with closing(stream().batches(None, whole)) as batches:
        next(batches)
        client.shop.orders.insert_many([{"_id": 1000 + number} for number in range(2 * LOG_SIZE)])
        with pytest.raises(PositionLost):
            next(batches)


def test_a_token_that_is_none_of_the_servers_is_replaced_by_its_time(client, stream):
    enable(client)
    now = stream().position_now()
    client.shop.orders.insert_one({"_id": "after"})
    foreign = Position('{"_data": "8263EEB6E7000000012B022C0100296E04"}', now.time)
    assert kinds(read(stream(), foreign, 1)) == [("upsert", "after")]


def findings(uri, cursor_per="database"):
    source = SourceSettings(uri=uri, cursor_per=cursor_per)
    settings = Settings(source=source, collections=(CollectionSettings(namespace="shop.orders"),))
    with closing(Inspection(settings)) as seen:
        return {finding.subject: finding for finding in source_findings(settings, seen)}


def of_the_stream(found):
    (finding,) = [finding for subject, finding in found.items() if subject.endswith("change stream")]
    return finding


@pytest.mark.parametrize("cursor_per", ["database", "collection"])
def test_check_tells_whether_the_streams_are_enabled(client, local, cursor_per):
    before = findings(local.uri, cursor_per)["shop.orders"]
    assert before.verdict == "failure"
    assert "modifyChangeStreams" in before.todo
    enable(client, "orders" if cursor_per == "collection" else "")
    found = findings(local.uri, cursor_per)
    assert "DocumentDB 5.0.0" in found["connection"].detail
    assert found["shop.orders"].verdict == "ok"
    assert of_the_stream(found).verdict == "ok"
    assert "retention_s" in found["change log"].todo


def test_check_sees_through_a_stream_that_opens_and_stays_silent(tmp_path):
    settings = LocalSourceSettings(mode="documentdb-5.0", unenabled_streams="silent")
    with local_source(tmp_path, settings) as source, MongoClient(source.uri) as client:
        client.shop.orders.insert_one({"_id": 1})
        silent = findings(source.uri)["shop.orders"]
        assert (silent.verdict, silent.detail) == ("failure", "change streams are not enabled for it")
        assert "modifyChangeStreams" in silent.todo
        enable(client)
        assert of_the_stream(findings(source.uri)).verdict == "ok"
