"""What `check` refuses is refused at the start; what cannot be served yet is said, and the others are served."""

import json
import re
from contextlib import closing, contextmanager

import pytest
from pymongo import MongoClient

from penstock_tools.servers.opensearch import local_opensearch
from penstock_tools.servers.source import LocalSourceSettings, local_source
from testkit.workspace import Site, until


def fill(*collections):
    for each in collections:
        each.insert_many([{"_id": number} for number in range(5)])


def findings(site, *arguments):
    """What `check` says, by subject, and its exit code."""
    done = site.run("check", "--json", *arguments)
    return {each["subject"]: each for each in json.loads(done.stdout)}, done.returncode


def create_view(database):
    database.command("create", "seen", viewOn="items", pipeline=[])


def create_time_series(database):
    database.command("create", "seen", timeseries={"timeField": "at"})


@pytest.mark.parametrize(("create", "words"), [(create_view, "is a view"), (create_time_series, "is a time-series")])
def test_what_has_no_change_stream_is_refused_at_the_start_with_the_words_of_check(site, database, create, words):
    fill(database.items)
    create(database)
    name = f"{database.name}.seen"
    site.settings(name)
    found, code = findings(site)
    assert found[name]["verdict"] == "failure"
    assert words in found[name]["detail"]
    for command in ("run", "load"):
        done = site.run(command)
        assert done.returncode == code == 4
        assert f"{name} {found[name]['detail']}" in done.stderr
        assert found[name]["todo"] in done.stderr


def test_a_collection_that_became_a_view_counts_as_dropped_and_the_others_go_on(site, database):
    fill(database.items, database.orders)
    site.settings(f"{database.name}.items", f"{database.name}.orders")
    worker = site.start("run")
    worker.until_live()
    database.orders.drop()
    database.command("create", "orders", viewOn="items", pipeline=[])
    worker.until_logged("collection gone, documents kept", collection=f"{database.name}.orders")
    database.items.insert_one({"_id": "later"})
    site.until_equal(database, "items")
    worker.terminate()
    found, code = findings(site)
    assert (found[f"{database.name}.orders"]["verdict"], code) == ("warning", 0)
    worker = site.start("run")
    database.items.insert_one({"_id": "last"})
    site.until_equal(database, "items")


def test_collections_that_do_not_exist_yet_are_waited_for(site, database):
    fill(database.items)
    declared = [f"{database.name}.{each}" for each in ("items", "orders", "itms")]
    site.settings(*declared)
    found, code = findings(site)
    assert {each["verdict"] for name, each in found.items() if name in declared[1:]} == {"warning"}
    assert code == 0
    worker = site.start("run")
    worker.until_logged("collection is not served", collection=declared[1], reason="does not exist yet")
    line = worker.until_logged("collection is not served", collection=declared[2])
    assert line["heal"] == f"did you mean {declared[0]}?"
    site.until_equal(database, "items")
    assert worker.metric("penstock_collection_unserved") == 2
    assert worker.health()["unserved"].keys() == set(declared[1:])
    shown = " ".join(site.run("status").stdout.split())
    assert f"{declared[1]} is not served: does not exist yet" in shown
    fill(database.orders)
    site.until_equal(database, "items", "orders")
    until(lambda: worker.metric("penstock_collection_unserved") == 1, "the metric")
    assert reasons_in_status(site) == {declared[0]: None, declared[1]: None, declared[2]: "does not exist yet"}
    site.settings(*declared, pipeline={"name": "another"})
    assert set(reasons_in_status(site).values()) == {None}, "what another deployment cannot serve"


def reasons_in_status(site):
    return {each["namespace"]: each["unserved"] for each in json.loads(site.run("status", "--json").stdout)}


def test_on_a_fresh_database_the_worker_waits_and_is_healthy(site, database):
    site.settings(f"{database.name}.items")
    worker = site.start("run")
    worker.until_logged("collection is not served")
    assert worker.health()["healthy"]
    fill(database.items)
    site.until_equal(database, "items")
    until(lambda: worker.health()["healthy"] and worker.states() == {"live"}, worker.health)


