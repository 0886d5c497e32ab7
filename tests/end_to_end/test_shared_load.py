"""The load of a collection that topics feed, shared by several processes."""

import json
import random
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from bson import Binary, Decimal128, Int64, MaxKey, MinKey, ObjectId, Timestamp

from penstock.kafka.log import tasks_topic_of
from testkit.connect import Topics
from testkit.workspace import meanwhile, until

COLL = "items"
ITEMS = 6000
RANGES = ITEMS // 100
SLOW = {"load_rate": 800}
"""Of a process: so that there is a middle of the load."""


@pytest.fixture
def topics(kafka_servers):
    return Topics(kafka_servers)


@pytest.fixture
def site(site, database, topics, kafka_servers):
    """Settings for one collection, whose changes come by one topic; a range has about 100 documents."""

    def settings(**pipeline) -> str:
        topic = f"cdc.{database.name}.{COLL}"
        site.settings(
            f"{database.name}.{COLL}",
            log={"bootstrap_servers": kafka_servers, "group": f"penstock-{database.name}", "session_timeout_s": 6},
            topics=[{"topic": topic, "collection": f"{database.name}.{COLL}", "form": "change-events"}],
            pipeline={"load_range": 100, **pipeline},
        )
        return topic

    site.settings_of = settings
    return site


def fill(database, count=ITEMS):
    database[COLL].insert_many([{"_id": number, "n": 0, "text": "x" * 50} for number in range(count)])


def phase(site, database):
    return site.load_state(f"{database.name}.{COLL}").get("phase")


def line(site):
    (found,) = json.loads(site.run("status", "--json").stdout)
    return found


@contextmanager
def edited(database, topics, topic, seed=3):
    """Inserts, replacements and deletes while the load reads, and their events in the topic."""
    rng = random.Random(seed)

    def write(stop):
        number = 0
        while not stop.wait(0.002):
            number += 1
            what, one = rng.random(), rng.randrange(ITEMS + 100)
            if what < 0.3:
                database[COLL].delete_one({"_id": one})
            else:
                database[COLL].replace_one({"_id": one}, {"n": number}, upsert=True)

    with topics.connector(database, COLL, topic, form="change-events"), meanwhile(write):
        yield


def test_three_members_load_what_is_written_meanwhile_and_two_of_them_are_killed(site, database, topics):
    topic = site.settings_of(load_rate=20)  # these take seconds for a range
    topics.create(topic, 3)
    fill(database)
    members = [site.start("apply") for _ in range(2)]
    for each in members:
        each.until_live()
    with edited(database, topics, topic):
        planner = site.start("load")
        ranges = planner.until_logged("load planned")["ranges"]
        site.settings_of()
        members.append(site.start("apply"))
        readers = until(lambda: len(owners(site, database)) == 4 and owners(site, database), "all members")
        until(lambda: done(site, database) > 4, "some ranges")
        for each in members[:2]:
            each.kill()
        planner.kill()  # it conducts the load: the last member does so from now on
        assert done(site, database) < ranges, "this was in the middle"
        until(lambda: phase(site, database) == "live", lambda: f"live:\n{members[2].errors}")
    assert {reader.rpartition("/")[2] for reader in readers} >= {str(each.process.pid) for each in members[:2]}
    site.until_equal(database, COLL)
    assert site.letters(database) == []
    assert site.run("verify").returncode == 0
    members[2].terminate()


def done(site, database):
    return sum(each["done"] for each in shares(site, database))


def owners(site, database):
    return {each["owner"] for each in shares(site, database) if each["owner"]}


def shares(site, database):
    """What the members say of the partitions of the present plan."""
    namespace = f"{database.name}.{COLL}"
    plan = site.load_state(namespace).get("plan") or {"partitions": {}, "id": ""}
    ids = [f"load/{namespace}/{site.index(namespace)}-g1/{number}" for number in plan["partitions"]]
    found = site.ask("POST", "penstock-state/_mget", {"ids": ids})["docs"] if ids else []
    return [each["_source"] for each in found if each.get("found") and each["_source"]["load"] == plan["id"]]


def test_who_comes_in_the_middle_of_a_range_makes_nothing_count_twice(site, database, topics):
    topics.create(site.settings_of(load_rate=250, load_range=1000))
    fill(database)
    planner = site.start("load")
    planner.until_logged("load planned")
    until(lambda: (line(site)["load"] or {"documents": 0})["documents"] > 0, lambda: f"some read:\n{planner.errors}")
    worker = site.start("apply")
    assert planner.end() == 0, planner.errors
    shares = [each for each in worker.lines("partitions assigned") if each["group"].endswith(".load")]
    assert shares, worker.errors
    assert f"{ITEMS:,} documents in" in planner.output
    worker.terminate()


