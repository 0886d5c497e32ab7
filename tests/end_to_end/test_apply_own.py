"""`penstock apply` of penstock's own topics, which `penstock capture` writes: numbers, marks, drops, and losses."""

import json
from contextlib import closing
from datetime import UTC, datetime

import bson
import pytest
from bson import Int64
from confluent_kafka import OFFSET_END, Consumer, Producer

from penstock.kafka.log import headers_of
from penstock.kafka.member import committed_of
from penstock.kafka.positions import Partition
from testkit.captured import CapturedLog
from testkit.connect import Topics
from testkit.workspace import meanwhile, random_changes, until

COLL = "items"
PREFIX = "own"


@pytest.fixture
def site(site, database, kafka_servers):
    """Settings for one collection whose changes go through a topic of penstock's own."""

    def settings(partitions: int = 4, coll: str = COLL, **more) -> None:
        site.settings(
            f"{database.name}.{coll}",
            log={
                "bootstrap_servers": kafka_servers,
                "group": f"penstock-{database.name}",
                "session_timeout_s": 6,
                "own_topics": True,
                "prefix": PREFIX,
                "topic_partitions": partitions,
                "topic_replication": 1,
            },
            **more,
        )

    settings()
    site.settings_of = settings
    return site


@pytest.fixture
def log(database, kafka_servers):
    return CapturedLog(kafka_servers, PREFIX, database.name)


def states(site) -> list[str]:
    return [each["state"] for each in json.loads(site.run("status", "--json").stdout)]


def test_what_is_there_is_loaded_and_members_share_what_comes(site, database, log):
    database[COLL].insert_many([{"_id": number} for number in range(100)])
    capture, first = site.start("capture"), site.start("apply")
    with meanwhile(random_changes(database[COLL])):
        first.until_live()
        second, third = site.start("apply"), site.start("apply")
        second.until_live()
        third.until_live()
        second.kill()
        until(lambda: [each for each in (first, third) if each.lines("partitions assigned", partitions=2)], "2 each")
    site.until_equal(database, COLL)
    until(lambda: states(site) == ["live"], lambda: states(site))  # the load may end after its last document
    shown = "2 members of its group, 0 records behind"  # the end of a transaction takes an offset, and is no record
    until(lambda: shown in site.run("status").stdout, lambda: site.run("status").stdout)

    def counted() -> float:
        return sum(each.metric("penstock_changes_total") for each in (first, third))

    before = counted()
    database[COLL].insert_many([{"_id": f"later-{number}"} for number in range(100)])
    site.until_equal(database, COLL)
    until(lambda: counted() - before >= 100, counted)  # the last ones are counted when something follows them
    until(lambda: shown in site.run("status").stdout, lambda: site.run("status").stdout)
    assert counted() - before == 100, "each change is counted by one of the members"
    assert site.letters(database) == []
    for each in (first, third, capture):
        each.terminate()


def test_a_collection_that_matches_a_pattern_is_applied_when_it_appears(site, database, log, index_prefix):
    site.settings_of(coll="o*", index=f"{index_prefix}{database.name}.{{collection}}")
    database["orders"].insert_one({"_id": 1})
    capture, worker = site.start("capture"), site.start("apply")
    site.until_equal(database, "orders")
    database["other"].insert_one({"_id": 1})
    database["oö"].insert_one({"_id": 1})
    database["not"].insert_one({"_id": 1})
    site.until_equal(database, "other")
    for coll in ("orders", "other"):
        database[coll].insert_one({"_id": 2})
        site.until_equal(database, coll)
    line = worker.until_logged("collection matches a pattern but cannot be indexed")
    assert line["collection"] == f"{database.name}.oö"
    assert "characters that Kafka does not take" in line["reason"]
    until(lambda: states(site) == ["live", "live", "unserved"], lambda: states(site))
    assert site.run("verify", f"{database.name}.other").returncode == 0
    worker.terminate()
    database["other"].insert_one({"_id": 3})
    again = site.start("apply")
    site.until_equal(database, "other")
    assert not again.lines("load begins")
    again.terminate()
    capture.terminate()


