"""The local source as a MongoDB 5.0: login, TLS, positions, order of ids, transactions, faults on demand."""

import datetime
import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
from bson import SON, Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from pymongo import MongoClient, ReadPreference
from pymongo.errors import AutoReconnect, ConnectionFailure, OperationFailure

from penstock_tools.servers.source import LocalSourceSettings, local_source

# In the order of the server: MinKey, null, numbers with NaN first, text, documents, binary, and so on.
IDS_IN_ORDER = [
    MinKey(), None,
    float("nan"), Int64(-(2**63)), -1.5, 0, Decimal128("0.1"), 1, Int64(2**53), 2.0**53 + 2, Int64(2**63 - 1),
    float("inf"),
    "", "a", "ab", "b", "\u00e9", "\uffff", "\U0001f600",
    {}, {"a": 1}, {"b": 1}, {"a": "x"},
    b"", b"zz", Binary(b"aa", 5),
    ObjectId("000000000000000000000001"), ObjectId("ffffffffffffffffffffffff"),
    False, True,
    datetime.datetime(1900, 1, 1, tzinfo=datetime.UTC), datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC),
    Timestamp(1, 1), Timestamp(2**32 - 1, 1),
    Code("f"), MaxKey(),
]  # fmt: skip
BRACKET_SIZES = [1, 1, 10, 7, 4, 3, 2, 2, 2, 2, 1, 1]
NAN_AT = 2


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    with local_source(tmp_path_factory.mktemp("source"), LocalSourceSettings(log_size=1000)) as source:
        yield source


def _fault(client, **what):
    client.admin.command({"penstockSource": 1, **what})


def _key(value):
    """Values that Python holds equal, but the server tells apart by type, keep their type in the comparison."""
    return type(value).__name__, str(value)


def test_a_login_is_asked_for_and_both_mechanisms_work(tmp_path):
    settings = LocalSourceSettings(user="ann=,", password="p\u00e4ss/word")
    with local_source(tmp_path, settings) as source:
        address = f"127.0.0.1:{source.child.port}"
        with MongoClient(address, directConnection=True) as stranger, pytest.raises(OperationFailure) as refused:
            stranger.test.things.find_one()
        assert refused.value.code == 13
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-1"):
            with MongoClient(source.uri, authMechanism=mechanism) as client:
                client.test.things.insert_one({"_id": mechanism})
        with MongoClient(source.uri) as client:
            assert client.test.things.count_documents({}) == 2
        with (
            MongoClient(address, directConnection=True, username="ann=,", password="wrong") as client,
            pytest.raises(OperationFailure) as refused,
        ):
            client.test.things.find_one()
        assert refused.value.code == 18


def test_ids_of_all_types_sort_in_the_servers_order(things):
    things.insert_many([{"_id": value} for value in reversed(IDS_IN_ORDER)])
    ascending = [document["_id"] for document in things.find(sort=[("_id", 1)])]
    descending = [document["_id"] for document in things.find(sort=[("_id", -1)])]
    assert list(map(_key, ascending)) == list(map(_key, IDS_IN_ORDER))
    assert list(map(_key, descending)) == list(map(_key, reversed(IDS_IN_ORDER)))


@pytest.mark.parametrize("value", IDS_IN_ORDER, ids=lambda value: f"{type(value).__name__} {value!r}"[:40])
def test_ranges_of_ids_stay_within_the_bracket_and_find_what_lies_between(things, value):
    things.insert_many([{"_id": each} for each in IDS_IN_ORDER])
    at = list(map(_key, IDS_IN_ORDER)).index(_key(value))
    for operator, expected in _expected(at).items():
        found = [document["_id"] for document in things.find({"_id": {operator: value}}).sort("_id", 1)]
        assert list(map(_key, found)) == list(map(_key, expected)), operator


def _expected(at):
    """What the comparisons with the value at this place should find. NaN is in the order, but less than nothing."""
    ends = list(itertools.accumulate(BRACKET_SIZES))
    above = next(end for end in ends if at < end)
    below = above - BRACKET_SIZES[ends.index(above)]
    if at == 0:
        above = len(IDS_IN_ORDER)
    elif above == len(IDS_IN_ORDER):
        below = 0
    elif at == NAN_AT:
        above = at
    elif below == NAN_AT:
        below += 1
    return {"$gt": IDS_IN_ORDER[at + 1 : above], "$lt": IDS_IN_ORDER[below:at], "$eq": IDS_IN_ORDER[at : at + 1]}


def test_filters_by_type_and_by_binary_subtype(things):
    things.insert_many([{"_id": 1, "v": Binary(b"x", 5)}, {"_id": 2, "v": Binary(b"x")}, {"_id": 3, "v": Regex("a")}])
    things.insert_many([{"_id": 4, "v": Int64(1)}, {"_id": 5, "v": 1.0}, {"_id": 6, "v": [1]}, {"_id": 7}])

    def ids(condition):
        return [document["_id"] for document in things.find(condition, sort=[("_id", 1)])]

    assert ids({"v": {"$type": "binData"}}) == [1, 2]
    assert ids({"v": Binary(b"x", 5)}) == [1]
    assert ids({"v": {"$type": "regex"}}) == [3]
    assert ids({"v": {"$type": "number"}}) == [4, 5, 6]
    assert ids({"v": 1}) == [4, 5, 6]
    assert ids({"v": {"$exists": False}}) == [7]
    assert ids({"v": {"$not": {"$type": "number"}}}) == [1, 2, 3, 7]


