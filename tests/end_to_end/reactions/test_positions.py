"""Where a reaction begins, goes on and ends: starts, stops, standbys and lost positions."""

import signal
import threading
import time

from testkit.receiver import Said
from testkit.workspace import until


def test_a_reaction_may_begin_at_a_time(site, database, namespace, name, hook, webhook, started, source_client):
    def time_after_a_write():
        database.beats.insert_one({})
        return source_client.admin.command("ping")["operationTime"].as_datetime().replace(microsecond=0)

    first = time_after_a_write()  # the log must reach back to before the second that is named
    begin = until(lambda: (now := time_after_a_write()) > first and now, "the next second")
    database.orders.insert_one({"_id": "before"})
    site.settings(namespace, reactions=[webhook(hook, start=f"{begin:%Y-%m-%dT%H:%M:%SZ}")])
    worker = started(name)
    database.orders.insert_one({"_id": "after"})
    until(lambda: hook.of("before") and hook.of("after"), lambda: worker.errors)
    worker.terminate()


def test_a_clean_restart_repeats_nothing(site, database, namespace, name, hook, webhook, started):
    site.settings(namespace, reactions=[webhook(hook)], pipeline={"checkpoint_every_s": 600})
    worker = started(name)
    database.orders.insert_many([{"_id": number} for number in range(50)])
    until(lambda: len(hook.accepted) == 50, worker.errors)
    worker.terminate()
    database.orders.insert_one({"_id": "between"})
    worker = started(name)
    database.orders.insert_one({"_id": "after"})
    until(lambda: hook.of("after") and hook.of("between"), worker.errors)
    worker.terminate()
    assert len(hook.posted) == 52


def test_a_standby_takes_over_where_the_other_one_was(site, database, namespace, name, hook, webhook, started):
    site.settings(namespace, reactions=[webhook(hook)])
    first = started(name)
    second = site.start("run")
    second.until_logged("standby: another worker holds the lease", pipeline=f"reaction/{name}")
    database.orders.insert_one({"_id": 1})
    until(lambda: hook.of(1), first.errors)
    first.kill()
    database.orders.insert_one({"_id": 2})
    until(lambda: hook.of(2), lambda: second.errors)
    second.terminate()


def test_a_lost_position_stops_the_reaction_until_somebody_decides(
    site, database, namespace, name, hook, webhook, started, source_switch
):
    site.settings(namespace, reactions=[webhook(hook)])
    started(name).terminate()
    database.orders.insert_one({"_id": "lost"})
    source_switch(dropLogBefore=True)
    worker = site.start("run")
    until(lambda: worker.metric("penstock_reaction_stopped", reaction=name) == 1, worker.errors)
    assert 'set on_position_lost = "now"' in worker.health()["reactions"][name]["reason"]
    worker.until_live()
    site.until_equal(database, "orders")
    worker.terminate()

    site.settings(namespace, reactions=[webhook(hook, on_position_lost="now")])
    worker = site.start("run")
    worker.until_logged("changes were lost; the reaction goes on from now", reaction=name)
    worker.until_logged("a reaction begins", reaction=name)
    database.orders.insert_one({"_id": "new"})
    until(lambda: hook.of("new"), worker.errors)
    assert hook.of("lost") == []
    assert worker.metric("penstock_positions_lost_total", pipeline=f"reaction/{name}", reason="history") == 1
    worker.terminate()


def test_a_worker_that_lost_its_lease_while_it_slept_sends_nothing_more(
    site, database, namespace, name, hook, webhook, started
):
    answered = threading.Event()
    hook.plan = lambda _: Said(503, {}, after=answered)
    site.settings(namespace, reactions=[webhook(hook)])
    first = started(name)
    second = site.start("run")
    second.until_logged("standby: another worker holds the lease", pipeline=f"reaction/{name}")
    database.orders.insert_many([{"_id": number} for number in range(20)])
    until(lambda: len(hook.posted) == 4, lambda: first.errors)  # one for each thread, none of them about to send
    first.signal(signal.SIGSTOP)
    answered.set()
    second.until_logged("took the lease", pipeline=f"reaction/{name}")
    hook.plan = lambda _: Said()
    until(lambda: len(hook.accepted) == 20, lambda: second.errors)
    first.signal(signal.SIGCONT)
    first.until_logged("lease lost", reaction=name)
    assert len(hook.accepted) == 20
    assert first.metric("penstock_reaction_waiting", reaction=name) == 0, "it waits for nothing any more"
    second.terminate()
    first.terminate()


def test_a_stop_does_not_wait_for_a_receiver_that_does_not_answer(
    site, database, namespace, name, hook, webhook, started
):
    never = threading.Event()
    hook.plan = lambda _: Said(204, {}, after=never)
    site.settings(namespace, reactions=[webhook(hook, timeout_s=300)])
    worker = started(name)
    database.orders.insert_one({"_id": 1})
    until(lambda: hook.posted, worker.errors)
    began = time.monotonic()
    worker.terminate()
    assert time.monotonic() - began < 30
    never.set()
    hook.plan = lambda _: Said()
    worker = started(name)
    until(lambda: hook.of(1), worker.errors)
    worker.terminate()
    assert len({each.headers["webhook-id"] for each in hook.posted}) == 1