def test_patterns_are_refused_where_each_collection_has_a_cursor(site, database):
    site.settings_of(coll="o*", index="some-{collection}", source={"cursor_per": "collection"})
    for command in ("capture", "apply"):
        done = site.run(command)
        assert done.returncode == 2
        assert 'own topics have no patterns with cursor_per = "collection"' in done.stderr


def test_numbers_that_leave_some_out_stop_the_index(site, database, log, kafka_servers):
    site.settings_of(partitions=1)
    database[COLL].insert_one({"_id": 1})
    capture, first = site.start("capture"), site.start("apply")
    first.until_live()
    database[COLL].insert_one({"_id": 2})
    site.until_equal(database, COLL)
    capture.terminate()
    last = log.records(COLL)[-1]
    forged = last.said._replace(number=last.said.number + 3)
    send(kafka_servers, log.topic(COLL), last.key, last.value, headers_of(forged))
    assert first.end() == 6
    assert f"topic {log.topic(COLL)}, partition 0, offset " in first.errors
    assert f"its running number is {last.said.number + 3}, but {last.said.number + 1} is next" in first.errors


def explained(site, database, typed: str) -> dict:
    return json.loads(site.run("explain", f"{database.name}.{COLL}", typed, "--json").stdout)


def test_explain_names_the_partition_of_a_document_and_how_far_the_group_is_there(site, database, log):
    database[COLL].insert_one({"_id": Int64(7), "n": 0})  # another BSON than that of the 7 that is typed
    found = explained(site, database, "n:7")["log"]
    assert (found["topics"], found["partitions"], found["members"]) == ([log.topic(COLL)], [], [])
    capture, worker = site.start("capture"), site.start("apply")
    worker.until_live()
    database[COLL].insert_many([{"_id": f"id-{number}"} for number in range(20)])
    database[COLL].update_one({"_id": 7}, {"$set": {"n": 1}})
    site.until_equal(database, COLL)
    (record,) = [each for each in log.records(COLL) if bson.decode(each.key)["_id"] == 7]

    def place() -> dict:
        found = explained(site, database, "n:7")["log"]
        assert found["group"] == f"penstock-{database.name}.{site.index(f'{database.name}.{COLL}')}-g1"
        assert found["partitions"] == [record.partition]
        return found

    def members() -> list[tuple[int, int]]:
        return [(each["pid"], len(each["topics"].get(log.topic(COLL), []))) for each in place()["members"]]

    found = until(lambda: (its := place())["number"] >= record.said.number and its, place)
    assert found["offset"] > record.offset
    until(lambda: members() == [(worker.process.pid, 4)], members)

    def shown() -> str:
        return site.run("explain", f"{database.name}.{COLL}", "n:7").stdout

    assert f"topic {log.topic(COLL)}, partition {record.partition}: applied up to change" in shown()
    until(lambda: f"process {worker.process.pid}, 0 behind" in shown(), shown)  # which members say once a second
    database[COLL].delete_one({"_id": 7})
    assert record.partition in explained(site, database, "n:7")["log"]["partitions"]
    worker.terminate()
    capture.terminate()
    assert "no process has it" in site.run("explain", f"{database.name}.{COLL}", "s:id-1").stdout


def test_a_record_of_somebody_else_is_a_dead_letter_with_its_place(site, database, log, kafka_servers):
    site.settings_of(partitions=1)
    database[COLL].insert_one({"_id": 1})
    capture, worker = site.start("capture"), site.start("apply")
    worker.until_live()
    send(kafka_servers, log.topic(COLL), b"key", b"secret", None)
    (letter,) = until(lambda: site.letters(database), lambda: f"a dead letter:\n{worker.errors}")
    assert f"topic {log.topic(COLL)}, partition 0, offset " in letter["reason"]
    assert "secret" not in letter["reason"] + worker.errors
    database[COLL].insert_one({"_id": 2})
    site.until_equal(database, COLL)
    worker.terminate()
    capture.terminate()


