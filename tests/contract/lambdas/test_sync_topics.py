"""The sync function behind an event source mapping of Kafka, on a real index, a real source and a real queue."""

import base64
import json
import os

import pytest
from bson import ObjectId, json_util

from penstock.delivery.topics.understanding import TopicRefused
from penstock.lambdas import clients
from penstock.model import version_of
from testkit.sink_access import ensure_state_index
from testkit.sync_function import AWAY, replay, settings_file, sync_function

PLACE = "partition 0, offset"
ARN = "arn:aws:kafka:us-east-1:123456789012:cluster/shop/751d2973-a626-431c-9d4e-d7975eb44dd7-2"


@pytest.fixture
def settings(site, database):
    """Writes the form of the topic `cdc.orders`."""

    def write(form="change-events"):
        site.settings(
            f"{database.name}.orders",
            f"{database.name}.others",
            topics=[{"topic": "cdc.orders", "collection": f"{database.name}.orders", "form": form}],
        )

    write()
    return write


@pytest.fixture
def function(monkeypatch, way, between, aws_url, source_uri, database, site, settings):
    """The function, whose settings are a file's; it reaches the index through the relay."""
    ensure_state_index(way)
    names = [f"{database.name}.{each}" for each in ("orders", "others")]
    with sync_function(
        monkeypatch,
        way,
        queues_url=aws_url,
        source_uri=source_uri,
        sink_url=between.url,
        namespace=names[0],
        alias=site.index(names[0]),
        **settings_file(site, names),
    ) as made:
        yield made


class Topic:
    """Makes envelopes; offsets rise."""

    def __init__(self, database, name="cdc.orders", offset=0):
        self.database, self.name, self.offset = database, name, offset

    def record(self, key, value):
        self.offset += 1
        parts = {"key": key, "value": value}
        texts = {name: base64.b64encode(each).decode() for name, each in parts.items() if each is not None}
        return {
            "topic": self.name,
            "partition": 0,
            "offset": self.offset,
            "timestamp": 1545084650987,
            "timestampType": "CREATE_TIME",
            "headers": [],
            **texts,
        }

    def event(self, operation, key, document=None, *, at, **more):
        """An event as MongoDB's connector writes it."""
        event = {
            "_id": {"_data": "82"},
            "operationType": operation,
            "clusterTime": {"$timestamp": {"t": at, "i": 1}},
            "ns": {"db": self.database.name, "coll": "orders"},
            "documentKey": {"_id": key},
            **({"fullDocument": {"_id": key, **document}} if document is not None else {}),
            **more,
        }
        return self.record(json_util.dumps({"_id": key}).encode(), json_util.dumps(event).encode())

    def key(self, key, value=b"{}"):
        return self.record(json_util.dumps({"_id": key}).encode(), value)


@pytest.fixture
def topic(database):
    return Topic(database)


def envelope(*records):
    by_partition = {}
    for each in records:
        by_partition.setdefault(f"{each['topic']}-{each['partition']}", []).append(each)
    return {"eventSource": "aws:kafka", "eventSourceArn": ARN, "bootstrapServers": "b-1:9098", "records": by_partition}


def test_events_of_a_topic_are_applied(function, topic):
    oid = ObjectId()
    said = function.call_raw(
        envelope(
            topic.event("insert", oid, {"n": 1}, at=100),
            topic.event("insert", "a", {"n": 1}, at=101),
            topic.event("update", "a", {"n": 2}, at=102),
            topic.event("insert", "absent", {"n": 1}, at=103),
            topic.event("delete", "absent", at=104),
        )
    )
    assert function.indexed() == {str(oid): {"n": 1}, "a": {"n": 2}}
    assert said.pop("LagSeconds") > 0
    assert said == {
        "Read": 5, "Written": 3, "Folded": 2, "Superseded": 0, "Filtered": 0, "DeadLettered": 0, "Control": 0,
        "Parked": 0, "SystemicFaults": 0, "Unreconciled": 0,
    }  # fmt: skip


def test_a_batch_that_comes_again_or_out_of_order_changes_nothing(function, topic):
    old, new = topic.event("insert", "a", {"n": 1}, at=100), topic.event("update", "a", {"n": 2}, at=101)
    function.call_raw(envelope(old, new))
    said = function.call_raw(envelope(old))
    assert (said["Superseded"], function.indexed()) == (1, {"a": {"n": 2}})
    function.call_raw(
        envelope(topic.event("update", "a", {"n": 3}, at=103), topic.event("update", "a", {"n": 0}, at=102))
    )
    assert function.indexed() == {"a": {"n": 3}}


