"""Reactions that are given the document of before the change, from a source that keeps it."""

import json
import secrets
from collections.abc import Iterator
from contextlib import closing

import pymongo
import pytest

from penstock_tools.servers.source import LocalSourceSettings, local_source
from testkit.receiver import SECRET, Receiver, receiver
from testkit.workspace import Site, until

KEPT = {"changeStreamPreAndPostImages": {"enabled": True}}


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as hook:
        yield hook


@pytest.fixture
def keeping(tmp_path, sink_url, index_prefix):
    """A source of MongoDB 6.0 with `kept`, whose changes keep what was before, and `plain`."""
    with (
        local_source(tmp_path, LocalSourceSettings(mode="mongodb-6.0")) as source,
        pymongo.MongoClient(source.uri) as client,
        closing(Site(tmp_path, source.uri, sink_url, index_prefix)) as site,
    ):
        shop = client[f"own_{secrets.token_hex(4)}"]  # what another source has brought is kept by the database's name
        shop.create_collection("kept", **KEPT)
        shop.create_collection("plain")
        yield site, shop


def test_events_carry_the_document_of_before_and_its_deletes_meet_the_condition(keeping, hook, index_prefix):
    site, shop = keeping
    name = f"before-{index_prefix}".rstrip("-_").lower()[:60]
    site.settings(
        f"{shop.name}.plain",
        reactions=[
            {
                "name": name,
                "collections": [f"{shop.name}.kept", f"{shop.name}.plain"],
                "target": "webhook",
                "url": hook.url,
                "secret": SECRET,
                "before": True,
                "where": {"open": True},
            }
        ],
    )
    worker = site.start("run")
    until(lambda: site.reaction_state(name)["position"], lambda: worker.errors)
    worker.until_live()
    for number, is_open in ((1, True), (2, False)):
        shop.kept.insert_one({"_id": number, "open": is_open, "n": 0})
    shop.kept.update_one({"_id": 1}, {"$set": {"n": 1}})
    shop.kept.replace_one({"_id": 1}, {"open": True, "n": 2})
    shop.kept.delete_many({})
    shop.plain.insert_one({"_id": 3, "open": True})
    shop.plain.delete_one({"_id": 3})
    until(lambda: (len(hook.of(1)), len(hook.of(3))) == (4, 2), lambda: worker.errors)
    first = {"_id": 1, "open": True}
    assert [(each["data"]["kind"], each["data"]["before"]) for each in hook.of(1)] == [
        ("insert", None),
        ("update", {**first, "n": 0}),
        ("replace", {**first, "n": 1}),
        ("delete", {**first, "n": 2}),
    ]
    assert hook.of(2) == [], "its before-image does not meet the condition"
    plain = [(each["data"]["kind"], each["data"]["before"]) for each in hook.of(3)]
    assert plain == [("insert", None), ("delete", None)], "the source has not kept it"
    checked = json.loads(site.run("check", "--json").stdout)
    assert {each["verdict"] for each in checked if f"reaction {name}" in each["subject"]} == {"ok"}
    worker.terminate()


def test_the_source_refuses_a_stream_that_requires_what_was_not_kept(keeping):
    """As MongoDB documents it; `required` is never asked for by penstock."""
    _, shop = keeping
    with shop.watch(full_document_before_change="required") as stream:
        shop.kept.insert_one({"_id": 1})
        shop.kept.delete_one({"_id": 1})
        assert next(stream)["operationType"] == "insert"
        assert next(stream)["fullDocumentBeforeChange"] == {"_id": 1}
        shop.plain.insert_one({"_id": 1})
        assert next(stream)["operationType"] == "insert"
        shop.plain.delete_one({"_id": 1})
        with pytest.raises(pymongo.errors.OperationFailure, match="pre-image was not found"):
            next(stream)
    shop.command({"collMod": "kept", "changeStreamPreAndPostImages": {"enabled": False}})
    with shop.watch(full_document_before_change="whenAvailable") as stream:
        shop.kept.insert_one({"_id": 1})
        shop.kept.delete_one({"_id": 1})
        assert [next(stream).get("fullDocumentBeforeChange", "absent") for _ in range(2)] == ["absent", None]
