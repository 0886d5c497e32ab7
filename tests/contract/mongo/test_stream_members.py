"""Streams from a secondary that can be made to lag; loads, and what reads a state with its time, from the primary."""

import threading
from contextlib import closing

import pytest
from bson import Int64
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from structlog.testing import capture_logs

from penstock.model import Namespace
from penstock.mongo.collections import read_documents
from penstock.mongo.connection import cluster_time, connect
from penstock.mongo.cursor import ChangeCursor
from penstock.mongo.load import MongoLoad
from penstock.mongo.members import a_secondary
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
IDLE_BATCHES = 60
"""So many answers without what a test waits for, and it will not come."""


@pytest.fixture(scope="module", params=["mongodb-5.0", "documentdb-5.0"])
def server(request, tmp_path_factory):
    """A replica set of two members."""
    settings = LocalSourceSettings(mode=request.param, secondary=True)
    with local_source(tmp_path_factory.mktemp("source"), settings) as source:
        yield source


@pytest.fixture
def client(server):
    with MongoClient(server.uri) as client:
        switch(client, holdSecondary=False)
        client.drop_database("shop")
        if server.uri.endswith("retryWrites=false"):
            client.admin.command({"modifyChangeStreams": 1, "database": "", "collection": "", "enable": True})
        client.shop.orders.insert_one({"_id": "first"})
        yield client


@pytest.fixture
def connection(server, client):
    with connect(SourceSettings(uri=server.uri, stream_from="secondaryPreferred")) as connection:
        yield connection


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def stream(connection, metrics):
    (watch,) = watches([ORDERS], "database")
    return MongoStream(
        connection, watch, name="test", metrics=metrics, stop=threading.Event(), intervals=Intervals(stream_wait_s=0.05)
    )


def switch(client, **what):
    client.admin.command({"penstockSource": 1, **what})


def until_changes(batches, count):
    """Read so many changes; answer their keys and the last position."""
    seen = []
    for _ in range(IDLE_BATCHES):
        batch = next(batches)
        seen += [change.id for change in batch.changes]
        if len(seen) >= count:
            return seen, batch.position
    raise AssertionError(f"not enough came: {seen}")


def resumes(metrics):
    return metrics.value("penstock_source_resumes_total", pipeline="test")


def test_a_stream_begins_on_the_primary_and_goes_on_on_a_secondary(client, stream, metrics):
    switch(client, holdSecondary=True)
    client.shop.orders.insert_one({"_id": "before"})
    written = cluster_time(client)
    start = stream.position_now()
    assert start.time >= written
    client.shop.orders.insert_one({"_id": "after"})
    with closing(stream.batches(start, whole)) as batches:
        assert [next(batches).changes for _ in range(5)] == [[]] * 5
        switch(client, holdSecondary=False)
        assert until_changes(batches, 1)[0] == ["after"]
        client.shop.orders.insert_many([{"_id": number} for number in range(50)])
        assert until_changes(batches, 50)[0] == list(range(50))
    assert resumes(metrics) == 0  # each command of the cursor went to the member that has it


def test_a_cursor_is_known_and_freed_where_it_is(connection):
    cursor = ChangeCursor(
        connection.client, "shop", None, batch_size=1, wait_ms=50, member=a_secondary(connection.client)
    )
    cursor.open([{"$changeStream": {}}])
    cursor.next()
    (secondary,), opened = connection.client.secondaries, cursor.id
    ask = {"getMore": Int64(opened), "collection": "$cmd.aggregate", "maxTimeMS": 1}
    with pytest.raises(OperationFailure, match="not found"):
        connection.client.shop.command(ask)
    cursor.close()
    with MongoClient(*secondary, directConnection=True) as direct, pytest.raises(OperationFailure, match="not found"):
        direct.shop.command(ask)


