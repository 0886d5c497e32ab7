"""What a load has read is in flight while its documents are deleted, and the index forgets these deletes.

OpenSearch does so when a shard starts again; here because the index is closed and opened.
"""

import json
import threading
from contextlib import contextmanager

import pytest

from faults.said import AWAY, OVERLOADED
from testkit.http_relay import relay
from testkit.workspace import WITHIN_S, until

DOCUMENTS = 300
LEASE_S = 60
"""Nothing here is about a lease that is lost on a slow machine, after which a load is resumed."""


@pytest.fixture
def namespace(database):
    database.items.insert_many([{"_id": number, "text": "as read"} for number in range(DOCUMENTS)])
    return f"{database.name}.items"


@pytest.fixture
def between(site):
    """A relay between the workers and the index; the site itself asks the index."""
    with relay(site.sink_url) as made:
        yield made


@contextmanager
def through(site, between):
    url, site.sink_url = site.sink_url, between.url
    yield
    site.sink_url = url


def is_load(asked):
    return "/_bulk" in asked.path and b'"as read"' in asked.body


def forget_deletes(site, database, namespace, worker):
    """Delete half of the documents; once the stream has written that, the index forgets it."""
    before = worker.metric("penstock_changes_total", outcome="written")
    deleted = database.items.delete_many({"_id": {"$gte": DOCUMENTS // 2}}).deleted_count
    until(
        lambda: worker.metric("penstock_changes_total", outcome="written") >= before + deleted,
        lambda: f"the deletes are written:\n{worker.errors}",
    )
    close_and_open(site, namespace)


def close_and_open(site, namespace):
    for what in ("_close", "_open"):
        site.ask("POST", f"{site.index(namespace)}-g1/{what}")


def test_what_was_refused_for_a_while_is_read_again(site, database, namespace, between):
    refusing = threading.Event()
    refusing.set()
    asked_again = []

    def plan(asked):
        if is_load(asked) and refusing.is_set():
            return OVERLOADED
        if is_load(asked):
            asked_again.append(asked.body.count(b'"as read"'))
        elif b"penstock-guard" in asked.body and b'"delete"' not in asked.body and refusing.is_set():
            return OVERLOADED
        return "pass"

    between.plan = plan
    with through(site, between):
        site.settings(namespace, pipeline={"lease_s": LEASE_S})
    worker = site.start("run")
    worker.until_logged("waiting for the index")
    forget_deletes(site, database, namespace, worker)
    assert len([each for each in between.asked if is_load(each)]) == 1, "what was read is sent once"
    refusing.clear()
    worker.until_live()
    site.until_equal(database, "items")
    assert asked_again == [DOCUMENTS // 2]


def hold_first_of_load(between):
    """Hold the first request of the load on its way; return the events that it is held, and that lets it go on."""
    held, released = threading.Event(), threading.Event()

    def plan(asked):
        if is_load(asked) and not held.is_set():
            held.set()
            released.wait(WITHIN_S)
        return "pass"

    between.plan = plan
    return held, released


def test_what_was_in_flight_is_found_and_removed(site, database, namespace, between):
    held, released = hold_first_of_load(between)
    with through(site, between):
        site.settings(namespace, pipeline={"lease_s": LEASE_S})
    worker = site.start("run")
    until(held.is_set, lambda: f"the load sends:\n{worker.errors}")
    forget_deletes(site, database, namespace, worker)
    released.set()
    worker.until_live()
    site.until_equal(database, "items")
    assert worker.lines("load ends", swept=DOCUMENTS // 2)


def test_a_load_that_an_earlier_version_began_is_looked_through(site, database, namespace):
    """It kept no note of the engines."""
    site.settings(namespace, pipeline={"load_rate": 100, "checkpoint_every_s": 0})
    first = site.start("run")
    until(lambda: site.load_state(namespace)["position"], "the first position")
    first.kill()
    state_id = f"load/{namespace}/{site.index(namespace)}-g1"
    state = site.load_state(namespace)
    assert state.pop("engines")
    site.bulk("penstock-state", [json.dumps({"index": {"_id": state_id}}), json.dumps(state)])
    site.bulk(f"{site.index(namespace)}-g1", [
        json.dumps({"index": {"_id": "n:1000", "version": 1, "version_type": "external_gte"}}), json.dumps({"n": 1}),
    ])  # fmt: skip
    second = site.start("run", "--pipeline-load-rate", "100000")
    second.until_live()
    assert second.lines("load ends", swept=1)
    site.until_equal(database, "items")


def test_a_load_without_an_interruption_looks_for_nothing(site, database, namespace):
    site.settings(namespace)
    worker = site.start("run")
    worker.until_live()
    assert not worker.lines("shards may have started during the load; looking for documents that were deleted")
    site.until_equal(database, "items")


@pytest.mark.parametrize("said", [AWAY, "cut"], ids=["503", "cut"])
def test_a_load_waits_for_an_ailing_cluster_and_reads_little(site, database, namespace, between, said):
    between.plan = lambda asked: said if "/_bulk" in asked.path and "penstock-" not in asked.path else "pass"
    with through(site, between):
        site.settings(namespace, pipeline={"lease_s": LEASE_S})
    worker = site.start("run")
    until(lambda: worker.metric("penstock_waits_total") >= 7, lambda: f"it waits:\n{worker.errors}")  # for 3 to 6 s
    assert worker.metric("penstock_waiting") == 1
    assert sum(is_load(each) for each in between.asked) <= 2
    assert worker.metric("penstock_load_documents_total") <= 2 * DOCUMENTS
    between.plan = lambda _: "pass"
    worker.until_live()
    site.until_equal(database, "items")
    assert worker.metric("penstock_waiting") == 0


@pytest.mark.parametrize("how", ["timed out", "killed"])
def test_what_arrives_after_the_load_is_found_too(site, database, namespace, between, how):
    """Who sent it had no answer for as long as it waited for one, and has read again meanwhile."""
    held, released = hold_first_of_load(between)
    with through(site, between):
        site.settings(namespace, pipeline={"lease_s": 1 if how == "killed" else LEASE_S})
    worker = site.start("run", "--sink-timeout-s", "3" if how == "timed out" else "60")
    until(held.is_set, lambda: f"the load sends:\n{worker.errors}")
    if how == "killed":
        worker.kill()
        free = {"doc": {"released": True}}  # nobody waits until its lease runs out
        assert "error" not in site.ask("POST", f"penstock-state/_update/pipeline%2F{database.name}", free)
        worker = site.start("run", "--pipeline-lease-s", str(LEASE_S))
    worker.until_logged("load ends", swept=0)
    forget_deletes(site, database, namespace, worker)
    released.set()
    said = "looked again for documents that were deleted"  # in one piece, or in two
    until(lambda: sum(each["swept"] for each in worker.lines(said)) == DOCUMENTS // 2, lambda: worker.errors)
    site.until_equal(database, "items")
