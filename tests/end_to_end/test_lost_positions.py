"""A position is lost, or an index is taken away: it is said, and healed while the worker runs and the index serves."""

import json
import re
import secrets
import signal
from contextlib import closing, contextmanager
from urllib.parse import quote

import pymongo
import pytest

from penstock.documents.document_id import document_id
from penstock_tools.servers.source import LocalSourceSettings, local_source
from testkit.workspace import Site, until

UNREADABLE = {"token": '{"_data": "no token of any server"}', "time": 0}


@pytest.fixture
def loaded(site, database):
    """Two collections of 300 documents, in the index."""
    for coll in ("items", "orders"):
        database[coll].insert_many([{"_id": number, "text": "first"} for number in range(300)])
    site.settings(f"{database.name}.items", f"{database.name}.orders")
    done = site.run("load", "--pipeline-lease-s", "60")  # its end releases the lease; a busy machine may stall for one
    assert done.returncode == 0, done.stderr
    return f"{database.name}.items"


def edit(collection):
    """What only a reload that also removes can make up for."""
    collection.delete_many({"_id": {"$lt": 50}})
    collection.update_many({"_id": {"$gte": 250}}, {"$set": {"text": "second"}})
    collection.insert_one({"_id": 300, "text": "new"})


def lose(site, database):
    """Make the saved position one that the source cannot go on from."""
    path = f"penstock-state/_update/{quote(f'pipeline/{database.name}', safe='')}"
    assert site.ask("POST", path, {"doc": {"position": UNREADABLE}})["result"] == "updated"


def reasons(worker):
    return [each["reason"] for each in worker.lines("position lost")]


def reloaded(worker):
    return {each["collection"] for each in worker.lines("load ends")}


def test_a_lost_position_is_said_everywhere_and_healed_while_the_index_serves(site, database, loaded):
    edit(database.items)
    lose(site, database)
    worker = site.start("run", "--pipeline-load-rate", "20")
    told = worker.until_logged("position lost", reason="history")
    assert told["level"] == "error"
    assert told["collections"] == [f"{database.name}.items", f"{database.name}.orders"]
    until(lambda: "history" in json.dumps(worker.health()), worker.health)
    assert worker.health()["healthy"], "a restart would not help"
    shown = json.loads(site.run("status", "--json").stdout)
    assert [each["state"] for each in shown] == ["reconciling"] * 2
    assert all(each["lost"].startswith("history") for each in shown)
    assert "position lost" in site.run("status").stdout
    assert len(site.indexed(loaded)) >= 300, "what was there is served meanwhile"
    assert worker.metric("penstock_positions_lost_total", reason="history") == 1
    worker.kill()
    database.orders.update_many({}, {"$set": {"text": "written during the heal"}})
    worker = site.start("run")
    site.until_equal(database, "items", "orders")
    worker.until_live()
    assert reasons(worker) == [], "it is lost once"
    until(lambda: "history" not in json.dumps(worker.health()), worker.health)
    assert [each["lost"] for each in json.loads(site.run("status", "--json").stdout)] == [None, None]
    worker.terminate()
    worker = site.start("run")
    worker.until_live()
    assert worker.metric("penstock_load_documents_total") == 0, "healed for good"


def test_where_the_policy_is_to_stop_a_lost_position_ends_the_worker(site, database, loaded):
    lose(site, database)
    done = site.run("run", "--pipeline-on-position-lost", "stop")
    assert done.returncode == 3
    assert f"penstock load --again {database.name}.items {database.name}.orders" in done.stderr


@contextmanager
def short_memory(tmp_path, sink_url, index_prefix, mode):
    """A source whose change log holds a hundred changes, with a collection `items`."""
    with (
        local_source(tmp_path, LocalSourceSettings(mode=mode, log_size=100)) as source,
        pymongo.MongoClient(source.uri) as client,
        closing(Site(tmp_path, source.uri, sink_url, index_prefix)) as site,
    ):
        if mode.startswith("documentdb"):
            client.admin.command({"modifyChangeStreams": 1, "database": "", "collection": "", "enable": True})
        database = client[f"test_{secrets.token_hex(6)}"]
        database.items.insert_many([{"_id": number, "text": "first"} for number in range(300)])
        yield site, database


@pytest.mark.parametrize("mode", ["mongodb-5.0", "mongodb-4.0", "documentdb-5.0", "documentdb-8.0"])
def test_a_stream_that_was_overtaken_while_it_ran_is_healed(tmp_path, sink_url, index_prefix, mode):
    """On MongoDB 4.0 a quiet stream learns of it only by the first later event."""
    with short_memory(tmp_path, sink_url, index_prefix, mode) as (site, database):
        site.settings(f"{database.name}.items")
        worker = site.start("run")
        worker.until_live()
        worker.signal(signal.SIGSTOP)
        edit(database.items)
        database.other.insert_many([{} for _ in range(300)])
        worker.signal(signal.SIGCONT)
        database.items.insert_one({"_id": "the first later event"})
        told = worker.until_logged("position lost", reason="history")
        assert told["since"].startswith("20")
        assert told["collections"] == [f"{database.name}.items"]
        site.until_equal(database, "items")
        until(lambda: len(worker.lines("load ends")) == 2, worker.errors)
        worker.terminate()


