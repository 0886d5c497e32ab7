"""Three collections, one sync function, two reactions: a state machine, and a webhook that is down for a while.

A fourth collection's changes come by a topic of Kafka.
"""

import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from pymongo.collection import Collection

from penstock.lambdas.environment import function_name
from penstock_tools.aws.deployment import WEBHOOK, Deployment, DeploymentSettings
from penstock_tools.aws.outlook import NEW_DOCUMENTS
from testkit.aws_deployment import AwsSite, eventually
from testkit.connect import Topics
from testkit.receiver import Posted, Receiver, Said, receiver

DOCUMENTS = 8
REACT = f"react-{WEBHOOK}"


@pytest.fixture(scope="module")
def hook() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, hook: Receiver) -> Iterator[AwsSite]:
    settings = DeploymentSettings(
        collections=3,
        kafka=True,
        reactions=True,
        webhook_url=hook.url,
        webhook_timeout_s=0.5,
        reaction_timeout_s=9,
        batch_window_s=0,
    )
    with Deployment(tmp_path_factory.mktemp("reacting"), settings) as deployment, closing(AwsSite(deployment)) as site:
        yield site


def test_each_collection_has_a_mapping_for_each_function(site: AwsSite) -> None:
    found = site.aws("list-event-source-mappings")["EventSourceMappings"]
    pairs = {
        (each["FunctionArn"].rpartition(":")[2], each["DocumentDBEventSourceConfig"]["CollectionName"])
        for each in found
    }
    collections = ["demo-collection", "demo-collection-2", "demo-collection-3"]
    functions = [function_name(each) for each in ("sync", f"react-{NEW_DOCUMENTS}", REACT)]
    assert pairs == {(function, each) for function in functions for each in collections}
    assert len(found) == 9


def test_a_webhook_that_is_down_loses_nothing_and_is_in_nobodys_way(site: AwsSite, hook: Receiver) -> None:
    never, phase = threading.Event(), {"answer": Said(500)}
    hook.plan = lambda _: phase["answer"]
    database = site.client[site.settings.database]
    names = [each.partition(".")[2] for each in site.settings.indexes]
    expected: dict[str, list[Any]] = {}

    def write(n: int) -> None:
        for name in names:
            for number in range(DOCUMENTS):
                kind = "insert" if n == 0 else "update"
                database[name].update_one({"_id": number}, {"$set": {"n": n}}, upsert=True)
                expected.setdefault(f"{database.name}.{name}/n:{number}", []).append((kind, n))

    write(0)
    log = site.deployment.log_of(REACT).read_text
    eventually(lambda: "answered 500" in log() and "NotGiven" in log())
    eventually(lambda: all(in_step(site, database[name]) for name in names))  # nobody else waits
    phase["answer"] = Said(429, {"retry-after": "1"})
    write(1)
    eventually(lambda: "answered 429" in log())
    phase["answer"] = Said(200, after=never)
    write(2)
    eventually(lambda: "gave no answer" in log())
    assert hook.accepted == []
    phase["answer"] = Said()
    never.set()
    eventually(lambda: {each["subject"] for each in list(hook.accepted)} == set(expected) and complete(hook, expected))
    for subject, changes in expected.items():
        its = list({each["id"]: each for each in hook.accepted if each["subject"] == subject}.values())
        assert [each["data"]["kind"] for each in its] == [kind for kind, _ in changes]
        versions = [int(each["id"].rpartition("/")[2]) for each in its]
        assert versions == sorted(set(versions))
    assert len({each["id"] for each in hook.accepted}) == sum(map(len, expected.values()))


def test_records_of_a_topic_bring_the_documents_that_they_name(site: AwsSite) -> None:
    kafka = site.deployment.platform.kafka
    assert kafka
    topics = Topics(kafka.bootstrap_servers)
    ((namespace, topic),) = site.settings.topics.items()
    collection = site.client[site.settings.database][namespace.partition(".")[2]]

    def name(number: int) -> None:
        topics.send(topic, b'{"_id": %d}' % number, None)

    for number in range(DOCUMENTS):
        collection.insert_one({"_id": number, "n": 0})
        name(number)
    eventually(lambda: in_step(site, collection))
    collection.delete_one({"_id": 0})
    collection.update_one({"_id": 1}, {"$set": {"n": 1}})
    name(0)
    name(1)
    eventually(lambda: in_step(site, collection))
    topics.until_applied(f"{function_name('sync')}.{topic}", topic)
    found = json.loads(site.penstock("status", "--json").stdout)
    assert {each["namespace"]: each["state"] for each in found}[namespace] == "mapped"