def test_a_load_of_nothing_that_exists_is_an_error(site, database):
    fill(database.items)
    site.settings(f"{database.name}.items", f"{database.name}.itms")
    assert site.run("load").returncode == 0
    done = site.run("load", f"{database.name}.itms")
    assert done.returncode == 2
    assert f"{database.name}.itms does not exist yet" in done.stderr


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """An OpenSearch of this module, whose limits nobody else feels."""
    with local_opensearch(tmp_path_factory.mktemp("cluster")) as server:
        yield server


@pytest.fixture
def small(tmp_path, source_uri, cluster, index_prefix):
    with closing(Site(tmp_path, source_uri, cluster.url, index_prefix)) as site:
        yield site
        site.ask("DELETE", f"{index_prefix}*?expand_wildcards=all")


def limit(site, shards):
    setting = {"cluster.max_shards_per_node": shards}
    assert site.ask("PUT", "_cluster/settings", {"persistent": setting})["acknowledged"]


def open_shards(site):
    return site.ask("GET", "_cluster/health")["active_shards"]


@contextmanager
def full(site):
    """A cluster that takes no more shards than it has."""
    limit(site, open_shards(site))
    try:
        yield
    finally:
        limit(site, None)


def test_a_full_cluster_is_waited_for_and_the_other_collections_are_served(small, database):
    fill(database.items)
    small.settings(f"{database.name}.*", index=small.index(f"{database.name}.{{collection}}"))
    worker = small.start("run")
    worker.until_live()
    with full(small):
        fill(database.orders)
        line = worker.until_logged("collection is not served", collection=f"{database.name}.orders")
        assert "maximum shards open" in line["reason"]
        database.items.insert_one({"_id": "meanwhile"})
        small.until_equal(database, "items")
        assert f"{database.name}.orders is not served" in " ".join(small.run("status").stdout.split())
        found, code = findings(small)
        assert (found["create an index"]["verdict"], code) == ("warning", 0)
        assert "raise cluster.max_shards_per_node" in found["create an index"]["todo"]
        worker.terminate()
        worker = small.start("run")
        worker.until_logged("collection is not served", collection=f"{database.name}.orders")
        database.items.insert_one({"_id": "after the restart"})
        small.until_equal(database, "items")
    small.until_equal(database, "items", "orders")
    worker.until_logged("load ends", collection=f"{database.name}.orders")
    assert not worker.lines("will be loaded again")


def test_a_cluster_that_creates_no_indexes_is_waited_for(small, database):
    fill(database.items)
    small.settings(f"{database.name}.items")
    block = {"persistent": {"cluster.blocks.create_index": True}}
    assert small.ask("PUT", "_cluster/settings", block)["acknowledged"]
    try:
        worker = small.start("run")
        line = worker.until_logged("collection is not served")
        assert "create-index blocked" in line["reason"]
        assert findings(small)[1] == 0
    finally:
        small.ask("PUT", "_cluster/settings", {"persistent": {"cluster.blocks.create_index": None}})
    small.until_equal(database, "items")


def test_an_index_that_cannot_be_had_keeps_only_the_collection_of_the_pattern_from_being_served(site, database):
    fill(database.items)
    site.settings(f"{database.name}.*", index=site.index(f"{database.name}.{{collection}}"))
    worker = site.start("run")
    worker.until_live()
    taken = site.index(f"{database.name}.orders")
    site.ask("PUT", taken, {"settings": {"number_of_replicas": 0}})
    fill(database.orders)
    line = worker.until_logged("collection is not served", collection=f"{database.name}.orders")
    assert f"an index named {taken} already exists" in line["reason"]
    database.items.insert_one({"_id": "meanwhile"})
    site.until_equal(database, "items")
    worker.terminate()
    worker = site.start("run")
    worker.until_live()
    site.ask("DELETE", taken)
    site.until_equal(database, "items", "orders")


