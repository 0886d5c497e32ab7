"""What targets are given: in order, at least once, with patience, never in the way."""

import json
import threading
import time

import pytest

from penstock_tools.servers.ports import free_ports
from testkit.receiver import Said, kinds_of, receiver
from testkit.workspace import until


def test_a_webhook_is_given_each_change_signed_and_in_order(site, database, namespace, name, hook, webhook, started):
    database.orders.insert_one({"_id": "before"})
    site.settings(namespace, reactions=[webhook(hook)])
    worker = started(name)
    for number in range(10):
        database.orders.insert_one({"_id": number, "total": 1})
    for _ in range(3):
        database.orders.update_many({"_id": {"$lt": 10}}, {"$inc": {"total": 1}})
    database.orders.delete_many({"_id": {"$lt": 10}})
    until(lambda: len(hook.accepted) == 50, lambda: f"50 events, not {len(hook.accepted)}:\n{worker.errors}")
    for number in range(10):
        assert kinds_of(hook.of(number)) == ["insert", "update", "update", "update", "delete"]
    event = hook.of(3)[0]
    assert event["specversion"] == "1.0"
    assert event["id"].startswith(f"{namespace}/n:3/")
    assert event["type"] == "penstock.document.insert"
    assert event["data"]["document"] == {"_id": 3, "total": 1}
    assert all(each.is_signed for each in hook.posted)
    assert hook.posted[0].headers["content-type"].startswith("application/cloudevents+json")
    assert hook.of("before") == []
    worker.terminate()


def test_a_webhook_that_is_down_is_waited_for_and_holds_up_nobody(
    site, database, namespace, name, hook, webhook, started
):
    down = {"answers": 503}
    hook.plan = lambda _: Said(down["answers"])
    with receiver() as other:
        another = f"other-{name}"
        site.settings(namespace, reactions=[webhook(hook), webhook(other, name=another)])
        worker = started(name, another)
        database.orders.insert_many([{"_id": number} for number in range(20)])
        until(lambda: worker.metric("penstock_reaction_waiting", reaction=name) == 1, worker.errors)
        until(lambda: len(other.accepted) == 20, "the other reaction goes on")
        site.until_equal(database, "orders")
        assert hook.accepted == []
        down["answers"] = 200
        until(lambda: len(hook.accepted) == 20, "the events come")
        until(lambda: worker.metric("penstock_reaction_waiting", reaction=name) == 0, "it waits no more")
        worker.terminate()


@pytest.mark.parametrize("answer", [500, 408, 425, 429])
def test_what_means_not_now_is_tried_again_with_the_same_id_and_never_a_dead_letter(
    site, database, namespace, name, hook, webhook, started, answer
):
    failures = iter([Said(answer)] * 6)
    hook.plan = lambda _: next(failures, Said())
    site.settings(namespace, reactions=[webhook(hook, tries=2)])
    worker = started(name)
    database.orders.insert_one({"_id": 1})
    database.orders.update_one({"_id": 1}, {"$set": {"paid": True}})
    until(lambda: len(hook.accepted) == 2, lambda: f"{len(hook.posted)} posted:\n{worker.errors}")
    assert kinds_of(hook.of(1)) == ["insert", "update"]
    assert [each.event["data"]["kind"] for each in hook.posted] == ["insert"] * 7 + ["update"]
    assert len({each.headers["webhook-id"] for each in hook.posted}) == 2
    assert worker.metric("penstock_reaction_events_total", reaction=name, outcome="dead_lettered") == 0
    worker.terminate()


def test_a_target_that_asks_to_be_left_alone_is(site, database, namespace, name, hook, webhook, started):
    """All requests of the reaction wait, not only the one that got this answer."""
    times = []
    answers = iter([Said(429, {"retry-after": "2"})])

    def plan(_):
        times.append(time.monotonic())
        return next(answers, Said())

    hook.plan = plan
    site.settings(namespace, reactions=[webhook(hook, in_flight=1)])
    worker = started(name)
    database.orders.insert_many([{"_id": number} for number in range(5)])
    until(lambda: len(hook.accepted) == 5, worker.errors)
    assert times[1] - times[0] >= 2
    worker.terminate()


