"""`penstock capture`: the changes of the source, each once, in topics of penstock's own."""

import json
import os
import secrets
import signal

import bson
import pymongo
import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Regex
from confluent_kafka.admin import NewPartitions

from penstock.model import Namespace
from penstock.mongo.codec import CODEC
from penstock.observe.metrics import METRICS
from penstock_tools.servers.kafka import Kafka
from penstock_tools.servers.progress import Steps
from penstock_tools.servers.source import LocalSourceSettings, local_source
from testkit.captured import CapturedLog
from testkit.connect import Topics
from testkit.workspace import Site, meanwhile, random_changes, until

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
            *(f"{site.database.name}.{each}" for each in colls or [COLL]),
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

    site.database, site.capturing = database, capturing
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
    reported = worker.scrape()
    assert [each for each in METRICS if each.startswith("penstock_capture_") and f"\n{each}{{" not in reported] == []
    worker.terminate()


def test_killed_in_a_transaction_and_two_at_once_leave_neither_gap_nor_repetition(site, database, log):
    site.capturing()
    database.create_collection(COLL)
    with meanwhile(random_changes(database[COLL])):
        workers = [site.start("capture"), site.start("capture")]
        for _ in range(3):
            leader = until(lambda: next((each for each in workers if leading(each)), None), "one captures")
            wanted = len(log.records(COLL)) + 50
            until(lambda wanted=wanted: len(log.records(COLL)) > wanted, "it captures")
            workers.remove(leader)
            leader.kill()
            workers.append(site.start("capture"))
    until_captured(log, database)
    for each in workers:
        each.terminate()


def test_one_that_was_stopped_for_longer_than_its_session_is_refused_and_stands_by(site, database, log):
    site.capturing()
    database.create_collection(COLL)
    first = site.start("capture")
    first.until_live()
    with meanwhile(random_changes(database[COLL])):
        until(lambda: len(log.records(COLL)) > 50, "it captures")
        second = site.start("capture")
        first.signal(signal.SIGSTOP)
        second.until_logged("capture goes on")
        wanted = len(log.records(COLL)) + 50
        until(lambda: len(log.records(COLL)) > wanted, "the second one captures")
        first.signal(signal.SIGCONT)
        until(lambda: first.states() == {"standby"}, lambda: f"the first one stands by:\n{first.errors}")
    until_captured(log, database)
    second.until_live()
    assert first.states() == {"standby"}
    first.terminate()
    second.terminate()


def test_drops_and_renames_are_marks_behind_what_came_before(site, database, log):
    site.capturing("kept", "moving", on_rename="follow")
    database.create_collection("kept")
    database["moving"].insert_one({"_id": 0})
    worker = site.start("capture")
    worker.until_live()
    database["moving"].insert_one({"_id": 1})
    database["moving"].rename("moved")
    database["moved"].insert_one({"_id": 2})
    database["moving"].insert_one({"_id": 3})  # of another collection by now
    database["kept"].insert_one({"_id": 4})
    database["kept"].drop()
    database["kept"].insert_one({"_id": 5})
    until(lambda: len(log.records("kept")) == 2, lambda: f"all is captured:\n{worker.errors}")
    assert [each.id for each in log.records("moving")] == [1, 2]
    renamed, dropped = [each for each in log.marks() if each.control]
    moving = Namespace(database.name, "moving")
    assert (renamed.control.kind, renamed.control.namespace) == ("rename", moving)
    assert renamed.names[moving] == (("moved", renamed.control.version),)
    assert (dropped.control.kind, dropped.control.namespace.coll) == ("drop", "kept")
    for mark, coll, before in ((renamed, "moving", 1), (dropped, "kept", 1)):
        ends = {at.number: end.offset for at, end in mark.ends.items() if at.topic == log.topic(coll)}
        first = log.records(coll)
        assert sum(each.offset < ends[each.partition] for each in first) == before
    worker.terminate()
    again = site.start("capture")
    again.until_live()
    database["moved"].insert_one({"_id": 6})
    until(lambda: len(log.records("moving")) == 3, "the new name is followed after a start too")
    database["moved"].drop()
    database["moving"].insert_one({"_id": 7})
    until(lambda: [each.id for each in log.records("moving")][-1] == 7, "its declared name is followed again")
    again.terminate()


def test_collections_that_match_a_pattern_get_a_topic_when_they_appear(site, database, log):
    site.capturing("o*", index="none-{collection}")
    worker = site.start("capture")
    worker.until_logged("partitions assigned")
    database["orders"].insert_one({"_id": 1})
    worker.until_logged("capture goes on")
    database["other"].insert_one({"_id": 1})
    until(lambda: log.topic("other") in log.marks()[-1].topics, lambda: f"both are captured:\n{worker.errors}")
    for coll in ("orders", "other", "not"):
        database[coll].insert_one({"_id": 2})
    until(lambda: {each.id for each in log.records("other")} >= {2}, "the new one is captured")
    until(lambda: {each.id for each in log.records("orders")} >= {2}, "the old one too")
    assert log.topic("not") not in log.marks()[-1].topics
    database["oö"].insert_one({"_id": 1})
    line = worker.until_logged("collection matches a pattern but cannot be captured")
    assert "characters that Kafka does not take" in line["reason"]
    worker.terminate()