@pytest.mark.parametrize("aliased", [False, True])
def test_an_index_that_a_declared_collection_cannot_have_is_refused_with_the_words_of_check(site, database, aliased):
    fill(database.items)
    name, alias = f"{database.name}.items", site.index(f"{database.name}.items")
    other = {"aliases": {alias: {}}} if aliased else {}
    site.ask("PUT", f"{alias}-other" if aliased else alias, {"settings": {"number_of_replicas": 0}, **other})
    site.settings(name)
    found, code = findings(site)
    assert found[alias]["verdict"] == "failure"
    done = site.run("run")
    assert done.returncode == code == 2
    assert f"{name}: {found[alias]['detail']}. {found[alias]['todo']}" in done.stderr


def test_a_mapping_that_opensearch_refuses_ends_check_and_the_start_alike(site, database):
    fill(database.items)
    (site.folder / "mapping.json").write_text('{"mappings": {"properties": {"a": {"type": "nothing"}}}}')
    site.settings(f"{database.name}.items", mapping_file="mapping.json")
    done, code = site.run("run"), findings(site)[1]
    assert done.returncode == code == 2
    assert "No handler for type [nothing]" in done.stderr


def test_a_capped_collection_is_warned_of(site, database):
    database.create_collection("items", capped=True, size=4096, max=3)
    fill(database.items)
    site.settings(f"{database.name}.items")
    done = site.run("check")
    assert done.returncode == 0
    assert re.search(r"warning +source +\S+items: is capped", done.stdout)
    site.start("run").until_logged(
        "collection is capped: a document that it drops by itself causes no event and stays in the index"
    )


@pytest.mark.parametrize("served_before", [False, True])
def test_a_stream_that_was_never_enabled_and_stays_silent_is_refused(tmp_path, sink_url, index_prefix, served_before):
    settings = LocalSourceSettings(mode="documentdb-5.0", unenabled_streams="silent")
    name = index_prefix.replace("-", "_")
    with local_source(tmp_path, settings) as source, MongoClient(source.uri) as client:
        fill(client[name].items)
        enable = {"modifyChangeStreams": 1, "database": name, "collection": "items"}
        with closing(Site(tmp_path, source.uri, sink_url, index_prefix)) as site:
            site.settings(f"{name}.items")
            if served_before:
                client.admin.command({**enable, "enable": True})
                assert site.run("load").returncode == 0
                client.admin.command({**enable, "enable": False})
            found, code = findings(site)
            done = site.run("run")
            assert done.returncode == code == 4
            assert f"{name}.items {found[f'{name}.items']['detail']}" in done.stderr
            client.admin.command({**enable, "enable": True})
            site.start("run").until_live()


def test_rights_on_single_collections_suffice(tmp_path, sink_url, index_prefix):
    """The server refuses every list of collections, as it does without the right to list."""
    name = index_prefix.replace("-", "_")
    refuse = {"failCommands": ["listCollections", "replSetGetConfig"], "errorCode": 13}
    with local_source(tmp_path) as source, MongoClient(source.uri) as client:
        fill(client[name].items, client[name].orders)
        client.admin.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": refuse})
        with closing(Site(tmp_path, source.uri, sink_url, index_prefix)) as site:
            site.settings(f"{name}.items", f"{name}.orders", source={"cursor_per": "collection"})
            assert findings(site)[1] == 0
            worker = site.start("run")
            worker.until_live()
            client[name].items.update_one({"_id": 1}, {"$set": {"a": 1}})
            client[name].items.delete_one({"_id": 2})
            site.until_equal(client[name], "items", "orders")
            client[name].orders.drop()
            worker.until_logged("collection gone, documents kept", collection=f"{name}.orders")
            assert site.run("verify", f"{name}.items").returncode == 0