def test_a_receiver_that_is_too_slow_is_given_the_event_again(site, database, namespace, name, hook, webhook, started):
    slow = threading.Event()
    hook.plan = lambda _: Said(204, {}, after=slow)
    site.settings(namespace, reactions=[webhook(hook, timeout_s=0.5)])
    worker = started(name)
    database.orders.insert_one({"_id": 1})
    until(lambda: len(hook.posted) >= 3, "it is posted again and again")
    assert worker.metric("penstock_reaction_waiting", reaction=name) == 1
    slow.set()
    until(lambda: hook.of(1), "it is accepted")
    assert len({each["id"] for each in hook.accepted}) == 1
    worker.terminate()


def test_a_receiver_that_comes_back_at_its_address_gets_everything_in_order(
    site, database, namespace, name, webhook, started
):
    port = free_ports(1)[0]
    with receiver(port) as first:
        site.settings(namespace, reactions=[webhook(first)])
        worker = started(name)
        database.orders.insert_one({"_id": 1})
        until(lambda: first.of(1), worker.errors)
    for _ in range(3):
        database.orders.update_one({"_id": 1}, {"$inc": {"n": 1}})
    until(lambda: "gave no answer" in worker.health()["reactions"][name]["waiting"], "it waits")
    assert worker.metric("penstock_reaction_waiting", reaction=name) == 1
    with receiver(port) as again:
        until(lambda: len(again.of(1)) == 3, worker.errors)
        versions = [int(each["id"].rpartition("/")[2]) for each in again.of(1)]
        assert versions == sorted(versions)
    worker.terminate()


def function(namespace, name, **more):
    return {"name": name, "collections": [namespace], "target": "function", "function": "given:take", **more}


def test_a_function_is_called_with_each_event(site, database, namespace, name, started, penstock):
    (site.folder / "given.py").write_text(
        "import json, pathlib\n"
        "def take(event):\n"
        "    kind, document = event['data']['kind'], event['data']['document']\n"
        "    if document and document.get('bad'):\n"
        "        raise ValueError(document)\n"
        "    away = pathlib.Path('away')\n"
        "    if away.exists():\n"
        "        raise ConnectionError('away')\n"
        "    with open('taken', 'a') as file:\n"
        "        file.write(json.dumps([kind, event['data']['key']['_id']]) + '\\n')\n"
    )
    taken = site.folder / "taken"
    site.settings(namespace, reactions=[function(namespace, name, in_flight=1, kinds=["insert", "delete"])])
    worker = started(name)
    (site.folder / "away").touch()
    database.orders.insert_one({"_id": 1})
    until(lambda: worker.metric("penstock_reaction_waiting", reaction=name) == 1, worker.errors)
    (site.folder / "away").unlink()
    database.orders.insert_one({"_id": 2, "bad": "secret text"})
    database.orders.update_one({"_id": 1}, {"$set": {"paid": True}})
    database.orders.delete_one({"_id": 1})
    until(lambda: taken.exists() and '["delete", 1]' in taken.read_text(), lambda: worker.errors)
    assert taken.read_text().splitlines() == ['["insert", 1]', '["delete", 1]']
    until(lambda: worker.lines("dead letter"), worker.errors)
    (letter,) = json.loads(penstock("dead-letters", "list", "--reaction", name, "--json").stdout)["letters"]
    assert letter["reason"] == "function given:take raised ValueError in line 5 of given.py"
    assert "secret text" not in worker.errors
    assert worker.metric("penstock_reaction_events_total", reaction=name, outcome="filtered") == 1
    worker.terminate()


