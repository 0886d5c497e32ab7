"""What is wrong with a document, an index or a collection is said, waited for or kept; the rest goes on."""

import json

import pymongo
import pytest
from bson import Binary, encode

from penstock_tools.servers.source import LocalSourceSettings, local_source
from testkit.tcp_proxy import Proxy
from testkit.workspace import Site, until

LARGEST = 16 * 1024 * 1024


@pytest.fixture
def namespace(database):
    database.items.insert_many([{"_id": number, "text": "first", "number": number} for number in range(50)])
    return f"{database.name}.items"


def test_a_document_that_a_function_fails_on_is_a_dead_letter_and_the_others_go_on(site, database, namespace):
    (site.folder / "shaping.py").write_text(
        "def shaped(document):\n"
        "    document['tenth'] = 10 / document['number']\n"
        "    return None if document['number'] == 9 else document\n"
    )
    site.settings(namespace, function="shaping:shaped")
    worker = site.start("run")
    worker.until_live()
    assert len(site.indexed(namespace)) == 48
    database.items.insert_one({"_id": "later", "number": 0})
    database.items.insert_one({"_id": "last", "number": 5})
    database.items.update_one({"_id": 7}, {"$set": {"number": 9}})
    until(lambda: "last" in (found := site.indexed(namespace)) and "n:7" not in found, "the last changes")
    until(lambda: len(site.letters(database)) == 2, "both letters")
    letters = {each["id"]: each for each in site.letters(database)}
    assert letters.keys() == {"n:0", "later"}
    assert "ZeroDivisionError" in letters["later"]["reason"]
    until(lambda: worker.metric("penstock_changes_total", outcome="dead_lettered") == 2, "both are counted")


BLOCKED = {"index": {"blocks.read_only_allow_delete": True}}
FREE = {"index": {"blocks.read_only_allow_delete": None}}


@pytest.mark.parametrize("reason", ["blocked", "closed"])
def test_an_index_that_takes_nothing_is_waited_for_aloud(site, database, namespace, reason):
    site.settings(namespace)
    worker = site.start("run")
    worker.until_live()
    index = f"{site.index(namespace)}-g1"
    take_away, give_back = {
        "blocked": (("PUT", f"{index}/_settings", BLOCKED), ("PUT", f"{index}/_settings", FREE)),
        "closed": (("POST", f"{index}/_close"), ("POST", f"{index}/_open")),
    }[reason]
    assert site.ask(*take_away)["acknowledged"]
    database.items.update_many({}, {"$set": {"text": "second"}})
    worker.until_logged("waiting for the index", reason=reason)
    pipeline = until(lambda: (found := worker.health()["pipelines"][database.name])["waiting"] and found, "health")
    assert pipeline["waiting"] == "the index accepts no writes at present"
    assert worker.metric("penstock_waiting") == 1
    database.items.delete_many({"_id": {"$lt": 10}})
    assert site.ask(*give_back)["acknowledged"]
    site.until_equal(database, "items")
    worker.until_logged("the index accepts requests again")
    assert worker.metric("penstock_waiting") == 0
    assert site.letters(database) == []


def test_a_worker_that_waits_for_its_index_ends_when_it_is_told_to(site, database, namespace):
    site.settings(namespace)
    worker = site.start("run")
    worker.until_live()
    index = f"{site.index(namespace)}-g1"
    site.ask("PUT", f"{index}/_settings", BLOCKED)
    database.items.update_many({}, {"$set": {"text": "second"}})
    worker.until_logged("waiting for the index")
    worker.terminate()
    site.ask("PUT", f"{index}/_settings", FREE)
    worker = site.start("run")
    site.until_equal(database, "items")


