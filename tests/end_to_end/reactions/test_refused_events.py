"""What a target refuses: dead letters, and the end of a reaction whose target refuses everything."""

import json

from testkit.receiver import Said, kinds_of
from testkit.workspace import until


def test_what_a_receiver_refuses_is_a_dead_letter_and_what_follows_goes_on(
    site, database, namespace, name, hook, webhook, started, penstock
):
    refuses = {"kind": "insert"}
    hook.plan = lambda posted: Said(422 if posted.event["data"]["kind"] == refuses["kind"] else 200)
    site.settings(namespace, reactions=[webhook(hook, tries=2)])
    worker = started(name)
    database.orders.insert_one({"_id": 1, "text": "of a document"})
    database.orders.update_one({"_id": 1}, {"$set": {"paid": True}})
    until(lambda: kinds_of(hook.of(1)) == ["update"], lambda: worker.errors)
    refused = [each.event["id"] for each in hook.posted if each.event["data"]["kind"] == "insert"]
    assert len(refused) == 2
    assert "of a document" not in worker.errors
    listed = json.loads(penstock("dead-letters", "list", "--reaction", name, "--json").stdout)
    assert [each["id"] for each in listed["letters"]] == [refused[0]]
    assert listed["letters"][0]["reason"].endswith("answered 422")
    everything = until(
        lambda: (found := json.loads(penstock("dead-letters", "list", "--json").stdout))["reactions"] and found,
        "the letter is counted",
    )
    assert (everything["total"], everything["reactions"]) == (0, {name: 1})
    shown = penstock("dead-letters", "show", namespace, refused[0], "--reaction", name, "--body")
    assert '"text":"of a document"' in shown.stdout

    assert penstock("dead-letters", "replay", "--reaction", name).returncode == 1
    refuses["kind"] = "none"
    replayed = penstock("dead-letters", "replay", "--reaction", name)
    assert replayed.returncode == 0, replayed.stderr
    assert hook.accepted[-1]["id"] == refused[0]
    assert hook.accepted[-1]["data"]["document"] == {"_id": 1, "text": "of a document"}
    assert json.loads(penstock("dead-letters", "list", "--reaction", name, "--json").stdout)["total"] == 0
    worker.terminate()


def test_dead_letters_of_a_reaction_can_be_dropped(site, database, namespace, name, hook, webhook, started, penstock):
    hook.plan = lambda _: Said(404)
    site.settings(namespace, reactions=[webhook(hook, tries=1)])
    worker = started(name)
    database.orders.insert_many([{"_id": number} for number in range(3)])
    until(lambda: worker.metric("penstock_reaction_events_total", reaction=name, outcome="dead_lettered") == 3, "3")
    worker.terminate()
    assert penstock("dead-letters", "drop", "--reaction", name).returncode == 2
    dropped = penstock("dead-letters", "drop", "--reaction", name, "--all", "--yes")
    assert dropped.stdout == "3 dead letters dropped\n"


def test_a_target_that_refuses_everything_stops_its_reaction_and_nothing_else(
    site, database, namespace, name, hook, webhook, started
):
    hook.plan = lambda _: Said(404)
    site.settings(namespace, reactions=[webhook(hook, tries=1)], pipeline={"dead_letter_limit": 5})
    worker = started(name)
    database.orders.insert_many([{"_id": number} for number in range(10)])
    until(lambda: worker.metric("penstock_reaction_stopped", reaction=name) == 1, worker.errors)
    reaction = worker.health()["reactions"][name]
    assert reaction["state"] == "stopped"
    assert "more than [pipeline] dead_letter_limit" in reaction["reason"]
    assert worker.health()["healthy"] is True
    database.orders.insert_one({"_id": "after"})
    site.until_equal(database, "orders")
    worker.terminate()
    assert site.reaction_state(name)["status"]["state"] == "stopped"