def test_only_what_meets_the_condition_is_given(site, database, namespace, name, hook, webhook, started):
    where = {"status": "paid", "lines.price": {"$gt": 100}}
    site.settings(namespace, reactions=[webhook(hook, where=where, document=False)])
    worker = started(name)
    database.orders.insert_many(
        [
            {"_id": 1, "status": "open", "lines": [{"price": 500}]},
            {"_id": 2, "status": "paid", "lines": [{"price": 1}, {"price": 101.5}]},
            {"_id": 3, "status": "paid", "lines": []},
        ]
    )
    database.orders.delete_many({})
    until(lambda: len(hook.accepted) == 4, lambda: worker.errors)
    assert kinds_of(hook.of(2)) == ["insert", "delete"]
    assert kinds_of(hook.of(1)) == kinds_of(hook.of(3)) == ["delete"]  # nobody knows what they were
    assert all("document" not in each["data"] for each in hook.accepted)
    worker.terminate()


def test_before_images_are_asked_of_a_source_that_has_them(site, namespace, name, hook, webhook, source_client):
    if int(source_client.server_info()["version"].partition(".")[0]) >= 6:
        pytest.skip("this source has before-images")
    site.settings(namespace, reactions=[webhook(hook, before=True)])
    worker = site.start("run")
    until(lambda: worker.metric("penstock_reaction_stopped", reaction=name) == 1, worker.errors)
    assert "before = true needs MongoDB 6.0 or newer" in worker.health()["reactions"][name]["reason"]
    worker.terminate()


def test_the_next_event_of_a_document_waits_for_the_one_before_and_others_do_not(
    site, database, namespace, name, hook, webhook, started
):
    held = threading.Event()
    hook.plan = lambda posted: Said(after=held if posted.event["data"]["key"]["_id"] == 1 else None)
    site.settings(namespace, reactions=[webhook(hook, in_flight=4, timeout_s=60)])
    worker = started(name)
    for _ in range(5):
        database.orders.update_one({"_id": 1}, {"$inc": {"n": 1}}, upsert=True)
    database.orders.insert_many([{"_id": number} for number in range(2, 50)])
    until(lambda: len(hook.accepted) == 48, worker.errors)
    assert [each.event["data"]["key"]["_id"] for each in hook.posted].count(1) == 1
    saved = site.reaction_state(name)["position"]["time"]
    held.set()
    until(lambda: len(hook.of(1)) == 5, worker.errors)
    assert saved < int(hook.of(1)[0]["id"].split("/")[2])
    worker.terminate()


def test_an_event_after_the_index_is_found_by_a_search(site, database, namespace, name, hook, webhook, started):
    found = []

    def plan(posted):
        document = posted.event["data"]["key"]["_id"]
        hits = site.ask("POST", f"{site.index(namespace)}/_search", {"query": {"ids": {"values": [f"n:{document}"]}}})
        found.append(hits["hits"]["total"]["value"])
        return Said()

    hook.plan = plan
    site.settings(namespace, reactions=[webhook(hook, after_index=True)])
    worker = started(name)
    for number in range(5):
        database.orders.insert_one({"_id": number})
        until(lambda: len(found) == number + 1, lambda: worker.errors)  # noqa: B023 (called at once)
    assert found == [1] * 5
    worker.terminate()


def test_an_event_after_the_index_waits_for_an_index_that_takes_nothing(
    site, database, namespace, name, hook, webhook, started
):
    site.settings(namespace, reactions=[webhook(hook, after_index=True), webhook(hook, name=f"at-once-{name}")])
    worker = started(name, f"at-once-{name}")
    index = f"{site.index(namespace)}-g1"
    site.ask("PUT", f"{index}/_settings", {"index.blocks.write": True})
    try:
        database.orders.insert_one({"_id": 1})
        until(lambda: len(hook.accepted) == 1, "the other one does not wait")
        until(lambda: worker.metric("penstock_waits_total", reason="blocked") > 3, "the index is waited for")
        assert len(hook.accepted) == 1
    finally:
        site.ask("PUT", f"{index}/_settings", {"index.blocks.write": None})
    until(lambda: len(hook.accepted) == 2, lambda: worker.errors)
    worker.terminate()