def test_one_process_alone_loads_and_says_so(site, database, topics):
    topics.create(site.settings_of())
    fill(database, 1000)
    loaded = site.run("load")
    assert loaded.returncode == 0, loaded.stderr
    assert "1,000 documents in" in loaded.stdout
    assert "10 ranges, shared" in loaded.stdout
    assert site.differences(database, COLL) == []
    assert phase(site, database) == "live"
    assert "already loaded" in site.run("load").stdout


def test_a_load_again_deletes_what_the_source_no_longer_has(site, database, topics):
    topics.create(site.settings_of())
    fill(database, 500)
    assert site.run("load").returncode == 0
    database[COLL].delete_many({"_id": {"$lt": 50}})
    database[COLL].insert_one({"_id": "new"})
    again = site.run("load", "--again")
    assert again.returncode == 0, again.stderr
    assert site.differences(database, COLL) == []


def test_an_empty_collection_is_loaded_at_once(site, database, topics):
    topics.create(site.settings_of())
    database.create_collection(COLL)
    loaded = site.run("load")
    assert loaded.returncode == 0, loaded.stderr
    assert phase(site, database) == "live"


def test_ids_of_all_types_are_in_a_range_each(site, database, topics):
    topics.create(site.settings_of())
    many = [{"_id": number} for number in range(150)] + [{"_id": f"{number:04}"} for number in range(150)]
    many += [{"_id": ObjectId()} for _ in range(150)] + [{"_id": {"a": number}} for number in range(20)]
    single = [None, True, False, MinKey(), MaxKey(), float("nan"), float("-inf"), Decimal128("0.5"), Int64(2**60)]
    single += [Binary(b"\x01"), datetime(2020, 1, 1, tzinfo=UTC), Timestamp(5, 6), -7.25, ""]
    database[COLL].insert_many([*many, *({"_id": each} for each in single)])
    loaded = site.run("load")
    assert loaded.returncode == 0, loaded.stderr
    assert site.differences(database, COLL) == []
    assert f"{len(many) + len(single)} documents in" in loaded.stdout, "each was read once"


def test_a_document_that_is_deleted_before_its_range_is_read_stays_deleted(site, database, topics, source_switch):
    topic = site.settings_of(load_rate=300)
    topics.create(topic, 2)
    fill(database, 1500)
    worker = site.start("apply")
    worker.until_live()
    with topics.connector(database, COLL, topic, form="change-events"):
        planner = site.start("load")
        planner.until_logged("load planned")
        database[COLL].delete_many({"_id": {"$gte": 1000}})
        until(lambda: phase(site, database) == "live", lambda: f"live:\n{planner.errors}")
    site.until_equal(database, COLL)
    assert database[COLL].count_documents({}) == 1000
    worker.terminate()


def test_two_planners_at_once_have_one_plan_and_both_see_its_end(site, database, topics, kafka_servers):
    topics.create(site.settings_of(**SLOW))
    fill(database, 2000)
    first, second = site.start("load"), site.start("load")
    assert (first.end(), second.end()) == (0, 0), first.errors + second.errors
    assert sum(len(each.lines("load planned")) for each in (first, second)) == 1
    assert site.differences(database, COLL) == []
    index = f"{site.index(f'{database.name}.{COLL}')}-g1"
    assert topics.count(tasks_topic_of("penstock", index)) == 20


def test_ctrl_c_ends_the_part_of_the_command_only(site, database, topics):
    topics.create(site.settings_of(**{**SLOW, "load_rate": 400}))
    fill(database)
    worker = site.start("apply")
    worker.until_live()
    planner = site.start("load")
    until(lambda: done(site, database) > 2, "some ranges")
    planner.process.terminate()
    planner.process.join()
    assert "go on with a load that they share" in planner.errors
    seen = line(site)
    assert seen["state"] in ("loading", "reconciling")
    assert seen["load"]["ranges"] == RANGES
    assert 0 < seen["load"]["done"] < RANGES
    assert seen["load"]["documents"] > 0
    watching = site.run("load")
    assert watching.returncode == 0, watching.stderr
    assert f"{RANGES} ranges, shared" in watching.stdout
    assert site.differences(database, COLL) == []
    until(lambda: worker.metric("penstock_load_ranges_done") == RANGES, worker.scrape)
    assert worker.metric("penstock_load_ranges") == RANGES
    worker.terminate()


def test_a_task_topic_that_was_deleted_is_planned_again(site, database, topics):
    topics.create(site.settings_of(load_rate=200))
    fill(database, 1000)
    planner = site.start("load")
    until(lambda: done(site, database) > 0, "some ranges")
    planner.kill()
    index = f"{site.index(f'{database.name}.{COLL}')}-g1"
    topics.delete(tasks_topic_of("penstock", index))
    site.settings_of()
    again = site.run("load")
    assert again.returncode == 0, again.stderr
    assert "load planned" in again.stderr
    assert site.differences(database, COLL) == []
