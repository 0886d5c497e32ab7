"""The local source as a DocumentDB 5.0: which streams are enabled, what events look like."""

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from penstock_tools.servers.source import LocalSourceSettings, local_source

NOT_ENABLED = "modifyChangeStreams has not been run for this collection/database/cluster"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    with local_source(tmp_path_factory.mktemp("documentdb"), LocalSourceSettings(mode="documentdb-5.0")) as source:
        yield source


@pytest.fixture
def client(client):
    """A client of a server without databases and without enabled streams."""
    for rule in enabled(client):
        enable(client, *rule, on=False)
    return client


@pytest.fixture
def things(client):
    """A collection whose database is enabled."""
    enable(client, "shop")
    return client.shop.things


def enable(client, database="", collection="", *, on=True):
    command = {"modifyChangeStreams": 1, "database": database, "collection": collection, "enable": on}
    assert client.admin.command(command)["ok"] == 1


def enabled(client):
    return [(rule["database"], rule["collection"]) for rule in client.admin.aggregate([{"$listChangeStreams": 1}])]


def opens(watched):
    """Whether a stream opens; any other reason than that it is not enabled is raised."""
    try:
        watched.watch().close()
    except OperationFailure as refused:
        if (refused.code, refused.details["errmsg"]) != (136, NOT_ENABLED):
            raise
        return False
    return True


def seen(stream, count):
    return [stream.next() for _ in range(count)]


def shapes(events):
    return [(event["operationType"], event["ns"]["coll"]) for event in events]


@pytest.mark.parametrize(
    ("rule", "opened"),
    [
        ((), ["cluster", "shop", "shop.things", "shop.others", "depot.things"]),
        (("shop",), ["shop", "shop.things", "shop.others"]),
        (("shop", "things"), ["shop.things"]),
        (None, []),
    ],
)
def test_a_stream_opens_when_its_collection_its_database_or_the_cluster_is_enabled(client, rule, opened):
    if rule is not None:
        enable(client, *rule)
    streams = {
        "cluster": client,
        "shop": client.shop,
        "shop.things": client.shop.things,
        "shop.others": client.shop.others,
        "depot.things": client.depot.things,
    }
    assert [name for name, watched in streams.items() if opens(watched)] == opened


def test_the_rules_are_listed_and_taken_back_one_by_one(client):
    rules = [("", ""), ("shop", ""), ("shop", "things")]
    for rule in reversed(rules):
        enable(client, *rule)
        enable(client, *rule)
    assert enabled(client) == rules
    command = {"aggregate": 1, "pipeline": [{"$listChangeStreams": 1}], "cursor": {}}
    listed = client.admin.command(command)["cursor"]["firstBatch"]
    assert listed == [{"database": database, "collection": collection} for database, collection in rules]
    only = client.admin.aggregate([{"$listChangeStreams": 1}, {"$match": {"collection": "things"}}])
    assert list(only) == [{"database": "shop", "collection": "things"}]
    enable(client, on=False)
    enable(client, "shop", on=False)
    assert enabled(client) == [("shop", "things")]
    assert (opens(client.shop), opens(client.shop.things)) == (False, True)


@pytest.mark.parametrize(
    ("where", "wrong"),
    [
        ("shop", {}),
        ("admin", {"database": ""}),
        ("admin", {"enable": 1}),
        ("admin", {"collection": None}),
    ],
)
def test_a_command_that_enables_nothing_is_refused(client, where, wrong):
    command = {"modifyChangeStreams": 1, "database": "shop", "collection": "things", "enable": True, **wrong}
    with pytest.raises(OperationFailure):
        client[where].command(command)
    assert enabled(client) == []


def test_dropping_a_collection_does_not_disable_its_database(client, things):
    with things.watch() as stream:
        things.insert_one({"_id": 1})
        things.drop()
        things.insert_one({"_id": 2})
        assert shapes(seen(stream, 3)) == [("insert", "things"), ("drop", "things"), ("insert", "things")]
        assert stream.alive
    assert opens(client.shop.things)


def test_only_events_of_enabled_collections_since_their_enabling_are_seen(client):
    start = client.admin.command("ping")["operationTime"]
    client.shop.things.insert_one({"_id": "before"})
    enable(client, "shop", "things")
    client.shop.things.insert_one({"_id": "of the collection"})
    client.shop.others.insert_one({"_id": "of none"})
    enable(client, "depot")
    client.depot.others.insert_one({"_id": "of the database"})
    enable(client)
    client.yard.others.insert_one({"_id": "of the cluster"})
    with client.watch(start_at_operation_time=start) as stream:
        assert [event["documentKey"]["_id"] for event in seen(stream, 3)] == [
            "of the collection",
            "of the database",
            "of the cluster",
        ]


def test_a_stream_that_was_not_enabled_may_open_and_stay_silent(tmp_path):
    settings = LocalSourceSettings(mode="documentdb-5.0", unenabled_streams="silent")
    with (
        local_source(tmp_path, settings) as source,
        MongoClient(source.uri) as client,
        client.shop.watch(max_await_time_ms=100) as silent,
    ):
        enable(client, "shop")
        with client.shop.watch() as stream:
            client.shop.things.insert_one({"_id": 1})
            assert shapes(seen(stream, 1)) == [("insert", "things")]
        assert silent.try_next() is None
        assert silent.alive


def test_events_have_their_keys_in_the_servers_order(things):
    with things.watch(full_document="updateLookup") as stream:
        things.insert_one({"_id": 1, "a": 1})
        things.update_one({"_id": 1}, {"$set": {"a": 2}})
        things.replace_one({"_id": 1}, {"a": 3})
        things.delete_one({"_id": 1})
        things.drop()
        events = seen(stream, 5)
    common = ["_id", "operationType", "clusterTime", "ns"]
    assert [(event["operationType"], list(event)) for event in events] == [
        ("insert", [*common, "documentKey", "fullDocument"]),
        ("update", [*common, "documentKey", "updateDescription"]),  # the document is gone by now
        ("replace", [*common, "documentKey", "fullDocument"]),
        ("delete", [*common, "documentKey"]),
        ("drop", common),
    ]


def test_a_looked_up_document_comes_before_what_changed(things):
    things.insert_one({"_id": 1, "a": 1, "b": [1, 2], "c": "same"})
    with things.watch(full_document="updateLookup") as stream:
        things.update_one({"_id": 1}, {"$set": {"a": 1, "c": "same"}})
        things.update_one({"_id": 1}, {"$set": {"a": 2, "c": "same"}, "$unset": {"b": ""}})
        event = stream.next()
    assert list(event)[-2:] == ["fullDocument", "updateDescription"]
    assert event["fullDocument"] == {"_id": 1, "a": 2, "c": "same"}
    assert event["updateDescription"] == {"updatedFields": {"a": 2}, "removedFields": ["b"]}


def test_of_whole_collections_only_drops_are_told(client, things):
    with client.shop.watch() as stream:
        client.shop.create_collection("made")
        things.create_index("a")
        things.insert_one({"_id": 1})
        things.rename("renamed")
        client.drop_database("shop")
        things.insert_one({"_id": 2})
        assert shapes(seen(stream, 5)) == [
            ("insert", "things"),
            ("drop", "things"),
            ("drop", "made"),
            ("drop", "renamed"),
            ("insert", "things"),
        ]