def test_keys_are_looked_up(function, topic, settings, database):
    settings("keys")
    database.orders.insert_many([{"_id": "found", "n": 5}, {"_id": 7, "n": 7}])
    said = function.call_raw(
        envelope(topic.key("found"), topic.key(7), topic.key("absent"), topic.key("found", None), topic.key("found"))
    )
    assert function.indexed() == {"found": {"n": 5}, "n:7": {"n": 7}}
    assert (said["Read"], said["Written"], said["Folded"]) == (6, 4, 2)  # 7 may be a date too
    database.orders.delete_one({"_id": 7})
    function.call_raw(envelope(topic.key(7, None)))
    assert function.indexed() == {"found": {"n": 5}}


def test_what_cannot_be_understood_is_a_dead_letter_with_its_place(function, topic, site, database):
    bad = topic.record(b"key", b"<a secret that is no event>")
    said = function.call_raw(envelope(topic.event("insert", "a", {"n": 1}, at=100), bad))
    assert (said["Written"], said["DeadLettered"]) == (1, 1)
    (letter,) = site.letters(database)
    assert f"topic cdc.orders, {PLACE} {bad['offset']}" in letter["reason"]
    assert "secret" not in letter["reason"]


@pytest.mark.parametrize("form", ["change-events", "keys"])
def test_keys_are_parked_when_the_domain_is_away_and_replayed(form, function, topic, between, settings, site, database):
    settings(form)
    made = topic.key if form == "keys" else lambda key: topic.event("update", key, {"n": 1}, at=100)
    database.orders.insert_one({"_id": "a", "n": 2})
    between.plan = lambda _: AWAY
    bad = topic.record(b"\0", b"<a secret>") if form == "keys" else topic.record(b"k", b"<a secret>")
    said = function.call_raw(envelope(made("a"), made("absent"), bad), left_s=2)
    assert (said["Parked"], said["Written"]) == (3, 0)
    parked = function.parked()
    assert [each["id"] for each in parked[:2]] == ['"a"', '"absent"']
    assert "secret" not in json.dumps(parked)
    between.plan = lambda _: "pass"
    replayed = replay()
    assert (replayed.counts.written, replayed.counts.dead_lettered) == (2, 1)
    assert function.indexed() == {"a": {"n": 2}}
    (letter,) = site.letters(database)
    assert f"{PLACE} {bad['offset']}" in letter["reason"]
    assert function.queue.waiting() == 0


def test_an_id_whose_type_nobody_can_ask_for_is_parked_as_each_that_it_may_be(function, topic, between, database):
    database.orders.insert_one({"_id": b"\x01\x02", "n": 1})  # in simplified JSON: a text in base64
    event = topic.event("insert", "AQI=", {"n": 1}, at=100)
    between.plan = lambda _: AWAY
    function.call_raw(envelope(event), left_s=2)
    assert len(function.parked()) == 2
    between.plan = lambda _: "pass"
    replay()
    assert list(function.indexed().values()) == [{"n": 1}]  # of the one that there is


def test_a_topic_that_no_table_names_stays_where_it_is_and_the_others_go_on(function, topic, database):
    other = Topic(database, "cdc.unknown")
    with pytest.raises(TopicRefused, match=r"no table names cdc\.unknown"):
        function.call_raw(envelope(other.key(1), topic.event("insert", "a", {"n": 1}, at=100)))
    assert function.indexed() == {"a": {"n": 1}}
    assert function.queue.waiting() == 0


def test_a_topic_of_another_form_stays_where_it_is(function, topic, site, database):
    with pytest.raises(TopicRefused, match=r"\[\[topics\]\] cdc\.orders: none of its records is understood"):
        function.call_raw(envelope(*(topic.key(each) for each in range(30))))
    assert site.letters(database) == []
    assert function.queue.waiting() == 0


def test_a_drop_is_done_as_the_settings_say(function, topic, settings, monkeypatch):
    tables = json.loads(os.environ["PENSTOCK_COLLECTIONS"])
    monkeypatch.setenv("PENSTOCK_COLLECTIONS", json.dumps([{**each, "on_drop": "empty"} for each in tables]))
    function.call_raw(envelope(topic.event("insert", "a", {"n": 1}, at=100)))
    drop = {
        "_id": {"_data": "82"},
        "operationType": "drop",
        "clusterTime": {"$timestamp": {"t": 101, "i": 1}},
        "ns": {"db": topic.database.name, "coll": "orders"},
    }
    said = function.call_raw(envelope(topic.record(b'{"_id": {"_data": "82"}}', json.dumps(drop).encode())))
    assert (said["Control"], function.indexed()) == (1, {})


def test_the_version_of_an_event_is_its_cluster_time(function, topic):
    function.call_raw(envelope(topic.event("insert", "a", {"n": 1}, at=100)))
    found = function.way.ask("GET", f"/{function.alias}/_doc/a")
    assert found["_version"] == version_of(100, 1)
    assert clients.settings().topics[0].topic == "cdc.orders"
