"""What the commands say of reactions, and which settings they refuse."""

import json

from testkit.receiver import Said
from testkit.workspace import until


def test_status_and_check_show_reactions(site, database, namespace, name, hook, webhook, started, penstock):
    down = {"answers": 503}
    hook.plan = lambda _: Said(down["answers"])
    site.settings(namespace, reactions=[webhook(hook, tries=1)], pipeline={"dead_letter_limit": 0})
    assert penstock("status", "--reactions").stdout.splitlines()[1].split()[:3] == [name, "webhook", "waiting"]
    checked = penstock("check")
    assert checked.returncode == 0, checked.stdout
    assert f"reaction {name}" in checked.stdout
    assert "the webhook can be reached" in checked.stdout

    def status():
        (found,) = json.loads(penstock("status", "--reactions", "--json").stdout)
        return found

    worker = started(name)
    database.orders.insert_many([{"_id": number} for number in range(3)])
    found = until(lambda: (now := status())["pending"] == 3 and now["waiting_for"] and now, worker.errors)
    assert (found["state"], found["target"], found["dead_letters"]) == ("live", "webhook", 0)
    assert found["waiting_for"].endswith("answered 503")
    assert f"{name} waits for its target" in penstock("status").stdout
    down["answers"] = 400
    until(lambda: worker.metric("penstock_reaction_stopped", reaction=name) == 1, worker.errors)
    found = until(lambda: (now := status())["state"] == "stopped" and now["dead_letters"] and now, worker.errors)
    assert "more than [pipeline] dead_letter_limit" in found["reason"]
    worker.terminate()


def test_check_says_what_is_wrong_with_a_reaction(site, namespace, name, penstock):
    its = {"collections": [namespace], "target": "webhook", "secret": "s"}
    reactions = [
        {"name": "away", "url": "http://127.0.0.1:9/secret-path", **its},
        {"name": "plain", "url": "http://example.invalid/", **its},
        {"name": "nowhere", "url": "http://127.0.0.1:9/", **its, "collections": [f"{namespace}-not-there"]},
        {"name": "wrong", "url": "http://127.0.0.1:9/", **its, "where": {"$nor": []}},
    ]
    site.settings(namespace, reactions=reactions)
    checked = penstock("check")
    assert checked.returncode == 2
    assert "http://127.0.0.1:9 takes no connection" in checked.stdout
    assert "documents are sent to example.invalid without encryption" in checked.stdout
    assert f"{namespace}-not-there does not exist yet" in checked.stdout
    assert "$nor is not supported here" in checked.stdout
    assert "secret-path" not in checked.stdout + checked.stderr


def test_a_wrong_reaction_refuses_the_start(site, namespace, penstock):
    wrong = [
        {"name": "a", "collections": [namespace], "target": "function", "function": "nowhere:take"},
        {"name": "b", "collections": [namespace], "target": "webhook", "url": "http://127.0.0.1:1", "secret": "s"}
        | {"where": {"total": {"$regex": "1"}}},
    ]
    site.settings(namespace, reactions=wrong)
    ended = penstock("run")
    assert ended.returncode == 2
    assert "[[reactions]] a: reaction a: function nowhere:take: the module nowhere cannot be imported" in ended.stderr
    assert "[[reactions]] b: where: $regex is not supported here" in ended.stderr


def test_an_index_to_wait_for_must_be_declared(site, namespace, penstock, hook, webhook):
    site.settings(namespace, reactions=[webhook(hook, after_index=True, collections=[f"{namespace}-other"])])
    ended = penstock("run")
    assert ended.returncode == 2
    assert f"after_index = true needs a [[collections]] table for {namespace}-other" in ended.stderr
