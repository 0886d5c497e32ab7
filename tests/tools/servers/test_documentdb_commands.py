"""The local source as a DocumentDB 5.0: what it says of itself, and the features that it does not have."""

import pytest
from bson import Int64
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from typer.testing import CliRunner

from penstock_tools.servers.command import app
from penstock_tools.servers.errors import LocalServerError
from penstock_tools.servers.source import LocalSourceSettings, local_source


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    with local_source(tmp_path_factory.mktemp("documentdb"), LocalSourceSettings(mode="documentdb-5.0")) as source:
        yield source


@pytest.fixture
def client(source):
    with MongoClient(source.uri, serverSelectionTimeoutMS=8000) as client:
        for name in client.list_database_names():
            client.drop_database(name)
        client.admin.command({"modifyChangeStreams": 1, "database": "shop", "collection": "", "enable": True})
        yield client


def failure(run, *arguments, **named):
    with pytest.raises(OperationFailure) as failed:
        run(*arguments, **named)
    return failed.value


def words(failed):
    return failed.code, failed.details["errmsg"]


def test_it_says_what_it_is_and_tells_no_signed_time(client, source):
    hello = client.admin.command("hello")
    assert (hello["setName"], hello["me"]) == ("rs0", f"127.0.0.1:{source.child.port}")
    assert hello["maxWireVersion"] == 13
    assert client.server_info()["version"] == "5.0.0"
    replies = [
        hello,
        client.admin.command("isMaster"),
        client.shop.command({"insert": "things", "documents": [{"_id": 1}]}),
        client.shop.command({"find": "things"}),
        failure(client.shop.command, "nosuchcommand").details,
    ]
    for reply in replies:
        assert "operationTime" in reply
        assert reply.keys().isdisjoint({"$clusterTime", "electionId", "opTime", "lastWrite"})


def test_collections_have_no_identity(client):
    client.shop.things.insert_one({"_id": 1})
    (described,) = client.shop.list_collections()
    assert described["name"] == "things"
    assert "uuid" not in described["info"]


def test_causal_consistency_is_not_supported(client):
    client.shop.things.insert_one({"_id": 1})
    with client.start_session() as session:
        client.shop.things.find_one(session=session)
        refused = failure(client.shop.things.find_one, session=session)
    assert words(refused) == (303, "Feature not supported: 'causal consistency'")
    with client.start_session(causal_consistency=False) as session:
        client.shop.things.find_one(session=session)
        assert client.shop.things.find_one(session=session) == {"_id": 1}


def test_retryable_writes_are_not_supported_and_the_address_turns_them_off(client, source):
    assert "retryWrites=false" in source.uri
    with MongoClient(source.uri, retryWrites=True) as retrying:
        refused = failure(retrying.shop.things.insert_one, {"_id": 1})
    assert words(refused) == (301, "Retryable writes are not supported")
    with client.start_session(causal_consistency=False) as session:
        raw = failure(client.shop.command, {"delete": "things", "deletes": [], "txnNumber": Int64(1)}, session=session)
    assert raw.code == 301
    assert client.shop.things.count_documents({}) == 0


def test_transactions_are_kept_together_and_rolled_back(client):
    client.shop.things.insert_one({"_id": 0})
    with client.shop.watch(max_await_time_ms=100) as stream:
        with client.start_session(causal_consistency=False) as session:
            with session.start_transaction():
                client.shop.things.insert_one({"_id": 1}, session=session)
                session.abort_transaction()
            with session.start_transaction():
                client.shop.things.insert_many([{"_id": 2}, {"_id": 3}], session=session)
        events = [stream.next(), stream.next()]
        assert stream.try_next() is None
    assert [event["documentKey"]["_id"] for event in events] == [2, 3]
    assert events[0]["clusterTime"] == events[1]["clusterTime"]
    assert events[0].keys().isdisjoint({"lsid", "txnNumber"})


@pytest.mark.parametrize("parameter", [{"featureCompatibilityVersion": 1}, {"change_stream_log_retention_duration": 1}])
def test_parameters_cannot_be_read(client, parameter):
    refused = failure(client.admin.command, {"getParameter": 1, **parameter})
    assert words(refused) == (303, "Feature not supported: getParameter")
    assert "codeName" not in refused.details


def test_there_are_neither_capped_collections_nor_views(client):
    capped = failure(client.shop.create_collection, "ring", capped=True, size=4096)
    assert words(capped) == (303, "Feature not supported: capped:true")
    view = failure(client.shop.create_collection, "seen", viewOn="things", pipeline=[])
    assert view.details["errmsg"] == "Field 'pipeline' is currently not supported"
    assert client.shop.list_collection_names() == []
    client.shop.create_collection("plain", capped=False)
    assert client.shop.list_collection_names() == ["plain"]


@pytest.mark.parametrize(
    ("database", "command"),
    [("admin", {"replSetGetConfig": 1}), ("shop", {"convertToCapped": "things", "size": 4096})],
)
def test_commands_that_it_does_not_know(client, database, command):
    assert failure(client[database].command, command).code == 59


def test_a_stream_takes_five_stages_only(client):
    stages = [
        {"$match": {"operationType": "insert"}},
        {"$addFields": {"twice": {"$multiply": ["$fullDocument.n", 2]}}},
        {"$redact": "$$KEEP"},
        {"$project": {"twice": 1}},
        {"$replaceRoot": {"newRoot": {"_id": "$_id", "result": "$twice"}}},
    ]
    with client.shop.things.watch(stages) as stream:
        client.shop.things.insert_one({"_id": 1, "n": 21})
        assert stream.next()["result"] == 42
    for stage in ({"$set": {"a": 1}}, {"$unset": "a"}, {"$replaceWith": "$fullDocument"}, {"$limit": 1}):
        failure(client.shop.things.watch, [stage])


@pytest.mark.parametrize(
    "stage",
    [
        {"$addFields": {"fullDocument": "$$REMOVE"}},
        {"$project": {"n": {"$cond": [{"$eq": ["$operationType", "insert"]}, 1, "$$REMOVE"]}}},
    ],
)
def test_a_stream_knows_no_remove(client, stage):
    refused = failure(client.shop.things.watch, [stage])
    assert words(refused) == (303, "Feature not supported: $$REMOVE")


def test_majority_reads_are_taken(client):
    reply = client.shop.command({"find": "things", "readConcern": {"level": "majority"}})
    assert reply["cursor"]["firstBatch"] == []


def test_an_unknown_answer_to_streams_that_are_not_enabled_is_refused_before_anything_starts(tmp_path):
    run = CliRunner().invoke(
        app, ["up", "--mode", "documentdb-5.0", "--unenabled-streams", "loud"], env={"COLUMNS": "200"}
    )
    assert run.exit_code == 2
    assert "must be one of refuse, silent" in run.output
    with (
        pytest.raises(LocalServerError, match=r"(?s)takes refuse or silent, not loud"),
        local_source(tmp_path, LocalSourceSettings(mode="documentdb-5.0", unenabled_streams="loud")),
    ):
        pass
