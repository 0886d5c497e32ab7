"""The local source as a DocumentDB 8.0: where it differs from 5.0, what `check` says of it, and that it is followed."""

import threading
from contextlib import closing

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from penstock.model import Namespace
from penstock.mongo.connection import connect, server
from penstock.mongo.stream import MongoStream
from penstock.mongo.watch import watches
from penstock.observe.metrics import Metrics
from penstock.operations.check.source import source_findings
from penstock.operations.inspect.views import Inspection
from penstock.runtime.intervals import Intervals
from penstock.settings import CollectionSettings, Settings, SourceSettings
from penstock_tools.servers.source import LocalSourceSettings, local_source
from testkit.source_twins import whole


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    with local_source(tmp_path_factory.mktemp("documentdb"), LocalSourceSettings(mode="documentdb-8.0")) as source:
        yield source


@pytest.fixture
def client(source):
    with MongoClient(source.uri) as client:
        client.drop_database("shop")
        client.admin.command({"modifyChangeStreams": 1, "database": "shop", "collection": "", "enable": True})
        client.shop.orders.insert_one({"_id": 1, "n": 1})
        yield client


def refusal(run, *arguments, **named):
    with pytest.raises(OperationFailure) as failed:
        run(*arguments, **named)
    return failed.value


def test_it_says_what_it_is(client):
    hello = client.admin.command("hello")
    assert hello["maxWireVersion"] == 25
    assert client.server_info()["version"] == "8.0.0"
    assert hello.keys().isdisjoint({"$clusterTime", "electionId", "lastWrite"})


def test_large_events_are_not_split_although_its_version_lets_one_expect_it(client):
    refused = refusal(client.shop.orders.watch, [{"$changeStreamSplitLargeEvent": {}}])
    assert "$changeStreamSplitLargeEvent" in refused.details["errmsg"]


@pytest.mark.parametrize("stage", [{"$set": {"a": 1}}, {"$unset": "a"}, {"$replaceWith": "$fullDocument"}])
def test_stages_that_are_new_elsewhere_are_refused_in_a_stream(client, stage):
    assert list(client.shop.orders.aggregate([{"$set": {"a": 2}}])) == [{"_id": 1, "n": 1, "a": 2}]
    refusal(client.shop.orders.watch, [stage])


def test_there_are_views_which_no_stream_follows_and_still_no_capped_collections(client, source):
    client.shop.create_collection("seen", viewOn="orders", pipeline=[{"$match": {"n": 1}}])
    assert list(client.shop.seen.find()) == [{"_id": 1, "n": 1}]
    assert findings(source.uri, "shop.seen")["shop.seen"].detail == "is a view and has no change stream"
    assert refusal(client.shop.create_collection, "ring", capped=True, size=4096).code == 303


def test_writes_are_not_retried_before_8_0_2(client, source):
    assert "retryWrites=false" in source.uri
    with MongoClient(source.uri, retryWrites=True) as retrying:
        assert refusal(retrying.shop.orders.insert_one, {"_id": 2}).code == 301


def findings(uri, namespace="shop.orders"):
    settings = Settings(source=SourceSettings(uri=uri), collections=(CollectionSettings(namespace=namespace),))
    with closing(Inspection(settings)) as seen:
        return {finding.subject: finding for finding in source_findings(settings, seen)}


def test_check_says_which_way_follows_it(client, source):
    found = findings(source.uri)
    assert "DocumentDB 8.0.0" in found["connection"].detail
    assert found["engine"].verdict == "ok"
    assert found["engine"].detail == (
        "DocumentDB 8: a worker (`penstock run`) follows it, Lambda's event source mapping refuses it"
    )
    assert found["shop.orders: change stream"].verdict == "ok"


def test_a_stream_is_followed_and_resumed(client, source):
    with connect(SourceSettings(uri=source.uri)) as connection:
        assert server(connection.client).product == "DocumentDB"
        (watch,) = watches([Namespace("shop", "orders")], "database")
        stream = MongoStream(
            connection,
            watch,
            name="test",
            metrics=Metrics(),
            stop=threading.Event(),
            intervals=Intervals(stream_wait_s=0.1),
        )
        position = stream.position_now()
        client.shop.orders.update_one({"_id": 1}, {"$set": {"n": 2}})
        client.shop.orders.delete_one({"_id": 1})
        assert following(stream, position, 2) == [("delete", 1), ("delete", 1)]
        client.shop.orders.drop()
        assert following(stream, position, 3)[2] == ("drop", None)


def following(stream, position, count):
    seen = []
    with closing(stream.batches(position, whole)) as batches:
        for _ in range(600):
            seen += [(change.kind, change.id) for change in next(batches).changes]
            if len(seen) >= count:
                break
    return seen
