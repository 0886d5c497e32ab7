"""The local source as a MongoDB 5.0 does what a MongoDB 4.2 was seen to do beyond the record of 4.0.3."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from bson import Int64, Timestamp
from pymongo import WriteConcern
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from penstock_tools.servers.source import LocalSourceSettings, local_source

IDLE_DIGITS = 30


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    with local_source(tmp_path_factory.mktemp("source"), LocalSourceSettings()) as source:
        yield source


@pytest.fixture
def switch(client):
    yield lambda **what: client.admin.command({"penstockSource": 1, **what})
    client.admin.command({"penstockSource": 1, "holdMajority": False, "majorityLagMs": 0, "eventsPerReply": 2**31 - 1})


def majority(things):
    return things.with_options(read_concern=ReadConcern("majority"))


def next_reply(stream, things, cursor):
    command = {"getMore": Int64(cursor), "collection": "things", "maxTimeMS": 20}
    return things.database.command(command, session=stream)


def opened(things, session, *stages, **options):
    pipeline = [{"$changeStream": options}, *stages]
    return things.database.command({"aggregate": "things", "pipeline": pipeline, "cursor": {}}, session=session)


def data_of(reply):
    return reply["cursor"]["postBatchResumeToken"]["_data"]


def time_of(data):
    return Timestamp(int(data[2:10], 16), int(data[10:18], 16))


def test_a_reader_beside_a_writer_misses_no_document(client, things):
    things.insert_one({"_id": 1, "n": 0})
    done = threading.Event()

    def write():
        while not done.is_set():
            things.update_one({"_id": 1}, {"$inc": {"n": 1}})

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        finds = ({"_id": 1}, {"_id": {"$gte": 0}}, {"n": {"$gte": 0}})
        missed = [each for _ in range(1500) for each in finds if things.find_one(each) is None]
        done.set()
        writing.result()
    assert missed == []


def test_an_idle_position_is_the_last_events_until_something_else_is_written(client, things):
    things.insert_one({"_id": 0})
    with client.start_session(causal_consistency=False) as session:
        first = opened(things, session)
        cursor, time = first["cursor"]["id"], first["operationTime"]
        assert len(data_of(first)) == IDLE_DIGITS
        assert time_of(data_of(first)) == Timestamp(time.time, time.inc + 1)
        things.insert_one({"_id": 1})
        full, empty = (next_reply(session, things, cursor) for _ in range(2))
        event = full["cursor"]["nextBatch"][0]
        assert data_of(full) == data_of(empty) == event["_id"]["_data"]
        client.test.others.insert_one({})
        moved = next_reply(session, things, cursor)
        assert (len(data_of(moved)), time_of(data_of(moved))) == (IDLE_DIGITS, moved["operationTime"])
        assert moved["operationTime"] > event["clusterTime"]


def test_an_idle_position_means_from_its_time_on(client, things):
    with things.watch() as stream:
        things.insert_one({"_id": 1})
        time = stream.next()["clusterTime"]
    idle = {"_data": f"82{time.time:08X}{time.inc:08X}2B0229296E04"}
    with things.watch(resume_after=idle) as stream:
        assert stream.next()["documentKey"] == {"_id": 1}


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("016b0c2edc0000000f0100000000f00000001", 9),
        ("016b0c2edc0000000f0100000000f0000000", 50811),  # DocumentDB's
        ("826B0C2EDC0000000F295A1004", 50854),  # MongoDB 4.0's
        ("826B0C2EDC0000000F2B0429296E1404", 50795),  # MongoDB 6.0's
        ("0" * 30, 50811),
        ("", 40649),
        ("8200", 15),
        ("826B0C2EDC0000000F", 50796),
        ("a topic's offset", 9),
        (5, 40647),
    ],
)
def test_a_token_of_another_server_is_refused_with_the_code_that_was_recorded(things, data, code):
    with pytest.raises(OperationFailure) as refused, things.watch(resume_after={"_data": data}):
        pass
    assert refused.value.code == code


def test_a_numbers_token_needs_no_type_bits(things):
    with things.watch() as stream:
        things.insert_many([{"_id": 2.5}, {"_id": 3}])
        token = stream.next()["_id"]
    assert "_typeBits" in token
    with things.watch(resume_after={"_data": token["_data"]}) as stream:
        assert stream.next()["documentKey"] == {"_id": 3}


def test_an_invalidate_is_shown_only_where_the_stages_let_it_through(client, things):
    for stages, shown in (
        ([{"$match": {"operationType": "insert"}}], []),
        ([{"$match": {"operationType": "insert"}}, {"$addFields": {"a": 1}}], []),
        ([{"$match": {"operationType": {"$in": ["insert", "invalidate"]}}}], ["invalidate"]),
        ([{"$project": {"updateDescription": 0}}], ["drop", "invalidate"]),
    ):
        things.insert_one({})
        with client.start_session(causal_consistency=False) as session:
            cursor = opened(things, session, *stages)["cursor"]["id"]
            things.drop()
            reply = next_reply(session, things, cursor)["cursor"]
        assert [each["operationType"] for each in reply["nextBatch"]] == shown
        assert reply["id"] == 0


@pytest.mark.parametrize("stage", [{"$project": {"_id": 0}}, {"$replaceRoot": {"newRoot": "$documentKey"}}])
def test_a_stage_must_leave_an_events_id_as_it_is(things, stage):
    with things.watch([stage]) as stream:
        things.insert_one({"_id": 1})
        with pytest.raises(OperationFailure, match="was modified by the pipeline") as refused:
            stream.next()
    assert refused.value.code == 280
    assert refused.value.has_error_label("NonResumableChangeStreamError")


def test_a_pipeline_update_cannot_change_the_id(things):
    things.insert_one({"_id": 1})
    with pytest.raises(OperationFailure, match=r"altered to _id: 2") as refused:
        things.update_one({"_id": 1}, [{"$replaceRoot": {"newRoot": {"_id": 2}}}])
    assert refused.value.code == 66
    assert list(things.find()) == [{"_id": 1}]


def test_what_is_only_made_to_be_renamed_shows_no_inserts(client, things):
    things.insert_one({"_id": 1})
    with client.test.watch(max_await_time_ms=200) as stream:
        client.test.command({"convertToCapped": "things", "size": 4096})
        assert stream.next()["operationType"] == "rename"
        client.admin.command({"renameCollection": "test.things", "to": "other.things"})
        assert stream.next()["operationType"] == "drop"
    assert list(client.other.things.find()) == [{"_id": 1}]


def test_a_step_down_cuts_neither_connections_nor_cursors(client, things):
    with things.watch(max_await_time_ms=100) as stream:
        assert stream.try_next() is None
        opened_with = stream._cursor.cursor_id
        client.admin.command({"replSetStepDown": 1, "force": True})
        assert stream.try_next() is None
        assert stream._cursor.cursor_id == opened_with


def test_a_majority_that_lags_shows_each_write_later_and_in_order(client, things, switch):
    switch(majorityLagMs=50)
    stale = 0
    with things.watch() as stream:
        for number in range(30):
            things.insert_one({"_id": number})
            stale += majority(things).find_one({"_id": number}) is None
            assert things.find_one({"_id": number})
        assert [stream.next()["documentKey"]["_id"] for _ in range(30)] == list(range(30))
    assert stale > 0
    for number in range(10):
        things.with_options(write_concern=WriteConcern("majority")).delete_one({"_id": number})
        assert majority(things).find_one({"_id": number}) is None


def test_a_majority_read_tells_the_time_that_is_committed_and_a_ping_that_of_the_last_write(client, things, switch):
    things.insert_one({"_id": 1, "n": "old"})
    switch(holdMajority=True)
    find = {"find": "things", "readConcern": {"level": "majority"}}
    before = client.test.command(find)
    things.update_one({"_id": 1}, {"$set": {"n": "new"}})
    things.insert_one({"_id": 2})
    things.delete_one({"_id": 2})
    after, ping = client.test.command(find), client.admin.command("ping")
    assert after["cursor"]["firstBatch"] == [{"_id": 1, "n": "old"}]
    assert after["operationTime"] == before["operationTime"] < ping["operationTime"]
    with things.watch(start_at_operation_time=ping["operationTime"], max_await_time_ms=50) as stream:
        assert stream.try_next() is None
        switch(holdMajority=False)
        assert stream.next()["operationType"] == "delete"
    assert client.test.command(find)["cursor"]["firstBatch"] == [{"_id": 1, "n": "new"}]
    assert client.test.command(find)["operationTime"] >= ping["operationTime"]


def test_a_long_scan_answers_a_row_of_empty_replies(client, things, switch):
    things.insert_one({})
    with client.start_session(causal_consistency=False) as session:
        opened_at = client.admin.command("ping")["operationTime"]
        client.test.others.insert_many([{} for _ in range(20)])
        things.insert_one({"_id": "wanted"})
        switch(eventsPerReply=5)
        cursor = opened(things, session, startAtOperationTime=opened_at)["cursor"]["id"]
        replies = [next_reply(session, things, cursor) for _ in range(5)]
    batches = [reply["cursor"]["nextBatch"] for reply in replies]
    assert [len(each) for each in batches] == [0, 0, 0, 1, 0]
    assert sorted(map(data_of, replies)) == list(map(data_of, replies))