def complete(hook: Receiver, expected: dict[str, list[Any]]) -> bool:
    return len({each["id"] for each in list(hook.accepted)}) >= sum(map(len, expected.values()))


def in_step(site: AwsSite, collection: Collection) -> bool:
    index = site.settings.indexed[collection.full_name]
    if site.opensearch("POST", f"/{index}/_refresh") is None:
        return False
    hits = site.opensearch("POST", f"/{index}/_search", {"size": 100})["hits"]["hits"]
    return {hit["_id"]: hit["_source"]["n"] for hit in hits} == {
        f"n:{each['_id']}": each["n"] for each in collection.find()
    }


def test_the_state_machine_has_run_for_each_new_document_and_told_the_topic(site: AwsSite) -> None:
    outlook = site.deployment.outlook
    assert outlook
    told: dict[str, Any] = {}

    def all_told() -> bool:
        told.update({each["event"]: each for each in outlook.told()})
        return len(told) >= 3 * DOCUMENTS

    until = time.monotonic() + 200
    while not all_told():
        assert time.monotonic() < until, sorted(told)
        time.sleep(0.2)
    assert {(each["collection"], each["key"]["_id"]) for each in told.values()} == {
        (name, number) for name in site.settings.indexes for number in range(DOCUMENTS)
    }
    assert len(told) == 3 * DOCUMENTS


def test_the_requests_are_signed_with_the_secret_of_secrets_manager(site: AwsSite, hook: Receiver) -> None:
    secret = site.deployment.webhook_secret.encode()

    def signature(posted: Posted) -> str:
        signed = f"{posted.headers['webhook-id']}.{posted.headers['webhook-timestamp']}.".encode() + posted.body
        return f"v1,{base64.b64encode(hmac.digest(secret, signed, 'sha256')).decode()}"

    assert hook.posted
    assert all(each.headers["webhook-signature"] == signature(each) for each in hook.posted)


def test_an_operator_lists_replays_and_drops_what_a_target_refuses(site: AwsSite, hook: Receiver) -> None:
    """With the environment of the operations task, and the rights of its role."""
    database = site.client[site.settings.database]
    refuse = {"now": True}
    hook.plan = lambda posted: Said(422) if refuse["now"] and b"refused" in posted.body else Said()
    database["demo-collection"].insert_many([{"_id": name, "refused": True} for name in ("again", "never")])

    def letters() -> list[str]:
        listed = said(site, "dead-letters", "list", "--reaction", WEBHOOK, "--json")
        return sorted(each["id"] for each in json.loads(listed)["letters"])

    events = eventually(lambda: found if len(found := letters()) == 2 else None)
    collection = f"{database.name}.demo-collection"
    shown = said(site, "dead-letters", "show", "--reaction", WEBHOOK, collection, events[0])
    assert "answered 422" in shown
    site.penstock("dead-letters", "replay", "--reaction", WEBHOOK)
    assert letters() == events, "the target still refuses them"
    refuse["now"] = False
    before = len(hook.accepted)
    assert "2 accepted" in said(site, "dead-letters", "replay", "--reaction", WEBHOOK)
    assert sorted(each["id"] for each in hook.accepted[before:]) == events
    assert letters() == []
    refuse["now"] = True
    database["demo-collection"].update_one({"_id": "never"}, {"$set": {"n": 1}})
    eventually(letters)
    said(site, "dead-letters", "drop", "--reaction", WEBHOOK, "--all", "--yes")
    assert letters() == []


def test_the_task_sees_reactions_that_mappings_bring(site: AwsSite) -> None:
    status = json.loads(said(site, "status", "--reactions", "--json"))
    assert {each["name"]: each["state"] for each in status} == {NEW_DOCUMENTS: "mapped", WEBHOOK: "mapped"}
    found = json.loads(said(site, "check", "--json"))
    about = [each for each in found if "reaction " in each["subject"]]
    assert {each["verdict"] for each in about} == {"ok"}
    assert len([each for each in about if "change stream" in each["subject"]]) == 2 * len(site.settings.indexes)


def said(site: AwsSite, *words: str) -> str:
    done = site.penstock(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
