"""What earlier versions left in OpenSearch: the present one reads it, and goes on where they stopped.

A recording holds collections that are served (by a function, renamed, found by a pattern, in a second generation), one
whose load was under way, one that was dropped, and a dead letter.
"""

import json
import re
import sys
from pathlib import Path

import pytest

import testkit.saved_state
from testkit.saved_state.restore import restore
from testkit.workspace import until

RECORDINGS = sorted(Path(testkit.saved_state.__file__).parent.glob("*.json"))
NEW_BEGINNINGS = [
    "will be loaded again",
    "position taken",
    "position lost",
    "the settings have changed since this index was created; it keeps its old settings until a reindex",
    "collection found by a pattern",
    "alias restored",
]


@pytest.fixture(params=RECORDINGS, ids=[each.stem for each in RECORDINGS])
def before(request, site, database):
    """The recording, as it was put back."""
    yield restore(request.param, site, database)
    database.client.drop_database(f"{database.name}_logs")
    sys.modules.pop("recorded_shapes", None)


@pytest.fixture
def logs(database):
    """The database whose collections a pattern stands for."""
    return database.client[f"{database.name}_logs"]


@pytest.fixture
def asked(penstock):
    """Run a command that prints JSON."""

    def asked(*arguments):
        done = penstock(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return asked


def held(site, index):
    """All documents of an index or alias."""
    site.ask("POST", f"{index}/_refresh")
    hits = site.ask("POST", f"{index}/_search", {"size": 10_000})["hits"]["hits"]
    return {hit["_id"]: hit["_source"] for hit in hits}


def uuids(site):
    described = site.ask("GET", f"{site.index('')}*/_settings")
    return {name: each["settings"]["index"]["uuid"] for name, each in described.items()}


def verdicts(done):
    """What verify says of each collection."""
    return dict(re.findall(r"^(\S+\.\w+) +(not \w+|\w+) ", done.stdout, re.MULTILINE))


def test_the_commands_read_it(site, database, logs, penstock, asked, before):
    shown = {each["namespace"]: each for each in asked("status")}
    assert shown.keys() == {f"{database.name}.{coll}" for coll in ("archive", "items", "late", "orders", "people")} | {
        f"{logs.name}.a",
        f"{logs.name}.b",
    }
    assert {each["state"] for each in shown.values()} == {"stopped"}
    assert {name: each["loaded"] for name, each in shown.items() if each["loaded"] != 1} == {
        f"{database.name}.late": 0.8
    }
    assert shown[f"{database.name}.people"]["renamed_to"] == f"{database.name}.persons"
    assert [each["role"] for each in shown[f"{database.name}.orders"]["generations"]] == ["kept", "serving"]
    assert [each["moved_on"] for each in shown.values()] == [[]] * 7

    (letter,) = asked("dead-letters", "list")["letters"]
    assert (letter["id"], letter["state"]) == ("poison", "open")
    body = asked("dead-letters", "show", f"{database.name}.items", "poison", "--body")["body"]
    assert body == '{"maker":"nobody","length":4,"title":"text"}'
    database.items.update_one({"_id": "poison"}, {"$set": {"maker": {"name": "second"}}})
    assert penstock("dead-letters", "replay").stdout == "1 dead letter, 1 in step now\n"
    assert held(site, site.index("items"))["poison"] == {"maker": {"name": "second"}, "length": 4, "title": "text"}
    assert site.letters(database) == []
    done = penstock("verify", f"{database.name}.items", f"{database.name}.people", f"{logs.name}.a")
    assert (done.returncode, set(verdicts(done).values())) == (0, {"equal"}), done.stdout


def test_a_worker_goes_on_where_it_stopped(site, database, logs, penstock, before):
    made = uuids(site)
    database.items.update_one({"_id": 3}, {"$set": {"text": "while nobody ran"}})
    database.items.delete_one({"_id": 4})
    database.persons.insert_one({"_id": 101, "text": "while nobody ran"})
    database.orders.delete_one({"_id": 5})
    logs.a.insert_one({"_id": 100, "text": "while nobody ran"})
    worker = site.start("run")
    ended = worker.until_logged("load ends", collection=f"{database.name}.late")
    assert ended["documents"] == 50, "the rest of 250"
    until(lambda: held(site, site.index("items")).get("n:3", {}).get("title") == "while nobody ran", "the update")
    until(lambda: "n:4" not in held(site, site.index("items")), "the delete")
    until(lambda: "n:101" in held(site, site.index("people")), "the insert under the new name")
    until(lambda: "n:100" in held(site, site.index("logs-a")), "the insert into what a pattern found")
    for number in (1, 2):
        until(lambda each=number: "n:5" not in held(site, site.index(f"orders-g{each}")), f"generation {number}")
    assert held(site, site.index("orders"))["n:100"] == {"text": "after the reindex"}
    assert [(each["collection"], each["phase"], each["resumed"]) for each in worker.lines("load begins")] == [
        (f"{database.name}.late", "loading", True)
    ]
    assert [each for each in NEW_BEGINNINGS if worker.lines(each)] == []

    assert len(held(site, site.index("archive"))) == 5, "kept while the collection is gone"
    database.archive.insert_one({"_id": 7, "text": "back"})
    until(lambda: held(site, site.index("archive")).keys() == {"n:7"}, "the dropped collection is back")
    done = penstock("reindex", f"{database.name}.orders", "--finish")
    assert done.returncode == 0, done.stderr
    assert made.keys() - uuids(site).keys() == {site.index("orders-g1")}
    done = penstock("verify", "--wait", "1")
    assert done.returncode == 8
    assert [name for name, verdict in verdicts(done).items() if verdict != "equal"] == [f"{database.name}.items"]
    assert f"{database.name}.items: 1 dead-lettered\n" in done.stdout
    worker.terminate()

    assert uuids(site).items() <= made.items(), "no index was made again"
    for name in (database.name, logs.name, f"generation/{site.index('orders-g2')}"):
        earlier, now = before["state"][f"pipeline/{name}"], site.state(name)
        assert now["epoch"] > earlier["epoch"]
        assert now["position"]["time"] > earlier["position"]["time"]
        assert now["lost"] == {}