def test_a_load_sees_what_the_secondary_does_not(client, connection, metrics):
    switch(client, holdSecondary=True)
    client.shop.orders.insert_one({"_id": "second"})
    written = cluster_time(client)
    load = MongoLoad(connection, ORDERS, name="test", metrics=metrics, stop=threading.Event())
    loaded = {change.id: change.version for batch in load.batches(None, whole) for change in batch.changes}
    assert set(loaded) == {"first", "second"}
    version, documents = read_documents(connection.client, ORDERS, ["second"])
    assert documents == [{"_id": "second"}]
    assert min(version, *loaded.values()) >= written
    switch(client, holdSecondary=False)


def test_the_lag_is_that_behind_the_primary_where_the_secondary_tells_it(client, stream, server):
    start = stream.position_now()
    client.shop.orders.insert_one({"_id": "seen"})
    with closing(stream.batches(start, whole)) as batches:
        until_changes(batches, 1)
        switch(client, holdSecondary=True)
        switch(client, advanceClock=1000)
        client.shop.orders.insert_one({"_id": "not seen"})
        behind = next(batches).position
        switch(client, holdSecondary=False)
        caught_up = until_changes(batches, 1)[1]
    assert behind.time < caught_up.time
    if "retryWrites" in server.uri:  # a DocumentDB: nobody knows, so an empty answer is no end of what there is
        assert behind.source_time == caught_up.source_time == 0
    else:
        assert behind.behind_s >= 999
        assert caught_up.behind_s < 20


def test_what_a_secondary_refuses_is_asked_of_the_primary(client, stream, metrics):
    """Its log may be shorter than the primary's, or the engine may stream from the primary alone."""
    start = stream.position_now()
    with capture_logs() as logged, closing(stream.batches(start, whole)) as batches:
        next(batches)
        fault = {"failCommands": ["getMore"], "errorCode": 286}
        client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": fault})
        client.shop.orders.insert_one({"_id": "since"})
        assert until_changes(batches, 1)[0] == ["since"]
        switch(client, holdSecondary=True)
        client.shop.orders.insert_one({"_id": "at the primary"})
        assert until_changes(batches, 1)[0] == ["at the primary"]
    assert [each["event"] for each in logged if "secondary" in each["event"]] == [
        "a secondary refuses the stream; reading from the primary"
    ]
    assert resumes(metrics) == 1


@pytest.mark.parametrize("fault", ["killCursors", "closeConnections"])
def test_a_stream_goes_on_after_a_fault_of_the_secondary(client, stream, metrics, fault):
    start = stream.position_now()
    with closing(stream.batches(start, whole)) as batches:
        next(batches)
        switch(client, **{fault: True})
        client.shop.orders.insert_one({"_id": "since"})
        assert until_changes(batches, 1)[0] == ["since"]
    assert resumes(metrics) >= 1


def findings(uri, **source):
    settings = Settings(
        source=SourceSettings(uri=uri, **source), collections=(CollectionSettings(namespace="shop.orders"),)
    )
    with closing(Inspection(settings)) as seen:
        return {finding.subject: finding for finding in source_findings(settings, seen)}


def test_check_names_the_secondaries(client, server, connection):
    found = findings(server.uri, stream_from="secondaryPreferred")["stream_from"]
    (secondary,) = connection.client.secondaries
    assert (found.verdict, found.detail) == ("ok", "the streams are read from {}:{}".format(*secondary))
    assert "stream_from" not in findings(server.uri)


def test_without_a_secondary_the_primary_is_read(source_uri, database):
    settings = SourceSettings(uri=source_uri, stream_from="secondaryPreferred")
    (watch,) = watches([Namespace(database.name, "orders")], "database")
    with connect(settings) as connection:
        stream = MongoStream(
            connection,
            watch,
            name="test",
            metrics=Metrics(),
            stop=threading.Event(),
            intervals=Intervals(stream_wait_s=0.05),
        )
        start = stream.position_now()
        database.orders.insert_one({"_id": 1})
        with closing(stream.batches(start, whole)) as batches:
            assert until_changes(batches, 1)[0] == [1]
    if len(connection.client.nodes) == 1:
        found = findings(source_uri, stream_from="secondaryPreferred")["stream_from"]
        assert (found.verdict, "no secondary answers" in found.detail) == ("warning", True)