def test_a_document_larger_than_its_topic_takes_comes_by_its_key(site, database, log, kafka_servers):
    Topics(kafka_servers).create(log.topic(COLL), PARTITIONS, **{"max.message.bytes": "300000"})
    site.capturing()
    database.create_collection(COLL)
    worker = site.start("capture")
    worker.until_live()
    database[COLL].insert_many([{"_id": 1, "text": "x" * 299_000}, {"_id": 2, "text": "x" * 301_000}, {"_id": 3}])
    until(lambda: len(log.records(COLL)) == 3, lambda: f"all are captured:\n{worker.errors}")
    said = {each.id: (each.said.kind, each.value is None) for each in log.records(COLL)}
    assert said == {1: ("upsert", False), 2: ("unresolved", True), 3: ("upsert", False)}
    assert worker.metric("penstock_capture_events_total", outcome="unresolved") == 1
    worker.terminate()


@pytest.mark.parametrize("policy", ["reload", "stop"])
def test_a_topic_that_was_deleted_and_made_again_is_a_lost_position(policy, site, database, log):
    site.capturing(pipeline={"on_position_lost": policy})
    database[COLL].insert_one({"_id": 1})
    first = site.start("capture")
    first.until_live()
    database[COLL].insert_one({"_id": 2})
    until(lambda: len(log.records(COLL)) == 1, "it is captured")
    first.terminate()
    log.admin.delete_topics([log.topic(COLL)])[log.topic(COLL)].result()
    second = site.start("capture")
    if policy == "stop":
        assert second.end() == 3
        assert f"penstock load --again {database.name}.{COLL}" in second.errors
        return
    second.until_logged("position lost: a topic was deleted and made again")
    second.until_live()
    database[COLL].insert_one({"_id": 3})
    until(lambda: [each.id for each in log.records(COLL)] == [3], "the new topic is written")
    (lost,) = [each.control for each in log.marks() if each.control]
    assert (lost.kind, lost.namespace) == ("invalidate", Namespace(database.name, COLL))
    second.terminate()


def test_a_topic_that_is_deleted_while_it_is_written_is_made_again(site, database, log):
    site.capturing()
    database.create_collection(COLL)
    worker = site.start("capture")
    worker.until_live()
    database[COLL].insert_one({"_id": 1})
    until(lambda: len(log.records(COLL)) == 1, "it is captured")
    log.admin.delete_topics([log.topic(COLL)])[log.topic(COLL)].result()
    database[COLL].insert_one({"_id": 2})
    worker.until_logged("position lost: a topic was deleted and made again")
    until(lambda: [each.id for each in log.records(COLL)] == [2], lambda: f"the new topic:\n{worker.errors}")
    assert [each.control.kind for each in log.marks() if each.control] == ["invalidate"]
    worker.terminate()


def test_a_topic_of_another_number_of_partitions_is_refused(site, database, log):
    site.capturing()
    database.create_collection(COLL)
    first = site.start("capture")
    first.until_live()
    first.terminate()
    grown = NewPartitions(log.topic(COLL), PARTITIONS + 1)
    log.admin.create_partitions([grown])[log.topic(COLL)].result()
    until(lambda: log.partitions(COLL) == PARTITIONS + 1, "the topic has grown")
    second = site.start("capture")
    assert second.end() == 3
    assert f"{log.topic(COLL)} has {PARTITIONS + 1} partitions, and had {PARTITIONS}" in second.errors


def test_records_of_which_no_mark_says_anything_are_a_lost_position(site, database, log):
    site.capturing()
    database.create_collection(COLL)
    first = site.start("capture")
    first.until_live()
    database[COLL].insert_one({"_id": 1})
    until(lambda: len(log.records(COLL)) == 1, "it is captured")
    first.terminate()
    marks = f"own.{database.name}"
    log.admin.delete_topics([marks])[marks].result()
    second = site.start("capture")
    assert second.end() == 3
    assert f"{log.topic(COLL)} holds records of which the marks of capture say nothing" in second.errors


def test_more_replicas_than_brokers_are_refused_with_what_to_set(site, database):
    site.capturing(log={"topic_replication": 3})
    done = site.run("capture")
    assert done.returncode == 2
    assert "Set topic_replication to 1 (1 keeps a single copy" in done.stderr


