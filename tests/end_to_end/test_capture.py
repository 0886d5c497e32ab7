"""`penstock capture`: the changes of the source, each once, in topics of penstock's own."""

import random

import bson
import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Regex

from penstock.mongo.codec import CODEC
from testkit.captured import CapturedLog
from testkit.workspace import Site, meanwhile, until

COLL = "items"
PARTITIONS = 4


@pytest.fixture
def log(database, kafka_servers):
    return CapturedLog(kafka_servers, "own", database.name)


@pytest.fixture
def site(tmp_path, source_uri, database, kafka_servers):
    """Settings of a capture. The index is away the whole time."""
    site = Site(tmp_path, source_uri, "http://127.0.0.1:9", "none-")

    def capturing(*colls: str, log=None, **more) -> None:
        site.settings(
            *(f"{database.name}.{each}" for each in colls or [COLL]),
            log={
                "bootstrap_servers": kafka_servers,
                "own_topics": True,
                "prefix": "own",
                "topic_partitions": PARTITIONS,
                "topic_replication": 1,
                "session_timeout_s": 6,
                **(log or {}),
            },
            **more,
        )

    site.capturing = capturing
    yield site
    site.close()


def held(database, coll=COLL) -> dict:
    """What a collection holds, by the keys that the log has."""
    documents = database.get_collection(coll, codec_options=CODEC).find()
    return {bson.encode({"_id": each["_id"]}, codec_options=CODEC): each for each in documents}


def until_captured(log, database, coll=COLL):
    until(lambda: log.state(coll) == held(database, coll), "the log has what the collection holds")


def leading(worker):
    return worker.lines("capture goes on")


def written(database, coll=COLL, seed=4):
    """A writer that inserts, replaces, updates and deletes."""
    rng = random.Random(seed)

    def write(stop):
        number = 0
        while not stop.wait(0.001):
            number += 1
            what, one = rng.random(), rng.randrange(200)
            if what < 0.2:
                database[coll].delete_one({"_id": one})
            elif what < 0.6:
                database[coll].replace_one({"_id": one}, {"n": number}, upsert=True)
            else:
                database[coll].update_one({"_id": one}, {"$inc": {"n": 1}}, upsert=True)

    return write


def test_each_change_is_in_the_log_once_with_its_document_as_it_is(site, database, log):
    site.capturing()
    worker = site.start("capture")
    worker.until_live()
    ids = [
        1,
        Int64(2),
        2.5,
        "text",
        ObjectId(),
        Binary(b"\x03fullDocument\0", 5),
        {"of": {"_id": 1}},
        True,
        Decimal128("1.50"),
    ]
    database[COLL].insert_many(
        [
            {"_id": each, "n": number, "pattern": Regex("a+", "i"), "in": {"fullDocument": {}}}
            for number, each in enumerate(ids)
        ]
    )
    database[COLL].update_one({"_id": 1}, {"$set": {"n": 77}})
    database[COLL].replace_one({"_id": "text"}, {"whole": 1})
    database[COLL].delete_one({"_id": 2.5})
    until_captured(log, database)
    records = log.records(COLL)
    assert len(records) == len(ids) + 3
    raw = {
        each["_id"]: bson.encode(each, codec_options=CODEC) for each in held(database).values() if each["_id"] == "text"
    }
    assert records[-1].value != b""
    assert {each.value for each in records if each.id == "text"} >= {raw["text"]}
    (deleted,) = [each for each in records if each.said.kind == "delete"]
    assert (deleted.id, deleted.value) == (2.5, None)
    assert all(each.time_ms == (each.said.version >> 32) * 1000 for each in records)
    mark = log.marks()[-1]
    by_mark = {partition.number: end.number for partition, end in mark.ends.items()}
    assert sum(by_mark.values()) == len(records)
    for each in records:
        assert each.offset < next(end.offset for at, end in mark.ends.items() if at.number == each.partition)
    assert worker.metric("penstock_capture_events_total", outcome="upsert") == len(ids) + 2
    worker.terminate()


def test_killed_in_a_transaction_and_two_at_once_leave_neither_gap_nor_repetition(site, database, log):
    site.capturing()
    database.create_collection(COLL)
    with meanwhile(written(database)):
        workers = [site.start("capture"), site.start("capture")]
        for _ in range(4):
            leader = until(lambda: next((each for each in workers if leading(each)), None), "one captures")
            wanted = len(log.records(COLL)) + 50
            until(lambda wanted=wanted: len(log.records(COLL)) > wanted, "it captures")
            workers.remove(leader)
            leader.kill()
            workers.append(site.start("capture"))
    until_captured(log, database)
    for each in workers:
        each.terminate()
