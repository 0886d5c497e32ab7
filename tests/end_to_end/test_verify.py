"""`penstock verify` as people run it: while they write and a worker follows, interrupted, and what it prints."""

import json
import random
import re
import signal
import threading
from contextlib import contextmanager

import pytest

from testkit.workspace import until

DOCUMENTS = 1500


@pytest.fixture
def namespace(database, site):
    database.items.insert_many([{"_id": number, "text": "first", "in": {"n": number}} for number in range(DOCUMENTS)])
    site.settings(f"{database.name}.items")
    return f"{database.name}.items"


@contextmanager
def edited(collection):
    """The collection is edited all the time, here and there."""
    over = threading.Event()

    def edit():
        number = 0
        while not over.wait(0.003):
            number += 1
            key = random.randrange(DOCUMENTS + 500)
            match number % 4:
                case 0:
                    collection.delete_one({"_id": key})
                case 1:
                    collection.replace_one({"_id": key}, {"other": number})
                case _:
                    collection.update_one({"_id": key}, {"$set": {"text": f"edit {number}"}}, upsert=True)

    thread = threading.Thread(target=edit)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def harm(site, database):
    """Delete, change and add documents of the index behind penstock's back; then the source's time goes on.

    What is deleted so has the version after the document's, and is written again with a later one alone.
    """
    index = f"{site.index(f'{database.name}.items')}-g1"
    lines = []
    for number in range(0, 300, 3):
        lines += [{"delete": {"_id": f"n:{number}"}}]
        lines += [{"index": {"_id": f"n:{number + 1}"}}, {"text": "wrong"}]
        lines += [{"index": {"_id": f"n:{number + 100_000}"}}, {"text": "nobody's"}]
    body = "".join(json.dumps(line) + "\n" for line in lines).encode()
    headers = {"content-type": "application/x-ndjson"}
    done = site._http.request("POST", f"{site.sink_url}/{index}/_bulk", body=body, headers=headers).json()
    assert len(done["items"]) == 300
    database.elsewhere.insert_many([{}, {}])


def verified(done):
    """The lines that a verify printed with --json: its findings, and the collection."""
    *findings, collection = [json.loads(line) for line in done.stdout.splitlines()]
    return findings, collection


def test_while_people_write_and_a_worker_follows_nothing_is_told_that_is_not_wrong(site, database, namespace):
    worker = site.start("run")
    worker.until_live()
    with edited(database.items):
        done = site.run("verify", "--json")
        assert (done.returncode, verified(done)[0]) == (0, []), done.stdout
        harm(site, database)
        done = site.run("verify", "--repair", "--wait", "8", "--json")
        findings, collection = verified(done)
        assert (done.returncode, collection["verdict"]) == (0, "equal"), done.stdout
        assert {each["finding"] for each in findings} == {"missing", "different", "too many"}
        assert all(each["repaired"] for each in findings)
        assert collection["too_many"] >= 100
        done = site.run("verify")
        assert done.returncode == 0, done.stdout
    site.until_equal(database, "items")


def test_what_it_prints_and_how_it_ends(site, database, namespace):
    missing = site.run("verify")
    assert (missing.returncode, "there is no index" in missing.stderr) == (2, True)
    site.run("load")
    harm(site, database)
    done = site.run("verify", "--wait", "0")
    assert done.returncode == 8
    assert f"{namespace}: 100 missing\n  n:0\n" in done.stdout
    assert "  n:1: in, text\n" in done.stdout
    assert "  and 80 more; --json lists all of them\n" in done.stdout
    head, row, memory = done.stdout.splitlines()[-3:]
    assert head.split()[:3] == ["collection", "verdict", "documents"]
    assert re.match(rf"{namespace} +not equal +1,500 +1,500 +1,300 +100 +100 +100 +0 +0 +0 +0 ", row), row
    assert re.fullmatch(r"peak memory \d+ MiB", memory)
    assert done.stderr.splitlines()[-1] == (
        f"error: {namespace}: source and index are not equal; run `penstock verify --repair` to correct the index."
    )
    one = site.run("verify", namespace, "--document", "n:1", "--document", "n:17", "--repair", "--wait", "0", "--json")
    findings, collection = verified(one)
    assert (one.returncode, [each["id"] for each in findings]) == (0, ["n:1"])
    assert (collection["documents"], collection["equal"], collection["repaired"]) == (2, 1, 1)
    assert site.run("verify", "--document", "n:1", "--sample", "5").returncode == 2
    (site.folder / "penstock.toml").unlink()  # the operations task of a deployment has none
    collection = {"namespace": namespace, "index": site.index(namespace)}
    environ = {
        "PENSTOCK_SOURCE_URI": site.source_uri,
        "PENSTOCK_SINK_URL": site.sink_url,
        "PENSTOCK_COLLECTIONS": json.dumps([collection]),
    }
    assert site.run("verify", "--repair", "--wait", "0", **environ).returncode == 0
    database.items.drop()
    done = site.run("verify", "--repair", **environ)
    assert (done.returncode, "the collection does not exist, and its index is kept" in done.stderr) == (8, True)


def test_stopped_with_ctrl_c_it_goes_on_where_it_was(site, database, namespace):
    site.run("load")
    harm(site, database)
    slow = site.start("verify", "--wait", "0", "--rate", "200")
    state_id = f"verify/{namespace}/{site.index(namespace)}-g1"
    until(lambda: site._state(state_id).get("progress"), "it has saved how far it has come")
    slow.signal(signal.SIGINT)
    assert slow.end() == 130
    assert "stopped; the next `penstock verify` resumes from here" in slow.errors
    saved = site._state(state_id)["progress"]
    assert 0 < saved["source"]["documents"] < DOCUMENTS
    done = site.run("verify", "--wait", "0", "--json")
    assert "verify resumes" in done.stderr
    findings, collection = verified(done)
    assert (collection["documents"], collection["missing"], collection["too_many"]) == (DOCUMENTS, 100, 100)
    assert {"missing", "different"} <= {each["finding"] for each in findings}
