"""`penstock explain`: each conclusion, on real servers."""

import datetime
import json
import signal
import threading

import pytest
from bson import Binary, Decimal128, ObjectId

from penstock.documents.document_id import document_id
from testkit.workspace import until

MAPPING = {"mappings": {"properties": {"customer": {"type": "object"}, "price": {"type": "double"}}}}
SHAPE = """
def shaped(document):
    if document.get("fail"):
        raise ValueError("secret")
    return None if document.get("hidden") else document
"""


@pytest.fixture
def namespace(site, database):
    database.items.insert_many([{"_id": number, "customer": {"name": "first"}, "n": number} for number in range(5)])
    database.items.insert_many([{"_id": "poison", "customer": "secret"}, {"_id": "fails", "fail": True}])
    database.items.insert_many([{"_id": "hidden", "hidden": True}, {"_id": "dear", "price": "free"}])
    (site.folder / "mapping.json").write_text(json.dumps(MAPPING))
    (site.folder / "explained_shapes.py").write_text(SHAPE)
    site.settings(f"{database.name}.items", mapping_file="mapping.json", function="explained_shapes:shaped")
    return f"{database.name}.items"


@pytest.fixture
def explained(penstock, namespace):
    """What the command concludes, as JSON, with the exit code that goes with it."""

    def explained(typed, *arguments):
        done = penstock("explain", namespace, typed, "--json", *arguments)
        found = json.loads(done.stdout)
        assert done.returncode == (0 if found["expected"] else 1)
        assert "secret" not in done.stdout
        return found

    return explained


@pytest.fixture
def loaded(penstock, namespace):
    done = penstock("load")
    assert done.returncode == 0, done.stderr


def test_what_was_never_loaded(explained, penstock, namespace):
    found = explained("n:1")
    assert (found["verdict"], found["index"], found["load"], found["worker"]) == ("not loaded", None, None, "waiting")
    assert "never loaded" in found["conclusion"]


def test_what_is_in_step_and_what_is_left_out_is_expected(explained, loaded, namespace, penstock):
    found = explained("n:1")
    assert (found["verdict"], found["worker"], found["load"]) == ("in step", "stopped", "live")
    assert found["fields"] == {"customer.name": {"state": "equal"}, "n": {"state": "equal"}}
    assert found["version"] >= found["position_time"]
    assert (explained("hidden")["verdict"], explained("nobody")["verdict"]) == ("left out", "absent")
    shown = penstock("explain", namespace, "n:1").stdout
    assert "fields       2 fields equal\n" in shown
    assert shown.endswith("The index holds the document as it is at the source.\n")


def test_what_was_refused_and_what_cannot_be_searched_by(explained, loaded, site, database, penstock, namespace):
    found = explained("poison")
    assert (found["verdict"], found["version"]) == ("dead letter", None)
    assert "object mapping for [customer]" in found["conclusion"]
    assert f"penstock dead-letters replay {namespace}" in found["conclusion"]
    found = explained("fails")
    assert (found["verdict"], found["transform"]) == ("dead letter", "refused")
    found = explained("dear")
    assert (found["verdict"], found["ignored"]) == ("ignored", ["price"])
    assert "cannot search it by price" in found["conclusion"]
    penstock("dead-letters", "drop", "--all", "--yes")
    assert "cannot be indexed (function explained_shapes:shaped raised ValueError" in explained("fails")["conclusion"]


def test_an_index_that_is_behind_a_worker_that_is_not_there(explained, loaded, site, database, penstock, namespace):
    database.items.update_one({"_id": 1}, {"$set": {"n": "new", "more": 1}, "$unset": {"customer": 1}})
    database.items.update_one({"_id": 2}, {"$set": {"hidden": True}})
    database.items.delete_one({"_id": 3})
    database.items.insert_one({"_id": "added"})
    found = explained("n:1")
    assert {path: each["state"] for path, each in found["fields"].items()} == {
        "customer.name": "extra",
        "more": "missing",
        "n": "differs",
    }
    whats = {
        "n:1": "in the index differs (customer.name, more, n)",
        "n:2": "The transform leaves the document out, but it is still in the index",
        "n:3": "deleted at the source but still in the index",
        "added": "at the source but not in the index",
    }
    for typed, what in whats.items():
        found = explained(typed)
        assert (found["verdict"], found["worker"]) == ("behind", "stopped")
        assert what in found["conclusion"]
        assert "no worker is running" in found["conclusion"]
    assert 'n              differs  "new"      1\n' in penstock("explain", namespace, "n:1", "--values").stdout
    site.start("run").until_live()
    until(lambda: explained("added")["verdict"] == "in step", "the worker has brought it")
    assert explained("n:3")["verdict"] == "absent"


def test_a_running_worker_may_still_bring_it_until_it_has_passed(explained, loaded, site, database):
    worker = site.start("run", "--pipeline-lease-s", "10")  # it outlives the pause
    worker.until_live()
    index = f"{site.index(f'{database.name}.items')}-g1"
    site.ask("POST", f"{index}/_update/n:1", {"doc": {"n": "by another hand"}})
    assert explained("n:1", "--wait", "0")["verdict"] == "behind"
    done = threading.Event()

    def write() -> None:
        number = 100
        while not done.wait(0.1):
            number += 1
            database.items.insert_one({"_id": number, "n": number})

    writing = threading.Thread(target=write)
    writing.start()
    try:
        found = explained("n:1", "--wait", "30")
    finally:
        done.set()
        writing.join()
    assert (found["verdict"], found["worker"]) == ("differs", "running")
    assert "it will not correct this" in found["conclusion"]
    worker.signal(signal.SIGSTOP)
    database.items.insert_one({"_id": "late"})
    waiting = threading.Timer(1, worker.signal, [signal.SIGCONT])
    waiting.start()
    assert explained("late", "--wait", "30")["verdict"] == "in step"


def test_settings_that_have_moved_on_and_collections_that_are_gone(explained, loaded, site, database, namespace):
    site.settings(namespace, mapping_file="mapping.json", exclude=["n"])
    found = explained("n:1")
    assert (found["verdict"], found["fields"]["n"]["state"]) == ("settings changed", "equal")
    assert f"penstock reindex {namespace}" in found["conclusion"]
    database.items.drop()
    assert explained("n:1")["verdict"] == "collection gone"


def test_ids_of_odd_types(explained, site, database, penstock, namespace):
    ids = [
        ObjectId(),
        "63eeb6e7d418cd98afb1c1d7",
        "n:7",
        "",
        "x" * 600,
        "ü\n",
        '{"a"',
        1.5,
        Decimal128("1.10"),
        None,
        True,
        datetime.datetime(2024, 1, 2, 3, 4, 5, 678000),
        Binary(b"\x01", 5),
        {"a": 1, "b": [1.0, None]},
    ]
    database.items.delete_many({})
    database.items.insert_many([{"_id": each} for each in ids])
    assert penstock("load").returncode == 0
    for each in ids:
        found = explained(document_id(each))
        assert (found["verdict"], found["id"]) == ("in step", document_id(each))
        if found["key"].startswith(("{", '"')):
            assert explained(found["key"])["id"] == document_id(each)
    hashed = document_id("y" * 600)
    done = penstock("explain", namespace, hashed)
    assert done.returncode == 2
    assert "is a hash" in done.stderr
    assert penstock("explain", "elsewhere.items", "a").returncode == 2
