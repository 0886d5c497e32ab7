"""Collections that are renamed, and whose renames are followed: one index, in step under whatever name."""

import json

import pytest
from pymongo import MongoClient

from penstock_tools.servers.source import LocalSourceSettings, local_source
from testkit.workspace import until


def documents(*numbers, text="first"):
    return [{"_id": number, "text": text} for number in numbers]


@pytest.fixture
def live(site, database):
    """Start a worker that follows the collection `items`, of 300 documents."""

    def live(*others, **more):
        database.items.insert_many(documents(*range(300)))
        for each in others:
            database[each].insert_many(documents(*range(200, 400), text=each))
        site.settings(*(f"{database.name}.{each}" for each in ("items", *others)), **{"on_rename": "follow", **more})
        worker = site.start("run")
        worker.until_live()
        site.until_equal(database, "items", *others)
        return worker

    return live


def edit(collection, number):
    collection.update_one({"_id": number}, {"$set": {"text": f"changed as {collection.name}"}})
    collection.delete_one({"_id": number + 1})
    collection.insert_one({"_id": 1000 + number, "text": f"new in {collection.name}"})


def kept(site, database, coll="items"):
    return len(site.indexed(f"{database.name}.{coll}"))


@pytest.mark.parametrize(("on_drop", "cursor_per"), [("keep", "collection"), ("empty", "database")])
def test_a_renamed_collection_is_served_by_the_same_index_and_nothing_is_loaded_again(
    site, database, live, on_drop, cursor_per
):
    worker = live(on_drop=on_drop, source={"cursor_per": cursor_per})
    before = "items"
    for number, name in enumerate(["moved", "moved_on", "items", "moved"]):
        database[before].rename(name)
        edit(database[name], 10 * number)
        site.until_equal(database, name, served_as="items")
        before = name
    assert len(worker.lines("load begins")) == 1
    assert not worker.lines("collection gone, documents kept")
    assert not worker.lines("collection gone, index emptied")
    assert site.letters(database) == []


def test_a_rename_behind_a_long_stretch_of_the_log_is_not_taken_for_a_collection_that_is_gone(
    site, database, live, source_switch
):
    """A server that looks through its log answers many times with nothing; meanwhile the name is not there."""
    live().terminate()
    database["elsewhere"].insert_many(documents(*range(3000)))
    database["items"].rename("moved")
    edit(database.moved, 10)
    source_switch(eventsPerReply=20)
    worker = site.start("run")
    site.until_equal(database, "moved", served_as="items")
    assert not worker.lines("collection gone, documents kept")
    assert not worker.lines("load begins")


@pytest.mark.parametrize("cursor_per", ["database", "collection"])
def test_what_happens_while_no_worker_runs_goes_by_the_names_of_its_moment(site, database, live, cursor_per):
    live(source={"cursor_per": cursor_per}).terminate()
    database.moved.insert_many(documents(*range(500, 520), text="of another collection"))
    edit(database["items"], 10)
    database["items"].rename("moved", dropTarget=True)
    edit(database.moved, 20)
    database["items"].insert_many(documents(*range(600, 620), text="of another collection"))
    database.moved.rename("moved_on")
    edit(database.moved_on, 30)
    database.moved.insert_many(documents(*range(700, 720), text="of another collection"))
    worker = site.start("run")
    site.until_equal(database, "moved_on", served_as="items")
    worker.until_logged("another collection has the declared name of a renamed one, and is not indexed")
    assert not worker.lines("load begins")
    worker.terminate()
    edit(database.moved_on, 40)
    edit(database["items"], 601)
    site.start("run")
    site.until_equal(database, "moved_on", served_as="items")


@pytest.mark.parametrize("on_drop", ["keep", "empty"])
def test_the_declared_name_counts_again_when_the_renamed_collection_is_gone(site, database, live, on_drop):
    worker = live(on_drop=on_drop)
    database["items"].rename("moved")
    edit(database.moved, 10)
    site.until_equal(database, "moved", served_as="items")
    database["items"].insert_many(documents(*range(290, 310), text="in its place"))
    worker.until_logged("another collection has the declared name of a renamed one, and is not indexed")
    site.until_equal(database, "moved", served_as="items")
    database.moved.drop()
    site.until_equal(database, "items")
    database.moved.insert_many(documents(1, 2, text="of another collection"))
    edit(database["items"], 300)
    site.until_equal(database, "items")


def test_a_collection_that_is_gone_stays_dropped_until_the_declared_name_is_back(site, database, live):
    worker = live()
    database["items"].rename("moved")
    database.moved.drop()
    worker.until_logged("the renamed collection is gone, its declared name is followed again")
    until(lambda: worker.lines("collection gone, documents kept"), "gone")
    assert kept(site, database) == 300
    database["items"].insert_many(documents(*range(290, 310), text="second"))
    site.until_equal(database, "items")


def test_a_renamed_collection_that_another_one_is_renamed_onto_is_reconciled(site, database, live):
    live()
    database["items"].rename("moved")
    site.until_equal(database, "moved", served_as="items")
    database["items"].insert_many(documents(*range(290, 310), text="second"))
    database["items"].rename("moved", dropTarget=True)
    site.until_equal(database, "moved", served_as="items")
    edit(database.moved, 300)
    site.until_equal(database, "moved", served_as="items")