def test_a_drop_waits_for_what_came_before_it_and_needs_no_load(site, database, log):
    site.settings_of(on_drop="empty")
    database[COLL].insert_many([{"_id": number} for number in range(20)])
    capture, worker = site.start("capture"), site.start("apply")
    worker.until_live()
    worker.until_logged("load ends")
    site.until_equal(database, COLL)
    worker.terminate()
    database[COLL].insert_many([{"_id": number} for number in range(20, 40)])
    database[COLL].drop()
    database[COLL].insert_one({"_id": "after"})
    until(lambda: any(each.control for each in log.marks()), "the mark of the drop")
    first, second = site.start("apply"), site.start("apply")
    until(
        lambda: first.lines("collection gone, index emptied") or second.lines("collection gone, index emptied"),
        lambda: f"emptied:\n{first.errors}\n{second.errors}",
    )
    site.until_equal(database, COLL)
    until(lambda: states(site) == ["live"], lambda: states(site))
    assert not first.lines("load begins")
    assert not second.lines("load begins")
    for each in (first, second, capture):
        each.terminate()


@pytest.mark.parametrize("left", ["the last change", "nothing"])
def test_changes_that_the_topic_no_longer_holds_are_a_loss_that_heals(left, site, database, log, kafka_servers):
    """Also in a partition that is quiet since: no record comes from which the loss could be seen."""
    site.settings_of(partitions=1)
    database[COLL].insert_many([{"_id": number} for number in range(10)])
    capture, worker = site.start("capture"), site.start("apply")
    worker.until_live()
    site.until_equal(database, COLL)
    worker.terminate()
    database[COLL].delete_many({"_id": {"$lt": 5}})
    database[COLL].insert_many([{"_id": number} for number in range(10, 20)])
    until(lambda: len(log.records(COLL)) >= 15, "the changes in the log")
    before = log.records(COLL)[-1].offset if left == "the last change" else OFFSET_END
    Topics(kafka_servers).forget(log.topic(COLL), before=before)
    again = site.start("apply")
    line = again.until_logged("position lost")
    assert "no longer holds the changes" in line["cause"]
    site.until_equal(database, COLL)
    until(lambda: states(site) == ["live"], lambda: f"live:\n{again.errors}")
    again.terminate()
    capture.terminate()


def test_an_index_that_is_ahead_of_its_source_ends_it(site, database, log):
    """As after a restore of the source: versions from before would refuse every change, one by one and unseen."""
    database[COLL].insert_one({"_id": 7})
    capture, worker = site.start("capture"), site.start("apply")
    worker.until_live()
    site.until_equal(database, COLL)
    version = (1 << 63) - (1 << 32)
    path = f"{site.index(f'{database.name}.{COLL}')}-g1/_doc/n:7?version={version}&version_type=external"
    assert site.ask("PUT", path, {"of": "the future"})["result"] == "updated"
    database[COLL].update_one({"_id": 7}, {"$set": {"of": "now"}})
    assert worker.end() == 6
    assert "the source was restored or replaced, or another tool wrote to the index" in worker.errors
    capture.terminate()


def test_an_aborted_transaction_is_neither_applied_nor_missed(site, database, log, kafka_servers):
    site.settings_of(partitions=1)
    database[COLL].insert_one({"_id": 1})
    capture, worker = site.start("capture"), site.start("apply")
    worker.until_live()
    database[COLL].insert_one({"_id": 2})
    site.until_equal(database, COLL)
    capture.terminate()
    last = log.records(COLL)[-1]
    producer = Producer({"bootstrap.servers": kafka_servers, "transactional.id": f"other-{database.name}"})
    producer.init_transactions(60)
    producer.begin_transaction()
    never = last.said._replace(number=last.said.number + 1)
    key, value = bson.encode({"_id": "never"}), bson.encode({"_id": "never"})
    producer.produce(log.topic(COLL), key=key, value=value, headers=headers_of(never), partition=0)
    producer.flush(60)
    producer.abort_transaction(60)
    capture = site.start("capture")
    database[COLL].insert_one({"_id": 3})
    site.until_equal(database, COLL)
    worker.terminate()
    capture.terminate()


