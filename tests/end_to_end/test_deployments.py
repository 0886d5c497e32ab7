"""Workers whose settings differ, on one cluster: what one does not feed, no other says that it is fed."""

import json

import pytest

from testkit.workspace import until

DOCUMENTS = 40
WRONG_SETTINGS = 2


@pytest.fixture
def names(database):
    """Two collections of one database."""
    for coll in ("a", "b"):
        database[coll].insert_many([{"_id": number, "text": coll} for number in range(DOCUMENTS)])
    return f"{database.name}.a", f"{database.name}.b"


@pytest.fixture
def first(site, names):
    """A worker that feeds the first of them."""
    site.settings(names[0])
    worker = site.start("run")
    worker.until_live()
    return worker


@pytest.fixture
def status(penstock):
    def status():
        return {each["namespace"]: each for each in json.loads(penstock("status", "--json").stdout)}

    return status


def loaded(worker):
    return worker.metric("penstock_load_documents_total")


def test_a_lease_that_is_held_for_other_collections_is_an_error(site, database, names, first, status, penstock):
    one, other = names
    site.settings(other)
    done = site.run("run")
    assert done.returncode == WRONG_SETTINGS, done.stderr
    assert f"holds its lease and feeds {one}, but these settings declare {other}" in done.stderr
    assert "[pipeline] name" in done.stderr

    shown = status()[other]
    assert (shown["state"], shown["lag_s"], shown["held_for"]) == ("waiting", None, one)
    assert f"{other} is not fed: a worker holds the lease of pipeline {database.name} for {one}" in (
        penstock("status").stdout
    )
    done = penstock("check", "--json")
    assert done.returncode == WRONG_SETTINGS, done.stdout
    (finding,) = [each for each in json.loads(done.stdout) if each["subject"] == f"{database.name}: lease"]
    assert (finding["verdict"], "[pipeline] name" in finding["todo"]) == ("failure", True)
    assert first.states() == {"live"}
    first.terminate()


def test_names_keep_deployments_apart(site, database, names, first, status):
    one, other = names
    site.settings(other, pipeline={"name": "second"})
    second = site.start("run")
    second.until_live()
    site.until_equal(database, "a", "b")
    shown = status()[other]
    assert (shown["state"], shown["held_for"], shown["pipeline"]) == ("live", None, f"second/{database.name}")
    second.terminate()
    first.terminate()

    for namespace, name in ((one, None), (other, "second")):
        site.settings(namespace, pipeline={"name": name} if name else {})
        again = site.start("run")
        again.until_live()
        assert loaded(again) == 0, "nothing is loaded again"
        again.terminate()


def test_an_index_is_fed_by_one_deployment(site, database, names, first):
    one, _ = names
    site.settings(one, pipeline={"name": "second"})
    done = site.run("run")
    assert done.returncode == WRONG_SETTINGS, done.stderr
    assert f"feeds the index {site.index(one)} under the lease of pipeline {database.name}." in done.stderr
    first.terminate()
    second = site.start("run")
    second.until_live()
    site.settings(one)
    assert site.run("run").returncode == WRONG_SETTINGS
    database.a.insert_one({"_id": "later"})
    site.until_equal(database, "a")
    second.kill()
    again = site.start("run")
    again.until_live()
    site.until_equal(database, "a")
    again.terminate()


def test_a_standby_that_declares_more_says_what_nobody_feeds_and_takes_over(site, database, names, first, status):
    one, other = names
    site.settings(one, other)
    second = site.start("run")
    line = second.until_logged("collections are not fed: another worker holds the lease for others")
    assert (line["level"], line["collections"]) == ("error", [other])
    wanted = {one: "standby", other: "not fed"}
    until(lambda: second.health()["pipelines"][database.name]["collections"] == wanted, second.health)
    until(lambda: first.health()["pipelines"][database.name]["collections"] == {one: "live"}, first.health)
    shown = until(lambda: (found := status())[one]["state"] == "live" and found, "the holder reports")
    assert shown[one]["held_for"] is None
    assert (shown[other]["state"], shown[other]["lag_s"], shown[other]["held_for"]) == ("waiting", None, one)

    first.terminate()
    second.until_live()
    site.until_equal(database, "a", "b")
    assert loaded(second) == DOCUMENTS, "only what was new is loaded"
    wanted = {one: "live", other: "live"}
    until(lambda: second.health()["pipelines"][database.name]["collections"] == wanted, second.health)
    assert {each["state"] for each in status().values()} == {"live"}
    second.terminate()


def test_a_worker_of_an_earlier_version_is_judged_by_its_indexes(site, database, names, first, status):
    """Its lease names no collections."""
    one, other = names
    first.terminate()
    document = site.state(database.name)
    del document["collections"]
    site.bulk("penstock-state", [json.dumps({"index": {"_id": f"pipeline/{database.name}"}}), json.dumps(document)])
    site.settings(one, other)
    shown = status()
    assert (shown[one]["state"], shown[other]["state"]) == ("stopped", "waiting")
    assert (shown[one]["lag_s"] is None, shown[other]["lag_s"]) == (False, None), "the position is one's alone"
    worker = site.start("run")
    worker.until_live()
    site.until_equal(database, "a", "b")
    assert loaded(worker) == DOCUMENTS
    worker.terminate()


def test_dead_letters_of_another_deployment_are_neither_shown_nor_dropped(site, database, penstock, status):
    """Both have the collection, each with an index of its own."""
    namespace, refusing = f"{database.name}.items", {"max_fields": 50, "when_full": "dead-letter"}
    database.items.insert_one({"_id": 1, **{f"f{number}": number for number in range(60)}})
    for name in ("one", "two"):
        site.settings(namespace, index=site.index(name), pipeline={"name": name}, **refusing)
        assert penstock("load").returncode == 0
        until(lambda: status()[namespace]["dead_letters"] == 1, "a dead letter of its own")
    assert len(json.loads(penstock("dead-letters", "list", "--json").stdout)["letters"]) == 1
    assert penstock("dead-letters", "drop", "--all", "--yes").returncode == 0
    until(lambda: status()[namespace]["dead_letters"] == 0, "no dead letter of its own")
    site.settings(namespace, index=site.index("one"), pipeline={"name": "one"}, **refusing)
    assert status()[namespace]["dead_letters"] == 1