def delete(site, index):
    site.ask("DELETE", index)


def replace(site, index):
    """Put another index in its place that looks the same: as a restore does, or a tool that copies."""
    described = site.ask("GET", index)[index]
    site.ask("DELETE", index)
    site.ask("PUT", index, {name: described[name] for name in ("aliases", "mappings")})


@pytest.mark.parametrize(("harm", "reason"), [(delete, "index_deleted"), (replace, "index_replaced")])
def test_an_index_that_was_taken_away_while_no_worker_ran_is_loaded_anew(site, database, loaded, harm, reason):
    edit(database.orders)
    harm(site, f"{site.index(loaded)}-g1")
    worker = site.start("run")
    worker.until_logged("load ends", collection=loaded)
    site.until_equal(database, "items", "orders")
    assert reasons(worker) == [reason]
    assert worker.metric("penstock_positions_lost_total", reason=reason) == 1
    assert reloaded(worker) == {loaded}, "the other collection is followed as before"


@pytest.mark.parametrize("writing", [True, False], ids=["found by a write", "found by looking"])
@pytest.mark.parametrize("harm", [delete, replace])
def test_an_index_that_is_taken_away_under_a_worker_is_loaded_anew(site, database, loaded, harm, writing):
    worker = site.start("run")
    worker.until_live()
    harm(site, f"{site.index(loaded)}-g1")
    if writing:
        edit(database.items)
    edit(database.orders)
    worker.until_logged("load ends", collection=loaded)
    site.until_equal(database, "items", "orders")
    assert len(reasons(worker)) == 1
    assert reloaded(worker) == {loaded}
    worker.terminate()


def aliases(site, *actions):
    assert site.ask("POST", "_aliases", {"actions": list(actions)}).get("acknowledged")


@pytest.mark.parametrize("stopped", [True, False])
def test_an_alias_that_was_removed_is_given_back_and_nothing_is_loaded(site, database, loaded, stopped):
    name = site.index(loaded)
    worker = site.start("run")
    worker.until_live()
    if stopped:
        worker.terminate()
    aliases(
        site,
        {"remove": {"index": f"{name}-g1", "alias": f"{name}-g1-write"}},
        {"remove": {"index": f"{name}-g1", "alias": name}},
    )
    edit(database.items)
    worker = site.start("run") if stopped else worker
    worker.until_logged("alias restored", collection=loaded)
    site.until_equal(database, "items")
    worker.until_live()
    assert worker.metric("penstock_load_documents_total") == 0
    assert reasons(worker) == []


def test_an_alias_that_was_moved_comes_back_and_what_was_written_elsewhere_is_loaded_anew(site, database, loaded):
    name = site.index(loaded)
    worker = site.start("run")
    worker.until_live()
    site.ask("PUT", f"{name}-elsewhere")
    aliases(
        site,
        {"remove": {"index": f"{name}-g1", "alias": f"{name}-g1-write"}},
        {"add": {"index": f"{name}-elsewhere", "alias": f"{name}-g1-write"}},
    )
    edit(database.items)
    worker.until_logged("load ends", collection=loaded)
    site.until_equal(database, "items")
    assert reasons(worker) == ["alias_moved"]
    assert site.ask("GET", f"{name}-elsewhere/_alias")[f"{name}-elsewhere"]["aliases"] == {}


def test_a_read_alias_that_was_moved_is_told_and_left_to_whoever_moved_it(site, database, loaded):
    name = site.index(loaded)
    worker = site.start("run")
    worker.until_live()
    site.ask("PUT", f"{name}-elsewhere")

    def move(origin, target):
        aliases(
            site,
            {"remove": {"index": f"{name}-{origin}", "alias": name}},
            {"add": {"index": f"{name}-{target}", "alias": name}},
        )

    def told():
        found = {each["namespace"]: each for each in json.loads(site.run("status", "--json").stdout)}
        return found[loaded]["searched_in"], found[loaded]["state"]

    assert told() == (None, "live")
    move("g1", "elsewhere")
    line = worker.until_logged("the read alias points to another index", collection=loaded)
    assert line["level"] == "error"
    assert line["searched"] == [f"{name}-elsewhere"]
    assert worker.metric("penstock_searched_elsewhere") == 1
    assert told() == (f"{name}-elsewhere", "live")
    assert f"{name}-elsewhere, which penstock does not update" in site.run("status").stdout
    edit(database.items)
    move("elsewhere", "g1")
    site.until_equal(database, "items")
    worker.until_logged("the read alias points to the index again", collection=loaded)
    assert worker.metric("penstock_searched_elsewhere") == 0
    assert worker.metric("penstock_load_documents_total") == 0
    assert len(worker.lines("the read alias points to another index")) == 1
    assert len(worker.lines("took the lease")) == 1
    worker.terminate()