def test_nothing_is_committed_before_the_index_has_it(site, database, log, kafka_servers):
    site.settings_of(partitions=1)
    database[COLL].insert_one({"_id": 1})
    capture, worker = site.start("capture"), site.start("apply")
    worker.until_live()
    database[COLL].insert_one({"_id": 2})
    site.until_equal(database, COLL)
    group = f"penstock-{database.name}.{site.index(f'{database.name}.{COLL}')}-g1"
    number = until(lambda: committed_number(kafka_servers, group, log.topic(COLL)), "something is committed")
    index = f"{site.index(f'{database.name}.{COLL}')}-g1"
    site.ask("PUT", f"{index}/_settings", {"index.blocks.write": True})
    database[COLL].insert_many([{"_id": number} for number in range(10, 20)])
    worker.until_logged("waiting for the index")
    assert committed_number(kafka_servers, group, log.topic(COLL)) == number
    worker.kill()
    assert committed_number(kafka_servers, group, log.topic(COLL)) == number
    site.ask("PUT", f"{index}/_settings", {"index.blocks.write": False})
    again = site.start("apply")
    site.until_equal(database, COLL)
    again.terminate()
    capture.terminate()


def test_a_reindex_begins_at_a_mark_and_is_fed_by_the_log(site, database, log):
    database[COLL].insert_many([{"_id": number} for number in range(50)])
    capture, worker = site.start("capture"), site.start("apply")
    worker.until_live()
    site.settings_of(shards=2)
    with meanwhile(random_changes(database[COLL])):
        done = site.run("reindex", f"{database.name}.{COLL}")
    assert done.returncode == 0, done.stderr
    site.until_equal(database, COLL)
    assert next(iter(site.ask("GET", f"_alias/{site.index(f'{database.name}.{COLL}')}"))).endswith("-g2")
    assert site.run("verify").returncode == 0
    worker.terminate()
    capture.terminate()


def test_what_came_since_a_moment_is_applied_again(site, database, log):
    database[COLL].insert_one({"_id": "before"})
    capture, worker = site.start("capture"), site.start("apply")
    worker.until_live()
    begun = datetime.now(UTC)
    database[COLL].insert_many([{"_id": number} for number in range(20)])
    database[COLL].delete_one({"_id": 7})
    site.until_equal(database, COLL)
    refused = site.run("apply", "--from-time", f"{begun:%Y-%m-%dT%H:%M:%SZ}")
    assert refused.returncode == 2
    assert "--from-time: a process applies the changes" in refused.stderr
    worker.terminate()
    again = site.start("apply", "--from-time", f"{begun:%Y-%m-%dT%H:%M:%SZ}")
    again.until_logged("applying again")
    until(lambda: again.metric("penstock_changes_total") >= 21, lambda: f"21 changes:\n{again.scrape()}")
    site.until_equal(database, COLL)
    again.terminate()
    capture.terminate()


def test_an_index_that_is_deleted_while_it_is_loaded_is_loaded_again(site, database, log):
    """The processes that share the load live on, and share the next one."""
    site.settings_of(pipeline={"load_range": 100, "load_rate": 60})
    database[COLL].insert_many([{"_id": number} for number in range(2000)])
    capture, workers = site.start("capture"), [site.start("apply"), site.start("apply")]
    index = f"{site.index(f'{database.name}.{COLL}')}-g1"
    for each in workers:
        each.until_logged("partitions assigned", group=f"penstock-{database.name}.{index}.load")
    site.ask("DELETE", index)
    site.until_equal(database, COLL)
    until(lambda: states(site) == ["live"], lambda: f"live:\n{workers[0].errors}\n{workers[1].errors}")
    assert any(len(each.lines("load begins")) > 1 or each.lines("position lost") for each in workers)
    for each in workers:
        each.terminate()
    capture.terminate()


