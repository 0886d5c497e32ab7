"""Two workers on one pipeline, and restarts: who writes, and from where."""

import signal
from urllib.parse import urlsplit

import pytest

from testkit.tcp_proxy import Proxy
from testkit.workspace import WITHIN_S, until


@pytest.fixture
def namespace(database):
    database.items.insert_many([{"_id": number, "text": "first"} for number in range(300)])
    return f"{database.name}.items"


@pytest.fixture
def pair(site, namespace):
    """Start a worker, and a second one that waits as its standby."""

    def pair(*flags, lease_s=3):
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
    first, second = pair("--pipeline-load-rate", "30")
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


@pytest.fixture
def asleep(site, database, namespace):
    """A worker that sleeps with a write on the wire, of a document that was written by its standby and deleted since.

    `forget`: the index no longer remembers the delete.
    """
    index = f"{site.index(namespace)}-g1"
    address = urlsplit(site.sink_url)
    with Proxy((address.hostname, address.port)) as proxy:

        def asleep(*, forget):
            site.settings(namespace)
            first = site.start("run", "--sink-url", f"http://127.0.0.1:{proxy.port}")
            first.until_live()
            proxy.hold = b'"_id":"late"'
            database.items.insert_one({"_id": "late"})
            assert proxy.held.wait(WITHIN_S)
            first.signal(signal.SIGSTOP)
            second = site.start("run")
            second.until_logged("took the lease")
            site.until_equal(database, "items")
            if forget:
                site.ask("PUT", f"{index}/_settings", {"index.gc_deletes": "100ms"})
            database.items.delete_one({"_id": "late"})
            site.until_equal(database, "items")
            if forget:
                until_forgotten(site, index)
            return first, proxy

        yield asleep


def until_forgotten(site, index):
    """Wait until the index takes an older state of a document that was deleted after all others."""

    def write(method, version):
        return site.ask(method, f"{index}/_doc/probe?version={version}&version_type=external&refresh", None or {})

    write("PUT", 1)
    write("DELETE", 3)
    until(lambda: "error" not in write("PUT", 2), "the delete is forgotten")
    write("DELETE", 3)


@pytest.mark.parametrize("forget", [False, True], ids=["remembered", "forgotten"])
def test_what_a_sleeping_worker_had_on_the_wire_is_refused_while_deletes_are_remembered(site, database, asleep, forget):
    """The second case shows what the first rests on: deletes are remembered longer than any request is under way."""
    first, proxy = asleep(forget=forget)
    proxy.release()
    assert proxy.answered.wait(WITHIN_S)
    assert site.differences(database, "items") == (["items: late is too much"] if forget else [])
    first.signal(signal.SIGCONT)
    first.until_logged("lease lost")


def test_a_worker_that_wakes_up_does_not_send_again_what_was_cut_off(site, database, asleep):
    """The renewal of its lease does not tell it, for it reaches nobody: its own clock must."""
    first, proxy = asleep(forget=True)
    proxy.hold, proxy.accepting = None, False
    proxy.cut()
    first.signal(signal.SIGCONT)
    first.until_logged("lease lost")
    proxy.accepting = True
    until(lambda: first.states() == {"standby"}, first.states)
    assert site.differences(database, "items") == []
    database.items.insert_one({"_id": "after"})
    site.until_equal(database, "items")


def test_the_wall_clocks_of_the_machines_do_not_matter(site, database, namespace):
    site.settings(namespace)
    first = site.start("run", clock_s=-86_400)
    first.until_live()
    second = site.start("run", clock_s=86_400)
    second.until_logged("standby: another worker holds the lease")
    began = site.state(database.name)
    until(lambda: site.state(database.name)["beat"] >= began["beat"] + 9, "three times of the lease")
    assert site.state(database.name)["owner"] == began["owner"]
    first.kill()
    database.items.update_many({}, {"$set": {"text": "second"}})
    second.until_logged("took the lease")
    site.until_equal(database, "items")
    second.kill()
    until(lambda: '"stopped"' in site.run("status", "--json").stdout, "status sees that nobody is there")


@pytest.fixture
def blocked(site):
    """Block an index; at the end of the test it is free in any case."""
    done = []

    def block(index, name):
        done.append((index, name))
        site.ask("PUT", f"{index}/_settings", {f"index.blocks.{name}": True})

    def free():
        for index, name in done:
            site.ask("PUT", f"{index}/_settings", {f"index.blocks.{name}": None})
        done.clear()

    block.free = free
    yield block
    free()


@pytest.mark.parametrize("name", ["write", "read_only_allow_delete"])
def test_a_lease_that_cannot_be_renewed_because_of_a_block_is_waited_for(site, database, namespace, blocked, name):
    site.settings(namespace)
    worker = site.start("run")
    worker.until_live()
    site.until_equal(database, "items")
    blocked("penstock-state", name)
    until(lambda: worker.metric("penstock_waits_total", reason="blocked") >= 7, "it waited for longer than the lease")
    sent = worker.metric("penstock_bulk_requests_total")
    database.items.update_many({}, {"$set": {"text": "second"}})
    until(lambda: worker.metric("penstock_waits_total", reason="blocked") >= 9, "it goes on waiting")
    assert worker.metric("penstock_bulk_requests_total") == sent
    blocked.free()
    site.until_equal(database, "items")
    worker.until_live()
    worker.terminate()


def test_a_data_index_that_is_read_only_for_longer_than_the_lease_is_waited_for(site, database, namespace, blocked):
    site.settings(namespace, pipeline={"lease_s": 3})
    worker = site.start("run")
    worker.until_live()
    site.until_equal(database, "items")
    blocked(f"{site.index(namespace)}-g1", "read_only_allow_delete")
    database.items.update_many({}, {"$set": {"text": "second"}})
    until(lambda: worker.metric("penstock_waiting") == 1, "it waits")
    began = site.state(database.name)["beat"]
    until(lambda: site.state(database.name)["beat"] >= began + 6, "two times of the lease")
    blocked.free()
    site.until_equal(database, "items")
    assert worker.lines("lease lost") == []
    assert site.letters(database) == []
    worker.terminate()
