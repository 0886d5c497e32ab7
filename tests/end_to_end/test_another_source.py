"""Another source answers at the address, under the same replica set's name: nothing is written because of it."""

import json

import pymongo
import pytest

from penstock_tools.servers.source import local_source
from testkit.tcp_proxy import Proxy
from testkit.workspace import until

REFUSED, NOT_EQUAL = 6, 8
DOCUMENTS = 50
SAID = "but another one answers at the address: rs0"


@pytest.fixture(scope="module")
def second_uri(tmp_path_factory):
    with local_source(tmp_path_factory.mktemp("second")) as second:
        yield second.uri


@pytest.fixture
def second(second_uri, site, database):
    """The same database of another source; a worker has indexed a collection of the first one."""
    database.items.insert_many([{"_id": number, "text": "first"} for number in range(DOCUMENTS)])
    site.settings(f"{database.name}.items")
    with pymongo.MongoClient(second_uri) as client:
        second = client[database.name]
        second.items.insert_many([{"_id": number, "text": "second"} for number in range(3)])
        yield second
        client.drop_database(database.name)


@pytest.fixture
def moved(site, database, second, second_uri):
    """The settings name the second source, after a worker has indexed what the first one holds."""
    worker = site.start("run")
    worker.until_live()
    site.until_equal(database, "items")
    worker.terminate()
    indexed_until = time_of(database)
    until(lambda: time_of(second) > indexed_until, "a cluster time of the second source that is later")
    site.source_uri = second_uri
    site.settings(f"{database.name}.items")
    return second


def time_of(database):
    """The time of a write to a collection that nobody follows: the cluster time of its source from then on."""
    return database.command("insert", "others", documents=[{}])["operationTime"]


def record(site, namespace):
    """What is recorded of a collection."""
    found = site.ask("POST", "penstock-state/_mget", {"ids": [f"generations/{site.index(namespace)}"]})
    return found["docs"][0]["_source"]


def assert_refused(done):
    assert (done.returncode, SAID in done.stderr) == (REFUSED, True), done.stderr


def test_a_worker_refuses_it_until_all_is_loaded_again(site, database, moved, penstock):
    namespace = f"{database.name}.items"
    assert_refused(site.run("run"))
    assert_refused(penstock("load"))
    assert_refused(penstock("reindex", "--force", namespace))
    assert site.differences(database, "items") == []

    assert penstock("reindex", "--abandon", namespace).returncode == 0
    done = penstock("load", "--again")
    assert done.returncode == 0, done.stderr
    assert site.differences(moved, "items") == []
    worker = site.start("run")
    worker.until_live()
    moved.items.insert_one({"_id": "later"})
    site.until_equal(moved, "items")
    worker.terminate()


def test_two_sources_share_a_cluster_under_names_of_their_own(site, database, second, second_uri):
    """Their databases have the same name, and so have their collections."""
    namespace = f"{database.name}.items"
    first = site.start("run")
    first.until_live()
    site.source_uri = second_uri
    site.settings(namespace, index=site.index("other"))
    done = site.run("run")
    assert (done.returncode, "holds its lease and reads the source rs0" in done.stderr) == (2, True), done.stderr
    assert "[pipeline] name" in done.stderr
    site.settings(namespace, pipeline={"name": "second"})
    assert_refused(site.run("run"))  # the index is the first one's

    site.settings(namespace, pipeline={"name": "second"}, index=site.index("other"))
    other = site.start("run")
    other.until_live()
    until(lambda: site.ask("GET", f"{site.index('other')}/_count")["count"] == 3, "the second source's documents")
    site.until_equal(database, "items")
    first.terminate()
    other.terminate()


def test_a_repair_refuses_it(site, database, moved, penstock):
    assert_refused(penstock("verify", "--repair"))
    assert site.differences(database, "items") == []
    assert penstock("verify", "--wait", "0").returncode == NOT_EQUAL, "to compare with it is no harm"


def test_a_replay_of_dead_letters_refuses_it(site, database, second, second_uri, penstock):
    settings = {"max_fields": 50, "when_full": "dead-letter"}
    site.settings(f"{database.name}.items", **settings)
    database.items.insert_one({"_id": "wide", **{f"f{number}": 1 for number in range(100)}})
    worker = site.start("run")
    worker.until_live()
    until(lambda: site.letters(database), "a dead letter")
    worker.terminate()
    site.source_uri = second_uri
    site.settings(f"{database.name}.items", **settings)
    second.items.insert_one({"_id": "after the letter"})
    assert_refused(penstock("dead-letters", "replay"))
    assert len(site.letters(database)) == 1


def test_an_address_that_leads_elsewhere_while_a_worker_runs(site, database, second, source_uri, second_uri):
    places = [pymongo.uri_parser.parse_uri(uri)["nodelist"][0] for uri in (source_uri, second_uri)]
    with Proxy(places[0]) as tunnel:
        site.source_uri = f"mongodb://127.0.0.1:{tunnel.port}/?directConnection=true"
        site.settings(f"{database.name}.items")
        worker = site.start("run")
        worker.until_live()
        site.until_equal(database, "items")
        tunnel.upstream = places[1]
        second.items.insert_one({"_id": "of the second"})
        tunnel.cut()
        assert worker.end() == REFUSED, worker.errors
    assert SAID in worker.errors
    assert site.differences(database, "items") == []


def test_the_same_source_at_another_address_goes_on(site, database, source_uri):
    """So it does when all its collections were dropped and made again while nobody ran."""
    database.items.insert_one({"_id": 1})
    site.settings(f"{database.name}.items")
    worker = site.start("run")
    worker.until_live()
    worker.terminate()
    with Proxy(pymongo.uri_parser.parse_uri(source_uri)["nodelist"][0]) as tunnel:
        site.source_uri = f"mongodb://127.0.0.1:{tunnel.port}/?directConnection=true"
        site.settings(f"{database.name}.items")
        worker = site.start("run")
        worker.until_live()
        assert worker.metric("penstock_load_documents_total") == 0
        worker.terminate()
        database.items.drop()
        database.items.insert_one({"_id": "anew"})
        worker = site.start("run")
        site.until_equal(database, "items")
        worker.terminate()


def test_a_state_that_names_the_replica_set_alone_is_understood(site, database):
    """As earlier versions wrote it: whoever answers first after the upgrade is taken for its source."""
    namespace = f"{database.name}.items"
    database.items.insert_one({"_id": 1})
    site.settings(namespace)
    worker = site.start("run")
    worker.until_live()
    worker.terminate()
    state, recorded = site.state(database.name), record(site, namespace)
    seen = recorded.pop("source")
    state["source"] = {"identity": seen["identity"]}
    for state_id, document in (
        (f"pipeline/{database.name}", state),
        (f"generations/{site.index(namespace)}", recorded),
    ):
        site.bulk("penstock-state", [json.dumps({"index": {"_id": state_id}}), json.dumps(document)])
    worker = site.start("run")
    worker.until_live()
    worker.terminate()
    assert record(site, namespace)["source"] == seen