def test_a_position_that_fell_off_the_log_is_lost_as_newer_servers_say_it(client, things):
    with things.watch(max_await_time_ms=50) as left, things.watch() as stream:
        left.try_next()
        things.insert_one({"_id": 0})
        event = stream.next()
        things.insert_many([{"_id": i} for i in range(1, 1500)])
        with pytest.raises(OperationFailure) as overtaken:
            left.next()
    for options in ({"resume_after": event["_id"]}, {"start_at_operation_time": event["clusterTime"]}):
        with pytest.raises(OperationFailure) as lost, things.watch(**options):
            pass
        assert lost.value.code == 286
    assert overtaken.value.code == 286
    assert overtaken.value.has_error_label("NonResumableChangeStreamError")


def test_an_idle_position_moves_on_and_can_be_resumed_from(client, things):
    with things.watch(max_await_time_ms=50) as stream:
        first = stream.resume_token
        assert stream.try_next() is None
        assert stream.resume_token == first
        _fault(client, advanceClock=10)
        assert stream.try_next() is None
        idle = stream.resume_token
    assert idle["_data"] > first["_data"]
    _fault(client, dropLogBefore=Timestamp(int(idle["_data"][2:10], 16), 0))
    things.insert_one({"_id": "after"})
    with things.watch(resume_after=idle) as stream:
        assert stream.next()["documentKey"] == {"_id": "after"}


def test_every_reply_carries_a_time_at_or_after_all_acknowledged_writes(client, things):
    with things.watch() as stream:
        for key in range(20):
            things.insert_one({"_id": key})
            replies = [client.admin.command("ping"), client.test.command({"find": "things", "limit": 1})]
            assert all(reply["operationTime"] >= stream.next()["clusterTime"] for reply in replies[:1])


def test_the_writes_of_one_command_share_a_time_when_told_to(client, things):
    _fault(client, oneTimePerCommand=True)
    try:
        with things.watch(max_await_time_ms=200) as stream:
            things.insert_many([{"_id": i} for i in range(5)])
            events = [stream.next() for _ in range(5)]
        with things.watch(resume_after=events[2]["_id"]) as stream:
            rest = [stream.next()["documentKey"]["_id"] for _ in range(2)]
    finally:
        _fault(client, oneTimePerCommand=False)
    assert len({event["clusterTime"] for event in events}) == 1
    assert rest == [3, 4]


def test_an_open_transaction_is_seen_by_none_but_itself(client, things):
    things.insert_one({"_id": 1, "v": 0})
    with client.start_session() as session, session.start_transaction():
        things.update_one({"_id": 1}, {"$set": {"v": 1}}, session=session)
        inside = things.find_one({"_id": 1}, session=session)
        outside = client.test.things.find_one({"_id": 1})
    assert (inside["v"], outside["v"], things.find_one({"_id": 1})["v"]) == (1, 0, 1)


def test_a_write_waits_for_the_transaction_that_has_the_document(client, things):
    things.insert_one({"_id": 1, "v": 1})
    with ThreadPoolExecutor(1) as pool, client.start_session() as session, things.watch() as stream:
        with session.start_transaction():
            things.delete_one({"_id": 1}, session=session)
            waiting = pool.submit(things.update_one, {"_id": 1}, {"$inc": {"v": 1}}, upsert=True)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.3)
        assert waiting.result(timeout=60).upserted_id == 1
        assert [stream.next()["operationType"] for _ in range(2)] == ["delete", "insert"]
    assert things.find_one() == {"_id": 1, "v": 1}


def test_a_dropped_collection_can_be_watched_on_after_its_invalidate(things):
    things.insert_one({"_id": 1})
    with things.watch() as stream:
        things.drop()
        assert [stream.next()["operationType"] for _ in range(2)] == ["drop", "invalidate"]
        token = stream.resume_token
    things.insert_one({"_id": 2})
    with pytest.raises(OperationFailure) as refused, things.watch(resume_after=token):
        pass
    assert refused.value.code == 260
    with things.watch(start_after=token) as stream:
        assert stream.next()["documentKey"] == {"_id": 2}


def test_an_update_by_a_pipeline_shows_what_changed(things):
    things.insert_one({"_id": 1, "a": 1, "b": 2})
    with things.watch() as stream:
        things.update_one({"_id": 1}, [{"$set": {"c": {"$add": ["$a", "$b"]}}}, {"$unset": "b"}])
        description = stream.next()["updateDescription"]
    assert description == {"updatedFields": {"c": 3}, "removedFields": ["b"], "truncatedArrays": []}


def test_commands_fail_and_connections_close_on_demand(client, things):
    things.insert_one({"_id": 1})
    data = {"failCommands": ["find"], "errorCode": 96}
    client.admin.command(SON([("configureFailPoint", "failCommand"), ("mode", {"times": 1}), ("data", data)]))
    with pytest.raises(OperationFailure) as failed:
        things.find_one()
    assert failed.value.code == 96
    assert things.find_one() == {"_id": 1}
    data = {"failCommands": ["aggregate"], "closeConnection": True}
    client.admin.command(SON([("configureFailPoint", "failCommand"), ("mode", {"times": 2}), ("data", data)]))
    with pytest.raises((AutoReconnect, ConnectionFailure)), things.watch():
        pass
    with things.watch() as stream:
        _fault(client, killCursors=True)
        things.insert_one({"_id": 2})
        assert stream.next()["documentKey"] == {"_id": 2}


def test_a_retried_write_is_done_once(client, things):
    with client.start_session() as session:
        command = {"insert": "things", "documents": [{"_id": 1}], "txnNumber": Int64(7)}
        for _ in range(2):
            reply = client.test.command(command, session=session, read_preference=ReadPreference.PRIMARY)
            assert reply["n"] == 1
            assert "writeErrors" not in reply
