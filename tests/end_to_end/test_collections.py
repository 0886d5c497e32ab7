"""Several databases and collections in one worker, and what becomes of them when the settings change."""

import re
import secrets
from dataclasses import replace

import pytest

from testkit.workspace import FAST


@pytest.fixture
def another(source_client):
    """A second database."""
    name = f"test_{secrets.token_hex(6)}"
    yield source_client[name]
    source_client.drop_database(name)


def fill(*collections, documents=50):
    for each in collections:
        each.insert_many([{"_id": number, "text": "first"} for number in range(documents)])


def edit(*collections):
    """Insert, update, replace and delete in each."""
    for each in collections:
        each.insert_one({"_id": secrets.token_hex(4), "text": "new"})
        each.update_many({"_id": {"$gte": 40}}, {"$set": {"text": secrets.token_hex(4)}})
        each.replace_one({"_id": each.find_one({"_id": {"$lt": 20}})["_id"]}, {"short": True})
        each.delete_one({"_id": each.find_one({"_id": {"$gte": 20, "$lt": 40}})["_id"]})


def names(database, *colls):
    return [f"{database.name}.{coll}" for coll in colls]


@pytest.mark.parametrize("cursor_per", ["database", "collection"])
def test_several_databases_and_collections_at_once(site, database, another, cursor_per):
    """Names that a server may take as patterns have cursors on their database, each one of its own too."""
    others = ("items", "with.dots", "a(1)", "b+{2}")
    every = [database.items, database.orders, *(another[each] for each in others)]
    fill(*every)
    site.settings(*names(database, "items", "orders"), *names(another, *others), source={"cursor_per": cursor_per})
    worker = site.start("run")
    worker.until_live()
    edit(*every)
    database.unwatched.insert_one({})
    site.until_equal(database, "items", "orders")
    site.until_equal(another, *others)
    assert len(worker.health()["pipelines"]) == (2 if cursor_per == "database" else 6)


def test_a_collection_that_is_added_later_is_loaded_and_the_others_go_on(site, database):
    fill(database.items, database.orders)
    site.settings(*names(database, "items"))
    assert site.run("load").returncode == 0
    edit(database.items, database.orders)
    site.settings(*names(database, "items", "orders"))
    worker = site.start("run")
    worker.until_live()
    assert [each["collection"] for each in worker.lines("load begins")] == names(database, "orders")
    site.until_equal(database, "items", "orders")
    edit(database.items, database.orders)
    site.until_equal(database, "items", "orders")


def test_a_collection_that_is_removed_and_added_again_is_reconciled(site, database):
    fill(database.items, database.orders)
    site.settings(*names(database, "items", "orders"))
    assert site.run("load").returncode == 0
    site.settings(*names(database, "items"))
    worker = site.start("run")
    worker.until_live()
    edit(database.orders, database.items)  # the orders first: the saved position is after them
    site.until_equal(database, "items")
    worker.terminate()
    assert site.differences(database, "orders")
    site.settings(*names(database, "items", "orders"))
    worker = site.start("run")
    site.until_equal(database, "items", "orders")
    worker.until_logged("load ends", swept=1)


def test_one_cursor_per_database_becomes_one_per_collection_and_back_without_a_loss(site, database):
    fill(database.items, database.orders)
    for cursor_per in ("database", "collection", "database"):
        site.settings(*names(database, "items", "orders"), source={"cursor_per": cursor_per})
        worker = site.start("run")
        site.until_equal(database, "items", "orders")
        edit(database.items, database.orders)
        site.until_equal(database, "items", "orders")
        worker.terminate()
        edit(database.items, database.orders)


def test_an_index_that_was_deleted_is_a_lost_position_until_it_is_loaded_again(site, database):
    fill(database.items, database.orders)
    site.settings(*names(database, "items", "orders"), pipeline={"on_position_lost": "stop"})
    assert site.run("load").returncode == 0
    name = site.index(f"{database.name}.items")
    site.ask("DELETE", f"{name}-g1")
    done = site.run("run")
    assert done.returncode == 3
    assert f"the index {name}-g1 was deleted by someone else" in done.stderr
    assert f"`penstock load --again {database.name}.items`" in done.stderr
    edit(database.items, database.orders)
    done = site.run("load", "--again", f"{database.name}.items")
    assert done.returncode == 0, done.stderr
    assert re.match(rf"{database.name}.items: 50 documents", done.stdout)
    worker = site.start("run")
    site.until_equal(database, "items", "orders")
    assert worker.metric("penstock_load_documents_total") == 0


def test_an_index_that_is_deleted_under_a_worker_ends_it_and_is_healed_by_loading_again(site, database):
    fill(database.items)
    site.settings(*names(database, "items"), pipeline={"on_position_lost": "stop"})
    worker = site.start("run", intervals=replace(FAST, indexes_s=60))  # a write finds it, and no look
    worker.until_live()
    name = site.index(f"{database.name}.items")
    site.ask("DELETE", f"{name}-g1")
    edit(database.items)
    assert worker.end() == 6
    assert f"{name}-g1-write" in worker.errors
    assert "penstock load --again" in worker.errors
    assert "error" in site.ask("GET", f"{name}-g1-write"), "the missing index was made by a write"
    assert site.run("run").returncode == 3
    assert site.run("load", "--again").returncode == 0
    assert site.differences(database, "items") == []


def test_loading_one_collection_again_does_not_disturb_the_others(site, database):
    fill(database.items, database.orders)
    site.settings(*names(database, "items", "orders"))
    assert site.run("load").returncode == 0
    edit(database.items, database.orders)
    site.ask(
        "POST", f"{site.index(names(database, 'orders')[0])}-g1/_delete_by_query?refresh", {"query": {"match_all": {}}}
    )
    position = site.state(database.name)["position"]
    done = site.run("load", "--again", f"{database.name}.orders")
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == names(database, "orders")
    assert site.state(database.name)["position"] == position
    assert site.differences(database, "orders") == []
    assert site.differences(database, "items")
    worker = site.start("run")
    site.until_equal(database, "items", "orders")
    assert worker.metric("penstock_load_documents_total") == 0


def test_a_load_beside_a_running_worker_is_told_to_stop_it_first(site, database):
    fill(database.items)
    site.settings(*names(database, "items"))
    worker = site.start("run")
    worker.until_live()
    load = site.start("load", "--again")
    assert load.end() == 7
    assert "is running pipeline" in load.errors
    worker.terminate()
    assert site.start("load", "--again").end() == 0
    assert site.differences(database, "items") == []