def test_documents_and_events_of_16_mb_are_loaded_and_followed(site, database, namespace):
    room = LARGEST - len(encode({"_id": "", "text": "", "number": 0}))
    half, long_id = "x" * (room // 2), "an event repeats it" * 5000
    database.items.insert_one({"_id": "loaded", "text": half, "more": half[:-30], "number": 0})
    site.settings(namespace)
    worker = site.start("run")
    worker.until_live()
    database.items.update_one({"_id": "loaded"}, {"$set": {"number": 1}})
    database.items.insert_one({"_id": "0", "text": "y" * (room - 1), "number": 0})
    database.items.insert_one({"_id": "before", "text": "small"})
    database.items.insert_one({"_id": long_id, "text": "z" * (room - len(long_id)), "number": 0})
    database.items.insert_one({"_id": "after", "text": "small"})
    site.until_equal(database, "items")
    assert worker.lines("change stream reopens", reason="too_large")
    assert site.letters(database) == []


def test_a_document_that_the_index_refuses_is_a_dead_letter_with_the_reason(site, database, namespace):
    strict = {"dynamic": "strict", "properties": {"text": {"type": "text"}, "number": {"type": "long"}}}
    (site.folder / "mapping.json").write_text(json.dumps({"mappings": strict}))
    database.items.update_one({"_id": 3}, {"$set": {"unforeseen": Binary(b"\xff" * (LARGEST - 300))}})
    site.settings(namespace, mapping_file="mapping.json")
    worker = site.start("run")
    worker.until_live()
    database.items.update_one({"_id": 7}, {"$set": {"unforeseen": "secret"}})
    database.items.insert_one({"_id": "after", "text": "small"})
    until(lambda: "after" in site.indexed(namespace), "what came after it")
    until(lambda: len(site.letters(database)) == 2, "both letters")
    reasons = {each["id"]: each["reason"] for each in site.letters(database)}
    assert reasons.keys() == {"n:3", "n:7"}
    assert all("strict_dynamic_mapping_exception" in each for each in reasons.values())
    assert "secret" not in worker.errors


@pytest.fixture
def forgetful(tmp_path, sink_url, index_prefix):
    """A site whose source remembers only its last 50 changes."""
    with local_source(tmp_path, LocalSourceSettings(log_size=50)) as source:
        site = Site(tmp_path, source.uri, sink_url, index_prefix)
        yield site
        site.close()


def test_a_lost_position_is_told_and_healed_by_loading_again(forgetful, index_prefix):
    name = index_prefix.replace("-", "")
    with pymongo.MongoClient(forgetful.source_uri) as client:
        database = client[name]
        database.items.insert_many([{"_id": number, "text": "first"} for number in range(40)])
        forgetful.settings(f"{name}.items", pipeline={"on_position_lost": "stop"})
        assert forgetful.run("load").returncode == 0
        database.items.delete_many({"_id": {"$lt": 10}})
        for number in range(100):
            database.items.replace_one({"_id": 100 + number % 20}, {"number": number}, upsert=True)
        done = forgetful.run("run")
        assert done.returncode == 3
        assert f"no longer holds the position of {name}.items" in done.stderr
        assert f"penstock load --again {name}.items" in done.stderr
        done = forgetful.run("load", "--again")
        assert done.returncode == 0, done.stderr
        assert forgetful.differences(database, "items") == []
        worker = forgetful.start("run")
        worker.until_live()
        database.items.delete_one({"_id": 100})
        forgetful.until_equal(database, "items")


def test_a_source_that_is_away_for_a_moment_is_asked_again(site, database, namespace, source_client):
    with Proxy(source_client.primary) as proxy:
        uri = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true&serverSelectionTimeoutMS=500"
        site.settings(namespace, source={"uri": uri})
        worker = site.start("run")
        worker.until_live()
        database.items.drop()
        worker.until_logged("collection gone, documents kept")
        proxy.accepting = False
        proxy.cut()
        worker.until_logged("asking the source again")
        worker.until_logged("change stream reopens")
        database.items.insert_one({"_id": 7, "text": "second"})
        proxy.accepting = True
        site.until_equal(database, "items")
