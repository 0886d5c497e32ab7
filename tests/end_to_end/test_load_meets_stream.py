"""The load and the stream meet without a gap, however the load is slowed down, edited under, or interrupted."""

import random
import re
import signal

import pytest
from bson import json_util
from pymongo import WriteConcern

from testkit.workspace import until

DOCUMENTS = 1000


@pytest.fixture
def namespace(database):
    database.items.insert_many([{"_id": number, "text": "first"} for number in range(DOCUMENTS)])
    return f"{database.name}.items"


def edit(collection, number):
    """One edit of a document anywhere: before or behind the load's present place."""
    key = random.randrange(DOCUMENTS + 100)
    match number % 4:
        case 0:
            collection.update_one({"_id": key}, {"$set": {"text": f"edit {number}"}})
        case 1:
            collection.replace_one({"_id": key}, {"other": number})
        case 2:
            collection.delete_one({"_id": key})
        case _:
            collection.update_one({"_id": key}, {"$set": {"text": f"edit {number}"}}, upsert=True)


def test_edits_during_a_slow_load_all_arrive(site, database, namespace):
    site.settings(namespace, pipeline={"load_rate": 200})
    worker = site.start("run")
    worker.until_logged("load begins")
    edits, items = 0, database.items.with_options(write_concern=WriteConcern(1))
    while not worker.lines("load ends"):
        edit(items, edits)
        edits += 1
    assert edits > 30
    site.until_equal(database, "items")
    assert site.letters(database) == []


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_load_goes_on_where_it_was(site, database, namespace, how):
    site.settings(namespace, pipeline={"load_rate": 200, "checkpoint_every_s": 0})
    first = site.start("run")
    until(lambda: site.load_state(namespace)["position"], "the first position")
    first.kill() if how == signal.SIGKILL else first.terminate()
    for number in range(100):
        edit(database.items, number)
    reached = json_util.loads(site.load_state(namespace)["position"]["token"])["after"]
    left = database.items.count_documents({"_id": {"$gt": reached}})
    assert 0 < left < database.items.count_documents({})
    second = site.start("run", "--pipeline-load-rate", "100000")
    second.until_live()
    site.until_equal(database, "items")
    assert second.lines("load begins", resumed=True)
    assert second.metric("penstock_load_documents_total") == left


def test_edits_between_a_load_and_the_first_run_all_arrive(site, database, namespace):
    site.settings(namespace)
    done = site.run("load")
    assert re.search(rf": {DOCUMENTS:,} documents", done.stdout)
    for number in range(100):
        edit(database.items, number)
    assert site.differences(database, "items")
    worker = site.start("run")
    site.until_equal(database, "items")
    assert worker.metric("penstock_load_documents_total") == 0
