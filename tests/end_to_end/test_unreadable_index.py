"""An index that answers, but not for its documents: closed, or in need of a routing. It hides no other one."""

import json

import pytest

from testkit.workspace import Site, until

OBJECT = {"mappings": {"properties": {"customer": {"type": "object"}}}}


@pytest.fixture
def two(site: Site, database, penstock) -> tuple[str, str]:
    """Two collections with one dead letter each, the index of the first of which is closed."""
    (site.folder / "mapping.json").write_text(json.dumps(OBJECT))
    names = f"{database.name}.a", f"{database.name}.b"
    for coll in ("a", "b"):
        database[coll].insert_many([{"_id": 1, "customer": "poison"}, {"_id": 2, "customer": {"name": "x"}}])
    site.settings(*names, mapping_file="mapping.json")
    assert penstock("load").returncode == 0
    assert site.ask("POST", f"{site.index(names[0])}-g1/_close")["acknowledged"]
    return names


def test_a_closed_index_is_named_and_the_others_go_on(site: Site, database, penstock, two) -> None:
    closed, other = two
    told = f"the index {site.index(closed)}-g1 is closed. Open it, then try again."
    listed = penstock("dead-letters", "list", "--json")
    states = {each["collection"]: each["state"] for each in json.loads(listed.stdout)["letters"]}
    assert (listed.returncode, states) == (5, {closed: "unknown", other: "open"})
    assert told in listed.stderr
    assert penstock("dead-letters", "show", closed, "n:1").returncode == 0
    explained = penstock("explain", closed, "n:1")
    assert explained.returncode == 5
    assert told in explained.stderr
    verified = penstock("verify", "--wait", "0", "--json")
    assert verified.returncode == 5
    assert told in verified.stderr
    assert json.loads(verified.stdout.splitlines()[-1])["collection"] == other
    assert json.loads(penstock("status", "--json").stdout)[0]["ignored"] is None
    checked = json.loads(penstock("check", "--json").stdout)
    assert [each["subject"] for each in checked if each["verdict"] == "failure"] == [f"{site.index(closed)}-g1: state"]
    database.a.update_one({"_id": 1}, {"$set": {"customer": {}}})
    database.b.update_one({"_id": 1}, {"$set": {"customer": {}}})
    replayed = penstock("dead-letters", "replay")
    assert replayed.returncode == 1
    assert "2 dead letters, 1 in step now, 1 left as they are" in replayed.stdout
    assert site.ask("POST", f"{site.index(closed)}-g1/_open")["acknowledged"]
    until(lambda: len(site.indexed(closed)) == 1, "the index is open again")
    assert penstock("dead-letters", "replay").returncode == 0


def test_a_mapping_that_requires_a_routing_is_refused(site: Site, database, penstock) -> None:
    database.items.insert_one({"_id": 1})
    (site.folder / "mapping.json").write_text(json.dumps({"mappings": {"_routing": {"required": True}}}))
    site.settings(f"{database.name}.items", mapping_file="mapping.json")
    for command in ("load", "check"):
        done = penstock(command)
        assert done.returncode == 2
        assert "`_routing` is required" in done.stdout + done.stderr


def test_an_index_that_requires_a_routing_is_named(site: Site, database, penstock) -> None:
    """As an earlier version made it."""
    database.items.insert_one({"_id": 1})
    namespace = f"{database.name}.items"
    site.settings(namespace)
    assert penstock("load").returncode == 0
    index = f"{site.index(namespace)}-g1"
    made = site.ask("GET", index)[index]
    site.ask("DELETE", index)
    mappings = {**made["mappings"], "_routing": {"required": True}}
    assert site.ask("PUT", index, {"mappings": mappings, "aliases": made["aliases"]})["acknowledged"]
    for command in (["explain", namespace, "n:1"], ["verify", "--wait", "0"]):
        done = penstock(*command)
        assert done.returncode == 5
        assert "cannot be read by ids: routing_missing_exception" in done.stderr