def test_a_name_that_kafka_does_not_take_is_refused(site, database):
    site.capturing("älteste")
    done = site.run("capture")
    assert done.returncode == 2
    assert (
        f"[[collections]] {database.name}.älteste: its topic own.{database.name}.älteste has characters" in done.stderr
    )


def test_each_collection_may_have_a_cursor_of_its_own(site, database, log):
    site.capturing("a", "b", source={"cursor_per": "collection"})
    database.create_collection("a")
    database.create_collection("b")
    worker = site.start("capture")
    worker.until_live()
    for coll in ("a", "b"):
        database[coll].insert_one({"_id": coll})
        until_captured(log, database, coll)
        assert log.marks(coll)[-1].topics.keys() == {log.topic(coll)}
    worker.terminate()


def test_check_looks_at_brokers_and_topics(site, database, log, kafka_servers):
    site.capturing("fresh", "made", log={"topic_partitions": 12}, source={"retention_s": 86_400})
    topics = Topics(kafka_servers)
    topics.create(log.topic("made"), 3, **{"retention.ms": "3600000", "unclean.leader.election.enable": "true"})
    topics.create(f"own.{database.name}", 1)
    findings = json.loads(site.run("check", "--json").stdout)
    found = [(each["subject"], each["verdict"], each["detail"]) for each in findings if each["area"] == "log"]
    assert found[:2] == [
        ("connection", "ok", f"1 broker at {kafka_servers}"),
        (log.topic("fresh"), "ok", "`penstock capture` will create it"),
    ]
    marks = [detail for subject, verdict, detail in found if (subject, verdict) == (f"own.{database.name}", "warning")]
    assert marks[0] == "is not compacted: its last mark may age out, and the position with it"
    made = [detail for subject, verdict, detail in found if (subject, verdict) == (log.topic("made"), "warning")]
    assert made == [
        "has 3 partitions, [log] topic_partitions is 12",
        "keeps its records for 3,600 s, no longer than the source its change log (86,400 s)",
        "has 1 replica: a broker that is lost may take changes with it",
        "unclean.leader.election.enable is true: a broker that has missed changes may become the leader",
    ]


def test_check_says_that_there_are_too_few_brokers_or_none(site, database):
    site.capturing(log={"topic_replication": 3})
    done = site.run("check")
    assert "cannot be created with 3 replicas on 1 broker" in " ".join(done.stdout.split())
    assert done.returncode == 2


def test_a_position_that_the_source_no_longer_holds_is_lost_with_what_to_do(tmp_path, site, kafka_servers):
    with local_source(tmp_path, LocalSourceSettings(log_size=50)) as source, pymongo.MongoClient(source.uri) as client:
        site.source_uri, database = source.uri, client["aged"]
        prefix = {"prefix": f"own-{secrets.token_hex(4)}"}
        log = CapturedLog(kafka_servers, prefix["prefix"], "aged")
        site.database = database
        site.capturing(log=prefix, pipeline={"on_position_lost": "stop"})
        database.create_collection(COLL)
        first = site.start("capture")
        first.until_live()
        first.terminate()
        for number in range(100):
            database[COLL].insert_one({"_id": number})
        stopped = site.start("capture")
        assert stopped.end() == 3
        assert f"Run `penstock load --again aged.{COLL}`" in stopped.errors
        site.capturing(log=prefix)
        healed = site.start("capture")
        line = healed.until_logged("position lost: changes are missing in the log, which goes on from now")
        assert line["heal"] == f"penstock load --again aged.{COLL}"
        healed.until_live()
        database[COLL].insert_one({"_id": 100})
        until(lambda: [each.id for each in log.records(COLL)] == [100], "it goes on from now")
        (lost,) = [each for each in log.marks() if each.control]
        assert (lost.control.kind, str(lost.control.namespace)) == ("invalidate", f"aged.{COLL}")
        assert lost.position.time == lost.control.version
        healed.terminate()


def test_a_broker_that_is_killed_and_comes_back_costs_nothing(tmp_path, site, database):
    broker = Kafka(tmp_path, port=0, progress=Steps())
    try:
        broker.wait_ready()
        servers = broker.bootstrap_servers
        log = CapturedLog(servers, "own", database.name)
        site.capturing(log={"bootstrap_servers": servers})
        database.create_collection(COLL)
        worker = site.start("capture")
        worker.until_live()
        with meanwhile(random_changes(database[COLL])):
            until(lambda: len(log.records(COLL)) > 50, "it captures")
            before = len(log.records(COLL))
            os.killpg(broker.child.pid, signal.SIGKILL)
            broker.child.stop()
            broker = Kafka(tmp_path, port=int(servers.rpartition(":")[2]), progress=Steps())
            broker.wait_ready()
            until(lambda: len(log.records(COLL)) > before + 50, lambda: f"it goes on:\n{worker.errors}")
        until_captured(log, database)
        worker.terminate()
    finally:
        broker.child.stop()
