"""The local source as a DocumentDB 5.0: tokens and times, where a stream goes on, which positions are lost."""

import re

import pytest
from bson import Timestamp
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from penstock_tools.servers.source import LocalSourceSettings, local_source

LOST = "CappedPositionLost: CollectionScan died due to position in capped collection being deleted."


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    settings = LocalSourceSettings(mode="documentdb-5.0", log_size=500)
    with local_source(tmp_path_factory.mktemp("documentdb"), settings) as source:
        yield source


@pytest.fixture
def client(client):
    """A client of a server without databases, and with the streams of one that is to be."""
    enable(client, "shop")
    return client


@pytest.fixture
def things(client):
    return client.shop.things


def enable(client, database):
    client.admin.command({"modifyChangeStreams": 1, "database": database, "collection": "", "enable": True})


def failure(watched, **options):
    with pytest.raises(OperationFailure) as failed, watched.watch(**options):
        pass
    return failed.value


def seen(stream, count):
    return [stream.next() for _ in range(count)]


def test_a_token_is_the_time_twice_and_rises_with_the_log(client, things):
    with things.watch() as stream:
        things.insert_many([{"_id": number} for number in range(20)])
        with client.start_session(causal_consistency=False) as session, session.start_transaction():
            for number in range(20, 25):
                things.insert_one({"_id": number}, session=session)
        events = seen(stream, 25)
    tokens = [event["_id"]["_data"] for event in events]
    assert tokens == sorted(set(tokens))
    for event in events:
        time = event["clusterTime"]
        assert list(event["_id"]) == ["_data"]
        assert re.fullmatch(rf"01{time.time:08x}{time.inc:08x}01{time.inc:08x}[0-9a-f]{{8}}", event["_id"]["_data"])
    assert len({event["clusterTime"] for event in events[20:]}) == 1
    for at, event in enumerate(events[:-1]):
        with things.watch(resume_after=event["_id"]) as stream:
            assert stream.next()["_id"] == events[at + 1]["_id"]


def test_another_streams_token_is_a_place_to_resume_from(client, things):
    with client.shop.watch() as stream:
        client.shop.others.insert_one({"_id": "other"})
        token = stream.next()["_id"]
    things.insert_one({"_id": "after"})
    with things.watch(resume_after=token) as stream:
        assert stream.next()["documentKey"] == {"_id": "after"}


def test_a_time_to_start_at_is_inclusive(things):
    with things.watch() as stream:
        things.insert_many([{"_id": 1}, {"_id": 2}])
        first, second = seen(stream, 2)
    with things.watch(start_at_operation_time=first["clusterTime"]) as stream:
        assert seen(stream, 2) == [first, second]
    with things.watch(start_at_operation_time=second["clusterTime"]) as stream:
        assert seen(stream, 1) == [second]


def test_there_is_one_way_to_resume_at_a_time_and_start_after_is_none(things):
    with things.watch() as stream:
        things.insert_one({"_id": 1})
        event = stream.next()
    both = {"resumeAfter": event["_id"], "startAtOperationTime": event["clusterTime"]}
    pipeline = [{"$changeStream": both}]
    with pytest.raises(OperationFailure) as refused:
        things.database.command({"aggregate": "things", "pipeline": pipeline, "cursor": {}})
    assert refused.value.code == 40674
    unknown = failure(things, start_after=event["_id"])
    assert unknown.code == 40415
    assert unknown.details["errmsg"] == "BSON field '$changeStream.startAfter' is an unknown field."


def test_a_position_that_aged_out_is_lost_also_under_an_open_cursor(things):
    with things.watch(max_await_time_ms=50) as left, things.watch() as stream:
        left.try_next()
        things.insert_one({"_id": 0})
        event = stream.next()
        things.insert_many([{"_id": number} for number in range(1, 700)])
        with pytest.raises(OperationFailure) as overtaken:
            left.next()
    at_time = failure(things, start_at_operation_time=event["clusterTime"])
    rewritten = {"_data": f"01{1:08x}{1:08x}{event['_id']['_data'][18:]}"}
    for lost in (overtaken.value, at_time, failure(things, resume_after=event["_id"])):
        assert (lost.code, lost.details["errmsg"], lost.details["codeName"]) == (136, LOST, "CappedPositionLost")
        assert "errorLabels" not in lost.details
    assert failure(things, resume_after=rewritten).details["errmsg"] == LOST


def test_the_log_of_what_is_not_enabled_ages_nothing(client, things):
    with things.watch() as stream:
        things.insert_one({"_id": 0})
        event = stream.next()
    client.depot.things.insert_many([{"_id": number} for number in range(700)])
    things.insert_one({"_id": 1})
    with things.watch(resume_after=event["_id"]) as stream:
        assert stream.next()["documentKey"] == {"_id": 1}


@pytest.mark.parametrize(
    "data",
    ["", "0163", "nonsense", "8263EEB6E7000000012B022C0100296E04", "0163eeb6e7000000090100000009000041zz"],
)
def test_a_malformed_or_foreign_token_is_told_without_a_name(things, data):
    malformed = failure(things, resume_after={"_data": data})
    assert (malformed.code, malformed.details["errmsg"]) == (9, f"Invalid resume token: {{_data: '{data}'}}")
    assert "codeName" not in malformed.details


def test_a_real_token_is_understood(things):
    lost = failure(things, resume_after={"_data": "0163eeb6e7000000090100000009000041e1"})
    assert lost.details["errmsg"] == LOST


def test_changes_older_than_the_retention_are_dropped(tmp_path):
    settings = LocalSourceSettings(mode="documentdb-5.0", log_retention_s=1000)
    with local_source(tmp_path, settings) as source, MongoClient(source.uri) as client:
        enable(client, "shop")
        things = client.shop.things
        with things.watch() as stream:
            things.insert_many([{"_id": 1}, {"_id": 2}])
            first, second = seen(stream, 2)
        client.admin.command({"penstockSource": 1, "advanceClock": 500})
        with things.watch(resume_after=first["_id"]) as stream:
            assert stream.next() == second
        client.admin.command({"penstockSource": 1, "advanceClock": 600})
        things.insert_one({"_id": 3})
        lost = failure(things, resume_after=first["_id"])
        assert lost.details["errmsg"] == LOST
        now = Timestamp(second["clusterTime"].time + 600, 1)
        with things.watch(start_at_operation_time=now) as stream:
            assert stream.next()["documentKey"] == {"_id": 3}


def test_a_quiet_stream_tells_a_place_to_resume_from(client, things):
    with things.watch(max_await_time_ms=100) as stream:
        assert stream.try_next() is None
        token = stream.resume_token
    client.admin.command({"penstockSource": 1, "dropLogBefore": Timestamp(int(token["_data"][2:10], 16), 0)})
    things.insert_one({"_id": "after"})
    with things.watch(resume_after=token) as stream:
        assert stream.next()["documentKey"] == {"_id": "after"}