def test_state_that_was_deleted_under_a_worker_is_made_anew_and_everything_is_reconciled(site, database, loaded):
    worker = site.start("run")
    worker.until_live()
    edit(database.items)
    site.ask("DELETE", "penstock-state-v1")
    worker.until_logged("load ends", collection=loaded)
    edit(database.orders)
    site.until_equal(database, "items", "orders")
    worker.until_live()
    worker.terminate()


def test_state_that_was_deleted_while_a_later_generation_serves_is_told(site, database, loaded):
    site.settings(loaded)
    for flags in (("--force",), ("--finish",)):
        assert site.run("reindex", loaded, *flags).returncode == 0
    site.ask("DELETE", "penstock-state-v1")
    done = site.run("run")
    assert done.returncode == 6
    assert "penstock-state was deleted" in done.stderr


def ahead(site, namespace, number):
    """Let the index hold a document of a time that the source has yet to reach, as after its restore."""
    version = (1 << 63) - (1 << 32)
    path = f"{site.index(namespace)}-g1/_doc/{document_id(number)}?version={version}&version_type=external"
    assert site.ask("PUT", path, {"text": "of the future"})["result"] == "updated"


@pytest.mark.parametrize("command", [("run",), ("load", "--again")])
def test_an_index_that_is_ahead_of_its_source_is_a_systemic_fault(site, database, loaded, command):
    ahead(site, loaded, 7)
    database.items.update_one({"_id": 7}, {"$set": {"text": "second"}})
    done = site.run(*command)
    assert done.returncode == 6
    assert re.search(r"holds documents of 2\d{3}-.* the source was restored", done.stderr.replace("\n", " "))
    assert "penstock reindex --force" in done.stderr


def test_an_index_that_is_ahead_of_its_source_is_healed_by_a_new_one(site, database, loaded):
    site.settings(loaded)
    ahead(site, loaded, 7)
    database.items.delete_one({"_id": 7})
    assert site.run("run").returncode == 6
    done = site.run("reindex", loaded, "--force")
    assert done.returncode == 0, done.stderr
    assert site.differences(database, "items") == []
    assert site.run("reindex", loaded, "--finish").returncode == 0
    worker = site.start("run")
    database.items.insert_one({"_id": 7, "text": "new"})
    site.until_equal(database, "items")
    worker.until_live()
    assert worker.lines("a generation is not fed; the others go on") == []


@pytest.mark.parametrize("on_drop", ["keep", "empty"])
@pytest.mark.parametrize("cursor_per", ["database", "collection"])
def test_a_collection_dropped_and_made_again_while_no_worker_ran(site, database, on_drop, cursor_per):
    namespace = f"{database.name}.items"
    database.items.insert_many([{"_id": number, "text": "first"} for number in range(300)])
    site.settings(namespace, on_drop=on_drop, source={"cursor_per": cursor_per})
    worker = site.start("run")
    worker.until_live()
    worker.terminate()
    database.items.drop()
    database.items.insert_many([{"_id": number, "text": "second"} for number in range(200, 400)])
    worker = site.start("run")
    site.until_equal(database, "items")
    worker.until_live()
    database.items.delete_one({"_id": 399})
    site.until_equal(database, "items")
    assert reasons(worker) == []


def test_a_heartbeat_keeps_an_idle_position_within_the_change_log(tmp_path, sink_url, index_prefix):
    """On MongoDB 4.0 the position of a quiet stream does not move by itself."""
    with short_memory(tmp_path, sink_url, index_prefix, "mongodb-4.0") as (site, database):
        heartbeat = f"{database.name}.beats"
        site.settings(f"{database.name}.items", source={"heartbeat": heartbeat, "heartbeat_s": 1})
        worker = site.start("run", "--pipeline-checkpoint-every-s", "0")
        worker.until_live()
        for _ in range(3):
            database.other.insert_many([{} for _ in range(80)])
            before = site.state(database.name)["position"]["time"]
            until(lambda: site.state(database.name)["position"]["time"] > before, "the position moves")  # noqa: B023
        assert worker.metric("penstock_changes_total", outcome="control") >= 3
        worker.terminate()
        worker = site.start("run")
        worker.until_live()
        site.until_equal(database, "items")
        assert reasons(worker) == []
        assert worker.metric("penstock_load_documents_total") == 0
        assert database.beats.count_documents({}) == 1
        checked = site.run("check").stdout
        assert f"{heartbeat}: heartbeat: can be written" in checked
