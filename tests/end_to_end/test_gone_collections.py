"""Collections are dropped, renamed and made again under a running worker, by both policies."""

import signal

import pytest

from testkit.workspace import until


@pytest.fixture
def live(site, database):
    """Start a worker on the collection `items` with 300 documents, by the policy asked for."""

    def live(on_drop, **more):
        database.items.insert_many([{"_id": number, "text": "first"} for number in range(300)])
        site.settings(f"{database.name}.items", on_drop=on_drop, **more)
        worker = site.start("run")
        worker.until_live()
        site.until_equal(database, "items")
        return worker

    return live


def kept(site, database):
    return len(site.indexed(f"{database.name}.items"))


@pytest.mark.parametrize("cursor_per", ["database", "collection"])
def test_a_dropped_collection_is_kept_until_it_is_back_and_then_reconciled(site, database, live, cursor_per):
    worker = live("keep", source={"cursor_per": cursor_per})
    database.items.drop()
    worker.until_logged("collection gone, documents kept", by="drop")
    assert kept(site, database) == 300
    database.items.insert_many([{"_id": number, "text": "second"} for number in range(290, 310)])
    worker.until_logged("load ends")
    site.until_equal(database, "items")
    database.items.update_one({"_id": 300}, {"$set": {"text": "third"}})
    site.until_equal(database, "items")
    assert site.letters(database) == []


def test_a_dropped_collection_is_emptied_where_that_is_the_policy(site, database, live):
    live("empty", source={"cursor_per": "collection"})
    database.items.drop()
    until(lambda: kept(site, database) == 0, lambda: f"no documents, but {kept(site, database)}")
    database.items.insert_many([{"_id": number, "text": "second"} for number in range(20)])
    site.until_equal(database, "items")


@pytest.mark.parametrize("on_drop", ["keep", "empty"])
def test_a_collection_dropped_and_made_again_at_once_ends_equal(site, database, live, on_drop):
    live(on_drop)
    for time in range(3):
        database.items.drop()
        database.items.insert_many([{"_id": number, "text": f"time {time}"} for number in range(time, 100, 3)])
    site.until_equal(database, "items")


@pytest.mark.parametrize("on_drop", ["keep", "empty"])
def test_a_dropped_database_ends_equal_when_it_is_back(site, database, live, on_drop):
    worker = live(on_drop)
    database.client.drop_database(database.name)
    worker.until_logged("collection gone, " + ("documents kept" if on_drop == "keep" else "index emptied"))
    until(lambda: kept(site, database) == (300 if on_drop == "keep" else 0), lambda: kept(site, database))
    database.items.insert_one({"_id": 7, "text": "second"})
    site.until_equal(database, "items")


@pytest.mark.parametrize(("on_drop", "cursor_per"), [("keep", "collection"), ("empty", "database")])
def test_a_renamed_collection_is_gone_until_it_is_renamed_back(site, database, live, on_drop, cursor_per):
    worker = live(on_drop, source={"cursor_per": cursor_per})
    database.items.rename("away")
    worker.until_logged("collection gone, " + ("documents kept" if on_drop == "keep" else "index emptied"))
    until(lambda: kept(site, database) == (300 if on_drop == "keep" else 0), lambda: kept(site, database))
    database.away.delete_many({"_id": {"$lt": 100}})
    database.away.update_one({"_id": 200}, {"$set": {"text": "changed while away"}})
    database.away.rename("items")
    site.until_equal(database, "items")
    database.items.delete_one({"_id": 250})
    site.until_equal(database, "items")


@pytest.mark.parametrize(("on_drop", "cursor_per"), [("keep", "collection"), ("empty", "database")])
def test_a_collection_renamed_onto_a_watched_one_replaces_it(site, database, live, on_drop, cursor_per):
    live(on_drop, source={"cursor_per": cursor_per})
    database.made.insert_many([{"_id": number, "text": "made elsewhere"} for number in range(200, 400)])
    database.made.rename("items", dropTarget=True)
    site.until_equal(database, "items")
    database.items.update_one({"_id": 399}, {"$set": {"text": "second"}})
    site.until_equal(database, "items")


@pytest.mark.parametrize("on_drop", ["keep", "empty"])
def test_a_collection_replaced_while_it_is_loaded_is_loaded_from_the_start(site, database, on_drop):
    database.items.insert_many([{"_id": number, "text": "first"} for number in range(1000)])
    database.made.insert_many([{"_id": number, "text": "made elsewhere"} for number in range(0, 2000, 20)])
    site.settings(f"{database.name}.items", on_drop=on_drop, pipeline={"load_rate": 200})
    worker = site.start("run")
    until(lambda: kept(site, database) >= 200, "the first 200 documents")
    database.made.rename("items", dropTarget=True)
    worker.until_logged("load interrupted")
    worker.until_logged("load ends")
    site.until_equal(database, "items")


@pytest.mark.parametrize("on_drop", ["keep", "empty"])
def test_a_collection_dropped_while_it_is_loaded(site, database, on_drop):
    database.items.insert_many([{"_id": number, "text": "first"} for number in range(1000)])
    site.settings(f"{database.name}.items", on_drop=on_drop, pipeline={"load_rate": 200})
    worker = site.start("run")
    until(lambda: kept(site, database) >= 200, "the first 200 documents")
    database.items.drop()
    worker.until_logged("collection gone, " + ("documents kept" if on_drop == "keep" else "index emptied"))
    worker.until_live()
    assert kept(site, database) >= 200 if on_drop == "keep" else kept(site, database) == 0
    database.items.insert_many([{"_id": number, "text": "second"} for number in range(0, 2000, 100)])
    site.until_equal(database, "items")


def test_loading_a_dropped_collection_again_keeps_its_documents(site, database, live):
    live("keep").terminate()
    database.items.drop()
    done = site.run("load", "--again")
    assert done.returncode == 0
    assert "collection gone, documents kept" in done.stderr
    assert kept(site, database) == 300
    database.items.insert_one({"_id": 7, "text": "second"})
    assert site.run("load").returncode == 0
    assert site.differences(database, "items") == []


def test_updates_of_documents_that_a_drop_took_away_delete_nothing_when_kept(site, database, live):
    worker = live("keep")
    worker.signal(signal.SIGSTOP)
    database.items.update_many({}, {"$set": {"text": "second"}})
    database.items.drop()
    worker.signal(signal.SIGCONT)
    worker.until_logged("collection gone, documents kept")
    assert kept(site, database) == 300


def test_a_collection_dropped_while_no_worker_runs_is_kept(site, database, live):
    live("keep").terminate()
    database.items.update_one({"_id": 7}, {"$set": {"text": "second"}})
    database.items.drop()
    worker = site.start("run")
    worker.until_logged("collection gone, documents kept")
    assert kept(site, database) == 300
    worker.terminate()
    database.items.insert_one({"_id": 7, "text": "third"})
    worker = site.start("run")
    site.until_equal(database, "items")
