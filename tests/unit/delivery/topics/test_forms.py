"""The forms of records: what real connectors wrote, and what nobody should have written."""

import json
from datetime import datetime

import bson
import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Timestamp

from penstock.delivery.topics.change_events import changes_of_events
from penstock.delivery.topics.keys import changes_of_keys
from penstock.documents.document_id import document_id
from penstock.kafka.records import Record
from penstock.model import Namespace, version_of
from testkit.connect import recorded

PEOPLE = Namespace("shop", "people")
OBJECT_ID = ObjectId("5bb1f2a0c0ffee0000000001")
BYTES = bytes(range(16))

IDS = [
    *(OBJECT_ID, "str", "", 7, Int64(8), Int64(9007199254740993), 1.5, 2.0, {"a": 1, "b": "x"}, {"b": "x", "a": 1.0}),
    *(Binary(b"\x01\x02"), Binary(BYTES, 4), datetime(2018, 10, 1, 12, 34, 56, 789000), Decimal128("3.10"), True, None),
    Timestamp(5, 6),
]


def record(key, value, **more) -> Record:
    def octets(part):
        return part if part is None or isinstance(part, bytes) else json.dumps(part).encode()

    fields = {"topic": "t", "partition": 3, "offset": 17, "timestamp_ms": 1_795_942_588_000}
    return Record(key=octets(key), value=octets(value), **{**fields, **more})


def by_keys(key, value=None) -> list:
    return changes_of_keys([record(key, value)], PEOPLE)


def by_event(value, key=None, kinds=frozenset()) -> list:
    return changes_of_events([record(key, value)], PEOPLE, kinds)


def event(**parts) -> dict:
    time = {"$timestamp": {"t": 1795942588, "i": 2}}
    key = {"_id": parts.pop("id", 1)}
    ns = {"db": "shop", "coll": "people"}
    return {
        "_id": {"_data": "82"},
        "operationType": "insert",
        "clusterTime": time,
        "ns": ns,
        "documentKey": key,
    } | parts


def texts(changes) -> set:
    return {document_id(each.id) for each in changes}


@pytest.mark.parametrize("file", ["debezium-2.7-updatefull", "mongo-fulldocument", "mongo-fulldocument-extended"])
def test_typed_keys_name_the_ids_of_the_source(file):
    """Of every type; a text may mean more, but what it says is always among what is looked up."""
    wanted = {document_id(each) for each in IDS}
    records = [each for each in recorded(file, "shop") if each.coll == "ids"]
    found = [change for each in records for change in by_keys(each.key, each.value)]
    assert {each.kind for each in found} <= {"unresolved", "drop"}
    assert wanted <= texts(each for each in found if each.kind == "unresolved")


@pytest.mark.parametrize("file", ["debezium-2.7-unwrap", "mongo-simplified"])
def test_keys_without_types_name_every_id_that_they_may_mean(file):
    records = [each for each in recorded(file, "shop") if each.coll == "ids"]
    found = texts(change for each in records for change in by_keys(each.key, each.value) if change.kind == "unresolved")
    told = [each for each in IDS if not isinstance(each, Timestamp)]
    assert {document_id(each) for each in told} <= found


@pytest.mark.parametrize(
    ("key", "ids"),
    [
        ({"id": '"7"'}, ["7"]),
        ({"schema": {"type": "struct"}, "payload": {"id": "7"}}, [7, "7"]),
        ({"_id": {"$oid": str(OBJECT_ID)}}, [OBJECT_ID]),
        ({"_id": str(OBJECT_ID)}, [OBJECT_ID, str(OBJECT_ID)]),
        (bson.encode({"_id": Int64(8)}), [8]),
        (b"order-17", ["order-17"]),
        (b"17", [17]),
        ({"id": {"a": 1}}, [{"a": 1}]),
        ({"_id": None}, [None]),
    ],
)
def test_a_key_names_its_ids(key, ids):
    found = by_keys(key, {"what": "ever"})
    assert {each.kind for each in found} == {"unresolved"}
    assert {document_id(each) for each in ids} <= texts(found)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (None, "no key"),
        (b"\0\0\0\0\1\6abc", "schema registry"),
        ({"name": "x"}, "neither _id nor id"),
        (b"{broken", "neither JSON nor BSON"),
        (b"\xff\xfe\xfd", "neither JSON, BSON nor text"),
        ({"_id": {"$oid": "no"}}, "cannot be read"),
        ({"_id": {"_data": "826B"}}, "document.key.as.key"),
    ],
)
def test_a_key_without_an_id_is_a_dead_letter_with_its_place(key, reason):
    (found,) = by_keys(key, {"a": 1})
    assert (found.kind, found.id) == ("unreadable", "t/3/17")
    assert found.reason.startswith("topic t, partition 3, offset 17: ")
    assert reason in found.reason


def test_a_token_without_a_value_says_that_the_collection_was_dropped_or_renamed():
    (found,) = by_keys({"_id": {"_data": "826B"}}, None)
    assert (found.kind, found.version) == ("drop", version_of(1_795_942_589, 0) - 1), (
        "after what was read in its second"
    )


@pytest.mark.parametrize("file", ["mongo-default", "mongo-extended", "mongo-bson", "mongo-schema", "mongo-token-key"])
def test_events_keep_their_order_their_versions_and_their_documents(file):
    records = [each for each in recorded(file, "shop") if each.coll == "people"]
    if not records:
        records = [each for each in recorded(file, "shop") if each.coll == "orders"]
    namespace = Namespace("shop", records[0].coll)
    found = changes_of_events([record(each.key, each.value) for each in records], namespace, frozenset())
    assert "unreadable" not in {each.kind for each in found}
    versions = [each.version for each in found if each.version]
    assert versions == sorted(versions)
    assert all(each.document["_id"] == each.id for each in found if each.kind == "upsert")


def test_an_event_without_a_document_or_without_a_time_is_looked_up():
    without_document = by_event(event(operationType="update", updateDescription={"updatedFields": {"a": 1}}))
    copied = event(fullDocument={"_id": 1})
    del copied["clusterTime"]
    for found in (without_document, by_event(copied), by_event(None, key={"_id": 1})):
        assert [(each.kind, each.id) for each in found if each.id == 1] == [("unresolved", 1)]


def test_a_text_that_may_be_an_object_id_is_looked_up_and_others_where_the_collection_has_their_type():
    def kinds_of(source_id, kinds=frozenset()):
        return {each.kind for each in by_event(event(id=source_id, fullDocument={"_id": source_id}), kinds=kinds)}

    assert kinds_of(str(OBJECT_ID)) == {"unresolved"}
    assert kinds_of("AQI=") == {"upsert"}
    assert kinds_of("AQI=", frozenset({Binary})) == {"unresolved"}
    assert kinds_of("AQI=", frozenset({bytes})) == {"unresolved"}
    assert kinds_of("plain text") == kinds_of(7) == {"upsert"}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{broken", "neither JSON nor BSON"),
        (b"\0\0\0\0\1abc", "schema registry"),
        ({"_id": 1, "name": "Ann"}, 'is the form "keys"?'),
        (["no", "event"], "no event of a change stream"),
        (event(ns={"db": "shop", "coll": "orders"}), "it is about shop.orders"),
        (bson.encode({"a": 1})[:-2] + b"\xff\0", ""),
    ],
)
def test_what_is_no_event_of_the_collection_is_a_dead_letter_with_its_place(value, reason):
    (found,) = by_event(value)
    assert (found.kind, found.id) == ("unreadable", "t/3/17")
    assert reason in found.reason
    assert "Ann" not in found.reason