def test_a_topic_that_was_deleted_is_a_loss_that_heals(site, database, log, kafka_servers):
    database[COLL].insert_many([{"_id": number} for number in range(10)])
    capture, worker = site.start("capture"), site.start("apply")
    worker.until_live()
    site.until_equal(database, COLL)
    Topics(kafka_servers).delete(log.topic(COLL))
    database[COLL].delete_many({"_id": {"$lt": 5}})
    worker.until_logged("position lost")
    site.until_equal(database, COLL)
    database[COLL].insert_one({"_id": "after"})
    site.until_equal(database, COLL)
    worker.terminate()
    capture.terminate()


def test_a_rename_is_followed(site, database, log):
    site.settings_of(on_rename="follow")
    database[COLL].insert_many([{"_id": number} for number in range(10)])
    capture, worker = site.start("capture"), site.start("apply")
    worker.until_live()
    site.until_equal(database, COLL)
    database[COLL].rename("moved")
    database["moved"].insert_one({"_id": "after"})
    database["moved"].delete_one({"_id": 3})
    until(lambda: not site.differences(database, "moved", served_as=COLL), lambda: f"equal:\n{worker.errors}")
    worker.terminate()
    capture.terminate()


def test_renames_from_before_the_first_start_are_followed(site, database, log):
    """Capture has followed them, so the changes of the present name are in the topic."""
    site.settings_of(on_rename="follow")
    database[COLL].insert_many([{"_id": number} for number in range(10)])
    capture = site.start("capture")
    until(lambda: len(log.marks()) > 0, lambda: capture.errors)
    for before, now in ((COLL, "moved"), ("moved", "again")):
        database[before].rename(now)
        database[now].insert_one({"_id": now})
    until(lambda: len(log.records(COLL)) >= 2, "the changes in the log")
    worker = site.start("apply")
    until(lambda: not site.differences(database, "again", served_as=COLL), lambda: f"equal:\n{worker.errors}")
    until(lambda: states(site) == ["live"], lambda: f"live:\n{worker.errors}")
    database["again"].delete_one({"_id": 3})
    until(lambda: not site.differences(database, "again", served_as=COLL), lambda: f"equal:\n{worker.errors}")
    worker.terminate()
    capture.terminate()


@pytest.mark.parametrize("overlaps", [True, False])
def test_from_a_worker_to_the_log(overlaps, site, database, log):
    """Where capture had begun before the worker ended nothing is loaded; else what came in between is a loss."""
    name, alone = f"{database.name}.{COLL}", {"source": {"cursor_per": "collection"}}
    site.settings(name, **alone)
    database[COLL].insert_many([{"_id": number} for number in range(10)])
    worker = site.start("run")
    worker.until_live()
    site.until_equal(database, COLL)
    if not overlaps:
        worker.terminate()
        database[COLL].delete_one({"_id": 1})
    site.settings_of(**alone)
    capture = site.start("capture")
    until(lambda: log.marks(COLL), lambda: capture.errors)
    if overlaps:
        database[COLL].insert_one({"_id": "both"})
        site.until_equal(database, COLL)
        worker.terminate()
    database[COLL].delete_one({"_id": 3})
    applier = site.start("apply")
    site.until_equal(database, COLL)
    until(lambda: states(site) == ["live"], lambda: f"live:\n{applier.errors}")
    assert bool(applier.lines("position lost")) is not overlaps
    assert bool(applier.lines("load begins")) is not overlaps
    applier.terminate()
    capture.terminate()


def test_a_worker_refuses_what_goes_through_the_log(site, database):
    done = site.run("run")
    assert done.returncode == 2
    assert f"[[collections]] {database.name}.{COLL}: [log] own_topics is true" in done.stderr


def send(servers, topic, key, value, headers) -> None:
    producer = Producer({"bootstrap.servers": servers, "acks": "all"})
    producer.produce(topic, key=key, value=value, headers=headers, partition=0)
    assert producer.flush(60) == 0


def committed_number(servers, group, topic) -> int:
    """The running number that a group has committed for the first partition; 0 where it has committed nothing."""
    with closing(Consumer({"bootstrap.servers": servers, "group.id": group})) as consumer:
        found = committed_of(consumer, [Partition(topic, 0)])[Partition(topic, 0)]
    return found.place.number if found else 0
