"""`penstock apply`: topics that others fill bring the changes."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from penstock.model import seconds_of
from testkit.collector import collector
from testkit.connect import Topics
from testkit.console_client import ConsoleClient
from testkit.recordings import COLLS, FORMS, filled, require_recorded
from testkit.workspace import meanwhile, random_changes, until

COLL = "items"
PARTITIONS = 4


@pytest.fixture
def topics(kafka_servers):
    return Topics(kafka_servers)


@pytest.fixture
def site(site, database, topics, kafka_servers):
    """Settings for one collection, whose changes come by one topic."""

    def settings(form: str, *, protocol: str = "classic", **more) -> str:
        topic = f"cdc.{database.name}.{COLL}"
        site.settings(
            f"{database.name}.{COLL}",
            log={
                "bootstrap_servers": kafka_servers,
                "group": f"penstock-{database.name}",
                "group_protocol": protocol,
                "session_timeout_s": 6,
            },
            topics=[{"topic": topic, "collection": f"{database.name}.{COLL}", "form": form}],
            **more,
        )
        return topic

    site.settings_of = settings
    return site


def seen(site):
    """What `status` says of the collection."""
    (line,) = json.loads(site.run("status", "--json").stdout)
    return (line["state"], line["records_behind"], line["brought_by"])


@pytest.mark.parametrize(("form", "protocol"), [("change-events", "consumer"), ("keys", "classic")])
def test_members_share_the_partitions_and_a_killed_one_is_replaced(form, protocol, site, database, topics):
    topic = site.settings_of(form, protocol=protocol)
    topics.create(topic, PARTITIONS)
    database.create_collection(COLL)
    with topics.connector(database, COLL, topic, form=form):
        with meanwhile(random_changes(database[COLL])):
            first = site.start("apply")
            first.until_live()
            second, third = site.start("apply"), site.start("apply")
            second.until_live()
            third.until_live()
            second.kill()
            until(
                lambda: [each for each in (first, third) if each.lines("partitions assigned", partitions=2)], "2 each"
            )
        site.until_equal(database, COLL)
    until(lambda: shares(site) == {first.process.pid: 2, third.process.pid: 2}, lambda: site.run("status").stdout)
    until(lambda: seen(site) == ("live", 0, "topics"), lambda: seen(site))
    said = f"{database.name}.{COLL}: 2 members of its group, 0 records behind"
    until(lambda: said in site.run("status").stdout, said)
    assert site.letters(database) == []
    place = json.loads(site.run("explain", f"{database.name}.{COLL}", "n:1", "--json").stdout)["log"]
    assert (place["topics"], place["partitions"], place["offset"]) == ([topic], [], None)  # who fills it chose the keys
    assert {each["pid"] for each in place["members"]} == {first.process.pid, third.process.pid}
    first.terminate()
    third.terminate()
    (line,) = json.loads(site.run("status", "--json").stdout)
    assert (line["state"], line["members"]) == ("stopped", [])
    assert "is not fed: its consumer group has no member" in site.run("status").stdout


def shares(site) -> dict[int, int]:
    """How many partitions each process has, as status says."""
    (line,) = json.loads(site.run("status", "--json").stdout)
    return {each["pid"]: sum(map(len, each["topics"].values())) for each in line["members"]}


def test_records_that_the_index_does_not_take_yet_are_counted(site, database, topics):
    topic = site.settings_of("keys")
    topics.create(topic, 2)
    database[COLL].insert_many([{"_id": number} for number in range(30)])
    worker = site.start("apply")
    worker.until_live()
    assert worker.health()["pipelines"][f"{database.name}.{COLL}"]["collections"] == {f"{database.name}.{COLL}": "live"}
    index = site.index(f"{database.name}.{COLL}")
    until(lambda: worker.metric("penstock_log_partitions") == 2, worker.scrape)
    site.ask("PUT", f"{index}/_settings", {"index.blocks.write": True})
    without_values = [(json.dumps({"_id": number}).encode(), b"" if number % 2 else None) for number in range(30)]
    topics.send_together(topic, without_values)
    until(lambda: worker.metric("penstock_log_lag_records") >= 30, worker.scrape)
    until(lambda: "records behind" in site.run("status").stdout, lambda: site.run("status").stdout)
    site.ask("PUT", f"{index}/_settings", {"index.blocks.write": None})
    site.until_equal(database, COLL)
    until(lambda: worker.metric("penstock_log_lag_records") == 0, worker.scrape)
    worker.terminate()


def test_what_topics_feed_is_loaded_verified_and_reindexed_as_anything_else(site, database, topics):
    topic = site.settings_of("change-events")
    topics.create(topic, 2)
    database[COLL].insert_many([{"_id": number} for number in range(50)])  # before the topic knew
    with topics.connector(database, COLL, topic, form="change-events"):
        worker = site.start("apply")
        worker.until_live()
        database[COLL].update_one({"_id": 7}, {"$set": {"n": 1}})
        assert site.run("load").returncode == 0
        site.until_equal(database, COLL)
        (line,) = json.loads(site.run("status", "--json").stdout)
        assert (line["state"], line["documents_index"]) == ("live", 50)
        site.settings_of("change-events", shards=2)
        done = site.run("reindex", f"{database.name}.{COLL}")
        assert done.returncode == 0, done.stderr
        database[COLL].update_one({"_id": 8}, {"$set": {"n": 2}})
        database[COLL].delete_one({"_id": 9})
        site.until_equal(database, COLL)
        assert next(iter(site.ask("GET", f"_alias/{site.index(line['namespace'])}"))).endswith("-g2")
        assert site.run("verify").returncode == 0
    worker.terminate()


@pytest.mark.parametrize(("partitions", "state"), [(1, "live"), (2, "reconciling")])
def test_after_a_drop_an_index_of_several_partitions_waits_for_a_load(partitions, state, site, database, topics):
    topic = site.settings_of("change-events", on_drop="empty")
    topics.create(topic, partitions)
    database.create_collection(COLL)
    with topics.connector(database, COLL, topic, form="change-events"):
        worker = site.start("apply")
        worker.until_live()
        database[COLL].insert_many([{"_id": number} for number in range(20)])
        assert site.run("load").returncode == 0
        site.until_equal(database, COLL)
        database[COLL].drop()
        worker.until_logged("collection gone, index emptied")
        site.until_equal(database, COLL)
        (line,) = json.loads(site.run("status", "--json").stdout)
        assert line["state"] == state
    worker.terminate()


@pytest.mark.parametrize("clock_s", [0, 3600])
def test_a_drop_that_only_a_connectors_clock_tells_the_time_of_empties_the_index(clock_s, site, database, topics):
    """Documents were read in its very second; and with a clock that is ahead, those that come back are taken."""
    topic = site.settings_of("keys", on_drop="empty")
    topics.create(topic)
    database.create_collection(COLL)
    worker = site.start("apply")
    worker.until_live()
    with topics.connector(database, COLL, topic, form="keys"):
        database[COLL].insert_many([{"_id": number} for number in range(20)])
        site.until_equal(database, COLL)
    found = site.ask("GET", f"{site.index(f'{database.name}.{COLL}')}/_search?version=true&size=100")["hits"]["hits"]
    database[COLL].drop()
    read_s = max(seconds_of(each["_version"]) for each in found)
    topics.send(topic, b'{"_id": {"_data": "826B"}}', None, timestamp_ms=(read_s + clock_s) * 1000)
    worker.until_logged("collection gone, index emptied")
    site.until_equal(database, COLL)
    with topics.connector(database, COLL, topic, form="keys"):
        database[COLL].insert_many([{"_id": number, "again": True} for number in range(20)])
        site.until_equal(database, COLL)
    assert json.loads(site.run("status", "--json").stdout)[0]["state"] == "live"
    worker.terminate()


def test_it_has_the_console_and_the_exports_that_run_has(site, database, topics):
    topic = site.settings_of("keys")
    topics.create(topic)
    database.create_collection(COLL)
    with collector() as there:
        exports = ("--observe-otlp-endpoint", there.url, "--observe-embedded-metrics", "appliers")
        worker = site.start("apply", "--console-listen", "127.0.0.1:0", *exports)
        worker.until_live()
        answer = ConsoleClient(worker.until_logged("serving the console")["address"]).get("/")
        assert f"{database.name}.{COLL}" in ConsoleClient.text(answer)
        workers = ConsoleClient(worker.until_logged("serving the console")["address"])
        until(lambda: f"process {worker.process.pid}" in ConsoleClient.text(workers.get("/workers")), "the member")
        until(lambda: 1.0 in there.values("penstock_log_partitions").values(), lambda: there.exports[-1:])
        until(lambda: there.values("penstock_checkpoint_age_seconds"), lambda: there.exports[-1:])
        worker.terminate()
    assert {json.loads(line)["Worker"] for line in worker.output.splitlines()} == {"appliers"}


def test_a_record_that_nobody_understands_is_a_dead_letter_with_its_place(site, database, topics):
    topic = site.settings_of("change-events")
    topics.create(topic)
    database.create_collection(COLL)
    with topics.connector(database, COLL, topic, form="change-events"):
        database[COLL].insert_one({"_id": 1, "secret": "body"})
        topics.send(topic, b"key", b"<not an event of secret things>")
        database[COLL].insert_one({"_id": 2})
    worker = site.start("apply")
    site.until_equal(database, COLL)
    (letter,) = until(lambda: site.letters(database), lambda: f"a dead letter:\n{worker.errors}")
    assert f"topic {topic}, partition 0, offset " in letter["reason"]
    assert "secret" not in letter["reason"] + worker.errors
    worker.terminate()


def test_a_topic_of_another_form_is_refused_with_what_its_records_lack(site, database, topics):
    topic = site.settings_of("keys")
    topics.create(topic)
    database.create_collection(COLL)
    for number in range(30):
        topics.send(topic, None, b'{"_id": %d}' % number)
    topics.flush()
    worker = site.start("apply")
    assert worker.end() == 2
    assert f"[[topics]] {topic}: none of its records is understood" in worker.errors
    assert "let the producer write the document's _id into it" in worker.errors


@pytest.mark.parametrize("processes", [(), ("--processes", "2")])
def test_it_ends_soon_after_a_signal_though_no_broker_answers(processes, site, database):
    topic = {"topic": "cdc", "collection": f"{database.name}.{COLL}", "form": "keys"}
    site.settings(f"{database.name}.{COLL}", log={"bootstrap_servers": "127.0.0.1:1"}, topics=[topic])
    worker = site.start("apply", *processes)
    worker.until_logged("apply begins", collections=[f"{database.name}.{COLL}"])
    asked = time.monotonic()
    worker.terminate()
    assert time.monotonic() - asked < 15


def test_a_collection_without_a_topic_is_refused(site, database, kafka_servers):
    site.settings(f"{database.name}.{COLL}", log={"bootstrap_servers": kafka_servers})
    for processes in ((), ("--processes", "2")):
        done = site.run("apply", *processes)
        assert done.returncode == 2
        assert f"[[collections]] {database.name}.{COLL}: no [[topics]] table" in done.stderr


def test_an_offset_that_the_topic_no_longer_holds_is_a_lost_position(site, database, topics):
    topic = site.settings_of("keys")
    topics.create(topic)
    database.create_collection(COLL)
    with topics.connector(database, COLL, topic, form="keys"):
        database[COLL].insert_many([{"_id": number} for number in range(10)])
    first = site.start("apply")
    site.until_equal(database, COLL)
    topics.until_applied(f"penstock-{database.name}.{site.index(f'{database.name}.{COLL}')}-g1", topic)
    first.terminate()
    with topics.connector(database, COLL, topic, form="keys"):
        database[COLL].insert_many([{"_id": number} for number in range(10, 20)])
    topics.forget(topic, before=15)
    lost = site.start("apply")
    assert lost.end() == 3
    assert "the log no longer holds the records that come next" in lost.errors
    assert "penstock load --again" in lost.errors


@pytest.mark.parametrize("still_held", [True, False])
def test_a_group_that_the_brokers_have_forgotten_is_none_that_is_new(still_held, site, database, topics):
    """They do, once it had no member for a week."""
    topic = site.settings_of("keys")
    topics.create(topic, 2)
    database.create_collection(COLL)
    first = site.start("apply")
    first.until_live()
    with topics.connector(database, COLL, topic, form="keys"):
        database[COLL].insert_many([{"_id": number} for number in range(40)])
        site.until_equal(database, COLL)
    group = f"penstock-{database.name}.{site.index(f'{database.name}.{COLL}')}-g1"
    topics.until_applied(group, topic)
    first.terminate()
    topics.forget_all(topic)
    with topics.connector(database, COLL, topic, form="keys"):
        database[COLL].delete_many({"_id": {"$lt": 20}})
    if not still_held:
        topics.forget_all(topic)
    topics.forget_group(group)
    again = site.start("apply")
    if still_held:
        site.until_equal(database, COLL)
        again.terminate()
    else:
        assert again.end() == 3
        assert "the brokers have forgotten where it was" in again.errors
        assert "penstock load --again" in again.errors


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_member_that_was_held_up_sends_nothing_that_is_another_ones(protocol, site, database, topics):
    topic = site.settings_of("keys", protocol=protocol)
    topics.create(topic)
    database.create_collection(COLL)
    with topics.connector(database, COLL, topic, form="keys"):
        held_up = site.start("apply")
        held_up.until_live()
        assert topics.protocol_of(f"penstock-{database.name}.{site.index(f'{database.name}.{COLL}')}-g1") == protocol
        other = site.start("apply")
        database[COLL].insert_one({"_id": 1, "n": 1})
        site.until_equal(database, COLL)
        held_up.signal(signal.SIGSTOP)
        other.until_logged("partitions assigned", partitions=1)
        database[COLL].update_one({"_id": 1}, {"$set": {"n": 2}})
        site.until_equal(database, COLL)
        held_up.signal(signal.SIGCONT)
        held_up.until_logged("partitions lost: the group has put this member out", partitions=1)
        database[COLL].update_one({"_id": 1}, {"$set": {"n": 3}})
    site.until_equal(database, COLL)
    held_up.terminate()
    other.terminate()


@pytest.mark.parametrize("file", FORMS)
def test_what_real_connectors_wrote_becomes_the_documents_it_stands_for(file, site, database, topics, kafka_servers):
    """Documents of every type, with ids of every type, from their first day to their last; the source is there now."""
    form, prefix, group = FORMS[file], f"cdc.{database.name}.", f"penstock-{database.name}"
    written = filled(topics, file, database)
    site.settings(
        *(f"{database.name}.{coll}" for coll in COLLS),
        log={"bootstrap_servers": kafka_servers, "group": group},
        topics=[{"topic": f"{prefix}*", "collection": f"{database.name}.*", "form": form}],
    )
    worker = site.start("apply")
    for coll in written:
        topics.until_applied(f"{group}.{site.index(f'{database.name}.{coll}')}-g1", prefix + coll)
    worker.terminate()
    require_recorded(site, file, database, written)


def processes_of(worker) -> dict[str, dict]:
    return worker.health().get("processes", {})


def test_processes_share_the_partitions_and_a_killed_one_is_started_again(site, database, topics):
    topic = site.settings_of("keys")
    topics.create(topic, 2)
    database.create_collection(COLL)
    worker = site.start("apply", "--processes", "2")

    def states():
        return [each.get("pipelines", {}) for each in processes_of(worker).values()]

    def both_live():
        return [[its["state"] for its in each.values()] for each in states()] == [["live"], ["live"]]

    until(both_live, lambda: f"both live, but {states()}:\n{worker.errors}")
    for process in ("1", "2"):
        until(lambda its=process: worker.metric("penstock_log_partitions", process=its) == 1, worker.scrape)
    first, second = (worker.until_logged("process started", process=number)["pid"] for number in (1, 2))
    assert first != second != worker.process.pid
    with topics.connector(database, COLL, topic, form="keys"):
        os.kill(second, signal.SIGKILL)
        ended = worker.until_logged("a process has ended by itself; it is started again", process=2)
        assert ended["reason"] == "SIGKILL"
        database[COLL].insert_many([{"_id": number} for number in range(50)])
        site.until_equal(database, COLL)
    until(lambda: len(worker.lines("process started", process=2)) == 2 and both_live(), lambda: worker.errors)
    assert worker.metric("penstock_process_restarts_total", process="2") == 1
    children = [each["pid"] for each in worker.lines("process started")]
    worker.signal(signal.SIGINT)
    assert worker.end() == 130
    assert len(worker.lines("apply ends", process=1)) == len(worker.lines("apply ends", process=2)) == 1
    assert not [each for each in children if Path(f"/proc/{each}").exists()]


def test_processes_end_when_the_one_that_started_them_is_killed(site, database, topics):
    topic = site.settings_of("keys")
    topics.create(topic)
    database.create_collection(COLL)
    worker = site.start("apply", "--processes", "1")
    child = worker.until_logged("process started", process=1)["pid"]
    worker.until_logged("partitions assigned", process=1)
    worker.kill()
    until(lambda: not Path(f"/proc/{child}").exists(), lambda: worker.errors)
    assert worker.lines("the process that started this one is gone", process=1)
    assert worker.lines("apply ends", process=1)
