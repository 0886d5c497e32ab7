"""Two workers on one pipeline, and restarts: who writes, and from where."""

import signal

import pytest

from workers import until


@pytest.fixture
def namespace(database):
    database.items.insert_many([{"_id": number, "text": "first"} for number in range(300)])
    return f"{database.name}.items"


@pytest.fixture
def pair(site, namespace):
    """Start a worker, and a second one that waits as its standby."""

    def pair(*flags, lease_s=1):
        site.settings(namespace, pipeline={"lease_s": lease_s})
        first = site.start("run", *flags)
        first.until_logged("took the lease")
        second = site.start("run")
        second.until_logged("standby: another worker holds the lease")
        return first, second

    return pair


def test_a_standby_takes_over_after_a_kill(site, database, pair):
    first, second = pair()
    first.until_live()
    first.kill()
    database.items.update_many({}, {"$set": {"text": "second"}})
    second.until_logged("took the lease")
    site.until_equal(database, "items")
    second.terminate()


def test_a_standby_takes_over_at_once_after_a_clean_end(site, database, pair):
    first, second = pair(lease_s=300)
    first.until_live()
    first.terminate()
    second.until_logged("took the lease")
    database.items.update_many({}, {"$set": {"text": "second"}})
    site.until_equal(database, "items")
    assert second.metric("penstock_load_documents_total") == 0
    second.terminate()


def test_a_worker_that_lost_its_lease_while_it_slept_writes_nothing_more(site, database, namespace, pair):
    first, second = pair()
    first.until_live()
    site.until_equal(database, "items")
    sent = first.metric("penstock_bulk_requests_total")
    first.signal(signal.SIGSTOP)
    second.until_logged("took the lease")
    database.items.update_many({}, {"$set": {"text": "second"}})
    site.until_equal(database, "items")
    first.signal(signal.SIGCONT)
    first.until_logged("lease lost")
    until(lambda: first.states() == {"standby"}, first.states)
    database.items.delete_many({"_id": {"$lt": 50}})
    site.until_equal(database, "items")
    assert first.metric("penstock_bulk_requests_total") == sent
    assert first.metric("penstock_lease_held") == 0
    second.terminate()
    first.until_live()
    database.items.insert_one({"_id": 7, "text": "third"})
    site.until_equal(database, "items")
    first.terminate()


def test_a_load_goes_over_to_the_standby(site, database, namespace, pair):
    first, second = pair("--pipeline-load-rate", "50")
    until(lambda: site.load_state(namespace)["position"], "the first position")
    first.signal(signal.SIGSTOP)
    second.until_live()
    site.until_equal(database, "items")
    assert 0 < second.metric("penstock_load_documents_total") < 300
    database.items.update_many({}, {"$set": {"text": "second"}})
    first.signal(signal.SIGCONT)
    first.until_logged("lease lost")
    until(lambda: first.states() == {"standby"}, first.states)
    site.until_equal(database, "items")
    assert first.lines("load ends") == []
    second.terminate()
    first.terminate()


def test_a_restart_reads_nothing_twice(site, database, namespace):
    site.settings(namespace)
    worker = site.start("run")
    worker.until_live()
    database.items.update_many({}, {"$set": {"text": "second"}})
    site.until_equal(database, "items")
    worker.terminate()
    worker = site.start("run")
    worker.until_live()
    database.items.update_one({"_id": 7}, {"$set": {"text": "third"}})
    site.until_equal(database, "items")
    until(lambda: worker.metric("penstock_changes_total"), "it is counted")
    assert worker.metric("penstock_changes_total", outcome="written") == 1
    assert worker.metric("penstock_changes_total") == 1
    assert worker.metric("penstock_load_documents_total") == 0
    worker.terminate()


def test_a_killed_worker_repeats_only_what_came_after_the_last_saved_position(site, database, namespace, source_client):
    site.settings(namespace, pipeline={"checkpoint_every_s": 0})
    worker = site.start("run")
    worker.until_live()
    database.items.update_many({}, {"$set": {"text": "second"}})
    now = source_client.admin.command("ping")["operationTime"]
    until(lambda: site.state(database.name)["position"]["time"] >= (now.time << 32) + now.inc, "the position is saved")
    worker.kill()
    database.items.update_one({"_id": 7}, {"$set": {"text": "third"}})
    worker = site.start("run")
    site.until_equal(database, "items")
    until(lambda: worker.metric("penstock_changes_total"), "it is counted")
    assert worker.metric("penstock_changes_total") == 1
    worker.terminate()


def test_the_position_of_an_idle_collection_moves_on(site, database, namespace, source_client):
    site.settings(namespace)
    worker = site.start("run")
    worker.until_live()
    before = site.state(database.name)["position"]["time"]
    database.another.insert_one({})
    until(lambda: site.state(database.name)["position"]["time"] > before, "the position moves on")
    assert worker.metric("penstock_changes_total", outcome="control") == 0
    worker.terminate()