@pytest.mark.parametrize("on_drop", ["keep", "empty"])
def test_a_name_that_another_table_has_is_not_followed(site, database, live, on_drop):
    worker = live("others", on_drop=on_drop)
    database["items"].rename("others", dropTarget=True)
    site.until_equal(database, "others")
    worker.until_logged("collection gone, " + ("documents kept" if on_drop == "keep" else "index emptied"))
    assert kept(site, database) == (300 if on_drop == "keep" else 0)
    database["items"].insert_many(documents(1, 2, text="second"))
    site.until_equal(database, "items", "others")


def test_two_that_change_places_end_in_step_by_their_declared_names(site, database, live):
    live("others")
    database["items"].rename("between")
    database.others.rename("items")
    database.between.rename("others")
    edit(database["items"], 210)
    edit(database.others, 10)
    site.until_equal(database, "items", "others")


def test_a_rename_into_another_database_is_the_end_of_the_collection(site, database, live):
    worker = live()
    other = database.client[f"{database.name}_other"]
    database.client.admin.command("renameCollection", f"{database.name}.items", to=f"{other.name}.items")
    try:
        worker.until_logged("collection gone, documents kept")
    finally:
        database.client.drop_database(other.name)
    assert kept(site, database) == 300
    assert not worker.lines("collection renamed, its index is fed from the new name")


def test_a_collection_renamed_while_it_is_loaded_is_loaded_under_its_new_name(site, database):
    database["items"].insert_many(documents(*range(1000)))
    site.settings(f"{database.name}.items", on_rename="follow", pipeline={"load_rate": 200})
    worker = site.start("run")
    until(lambda: kept(site, database) >= 200, "the first 200 documents")
    database["items"].rename("moved")
    edit(database.moved, 10)
    worker.until_logged("collection renamed, its index is fed from the new name")
    worker.until_logged("load begins", phase="reconciling")
    site.until_equal(database, "moved", served_as="items")
    database.moved.delete_one({"_id": 999})
    site.until_equal(database, "moved", served_as="items")


def test_all_commands_take_the_declared_name_and_read_the_present_one(site, database, live):
    (site.folder / "mapping.json").write_text(MAPPING)
    worker = live(mapping_file="mapping.json")
    name, present = f"{database.name}.items", f"{database.name}.moved"
    database["items"].rename("moved")
    database.moved.update_one({"_id": 7}, {"$set": {"customer": "none"}})
    worker.until_logged("dead letter")
    assert site.letters(database)[0]["namespace"] == name
    worker.terminate()
    (line,) = json.loads(site.run("status", "--json").stdout)
    assert (line["namespace"], line["renamed_to"], line["documents_source"]) == (name, present, 300)
    assert f"{name}: was renamed; its index is fed from {present}" in site.run("status").stdout
    assert f"{name}: was renamed; its index is fed from {present}" in site.run("check").stdout
    explained = site.run("explain", name, "7").stdout
    assert "no collection" not in explained
    assert "dead letter" in explained
    assert "open" in site.run("dead-letters", "list", name).stdout
    database.moved.update_one({"_id": 7}, {"$set": {"customer": {"name": "some"}}})
    assert site.run("dead-letters", "replay", name).returncode == 0
    assert site.letters(database) == []
    assert site.run("verify", name).returncode == 0
    database.moved.delete_one({"_id": 8})
    assert site.run("verify", name, "--wait", "1").returncode == 8
    assert site.run("verify", name, "--wait", "1", "--repair").returncode == 0
    assert site.run("mapping", "suggest", name).returncode == 0
    database.moved.delete_one({"_id": 9})
    done = site.run("load", "--again", name)
    assert done.returncode == 0, done.stderr
    assert site.differences(database, "moved", served_as="items") == []


MAPPING = json.dumps({"mappings": {"properties": {"customer": {"type": "object"}}}})


def test_every_generation_follows_and_one_that_is_made_meanwhile_too(site, database, live):
    worker = live()
    database["items"].rename("moved")
    site.until_equal(database, "moved", served_as="items")
    name = f"{database.name}.items"
    done = site.run("reindex", name, "--force")
    assert done.returncode == 0, done.stderr
    database.moved.rename("moved_on")
    edit(database.moved_on, 10)
    site.until_equal(database, "moved_on", served_as="items")
    done = site.run("reindex", name, "--rollback")
    assert done.returncode == 0, done.stderr
    until(lambda: not site.differences(database, "moved_on", served_as="items"), "the first one is in step too")
    assert not worker.lines("collection gone, documents kept")


def test_a_rename_during_a_reindex_without_a_worker_begins_it_again(site, database, live):
    live(pipeline={"load_rate": 100}).terminate()
    name = f"{database.name}.items"
    reindexing = site.start("reindex", name, "--force")
    reindexing.until_logged("load begins")
    database["items"].rename("moved")
    edit(database.moved, 10)
    assert reindexing.end() == 0, reindexing.errors
    site.until_equal(database, "moved", served_as="items")


def test_documentdb_tells_of_no_renames_and_check_says_so(tmp_path_factory, site):
    with local_source(tmp_path_factory.mktemp("documentdb"), LocalSourceSettings(mode="documentdb-5.0")) as source:
        with MongoClient(source.uri) as client:
            client["unannounced"]["items"].insert_one({"_id": 1})
            enabled = {"database": "unannounced", "collection": "", "enable": True}
            client.admin.command({"modifyChangeStreams": 1, **enabled})
        site.source_uri = source.uri
        site.settings("unannounced.items", on_rename="follow")
        done = site.run("check")
        assert done.returncode == 0, done.stdout
        assert "DocumentDB emits no event for a rename" in " ".join(done.stdout.split())
