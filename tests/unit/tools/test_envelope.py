"""What a function is called with: the event source mapping's envelope, and the forms of extended JSON in it."""

import json
import time
from datetime import datetime

import bson
import pytest
from bson import Binary, DatetimeMS, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp, json_util

from penstock.mongo.codec import CODEC
from penstock.mongo.cursor import Undecodable
from penstock_tools.aws.mapping.envelope import EventForm, envelope, event_json, size_of

SAMPLE_ARN = "arn:aws:rds:us-east-1:123456789012:cluster:canaryclusterb2a659a2-qo5tcmqkcl03"
SAMPLE = (
    '{"eventSourceArn":"' + SAMPLE_ARN + '","events":[{"event":{'
    '"_id":{"_data":"0163eeb6e7000000090100000009000041e1"},'
    '"clusterTime":{"$timestamp":{"t":1676588775,"i":9}},'
    '"documentKey":{"_id":{"$oid":"63eeb6e7d418cd98afb1c1d7"}},'
    '"fullDocument":{"_id":{"$oid":"63eeb6e7d418cd98afb1c1d7"},"anyField":"sampleValue"},'
    '"ns":{"db":"test_database","coll":"test_collection"},'
    '"operationType":"insert"}}],"eventSource":"aws:docdb"}'
)
ID = ObjectId("63eeb6e7d418cd98afb1c1d7")
RELAXED, CANONICAL, STRICT = EventForm(), EventForm("canonical"), EventForm("strict")


def event(kind="insert", **more):
    """An event in the order in which servers give it."""
    return {
        "_id": {"_data": "0163eeb6e7000000090100000009000041e1"},
        "operationType": kind,
        "clusterTime": Timestamp(1676588775, 9),
        "ns": {"db": "test_database", "coll": "test_collection"},
    } | more


def of_document(document, form=RELAXED):
    decoded = bson.decode(bson.encode(document), CODEC)
    return json.loads(event_json(event(documentKey={"_id": 1}, fullDocument=decoded), form))["fullDocument"]


def test_it_is_the_documented_sample_byte_by_byte():
    inserted = event(documentKey={"_id": ID}, fullDocument={"_id": ID, "anyField": "sampleValue"})
    assert envelope(SAMPLE_ARN, [event_json(inserted, RELAXED)]).decode() == SAMPLE


def test_it_has_three_keys_and_each_event_under_its_own():
    events = [event_json(event(documentKey={"_id": number}), RELAXED) for number in range(3)]
    found = json.loads(envelope("arn", events))
    assert list(found) == ["eventSourceArn", "events", "eventSource"]
    assert [each["event"]["documentKey"]["_id"] for each in found["events"]] == [0, 1, 2]
    assert all(list(each) == ["event"] for each in found["events"])


@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_its_size_is_known_before_it_is_made(count):
    events = [event_json(event(documentKey={"_id": "é" * number}), RELAXED) for number in range(count)]
    assert size_of(SAMPLE_ARN, map(len, events)) == len(envelope(SAMPLE_ARN, events))


def test_names_are_in_alphabetical_order_and_a_document_keeps_its_own():
    updated = event(
        "update",
        documentKey={"_id": 1},
        updateDescription={"updatedFields": {"z": 1, "a": 2}, "removedFields": ["y", "b"]},
        fullDocument={"_id": 1, "z": 1, "a": 2},
    )
    found = json.loads(event_json(updated, RELAXED))
    assert list(found) == sorted(found)
    assert list(found["updateDescription"]) == ["removedFields", "updatedFields"]
    assert list(found["updateDescription"]["updatedFields"]) == ["z", "a"]
    assert list(found["fullDocument"]) == ["_id", "z", "a"]
    assert list(found["ns"]) == ["db", "coll"]


@pytest.mark.parametrize(
    ("kind", "given", "keys"),
    [
        ("insert", {"documentKey": {"_id": 1}, "fullDocument": {"_id": 1}}, {"documentKey", "fullDocument", "ns"}),
        ("replace", {"documentKey": {"_id": 1}, "fullDocument": {"_id": 1}}, {"documentKey", "fullDocument", "ns"}),
        ("delete", {"documentKey": {"_id": 1}}, {"documentKey", "ns"}),
        ("drop", {}, {"ns"}),
        ("rename", {"to": {"db": "a", "coll": "b"}}, {"ns", "to"}),
    ],
)
def test_each_type_carries_what_it_has(kind, given, keys):
    found = json.loads(event_json(event(kind, **given), RELAXED))
    assert found.keys() == keys | {"_id", "clusterTime", "operationType"}


def test_what_only_another_server_adds_is_left_out():
    added = {"wallTime": datetime(2024, 1, 1), "lsid": {"id": 1}, "txnNumber": Int64(1), "collectionUUID": 4}
    assert event_json(event(**added), RELAXED) == event_json(event(), RELAXED)


@pytest.mark.parametrize("missing", [None, Undecodable("damaged")])
def test_a_document_that_is_not_there_is_left_out(missing):
    updated = event("update", documentKey={"_id": 1}, updateDescription={}, fullDocument=missing)
    assert "fullDocument" not in json.loads(event_json(updated, RELAXED))


@pytest.mark.parametrize("given", [{}, {"truncatedArrays": []}])
def test_truncated_arrays_are_there_when_asked_for(given):
    updated = event("update", updateDescription={"updatedFields": {}, "removedFields": []} | given)
    plain = json.loads(event_json(updated, RELAXED))["updateDescription"]
    newer = json.loads(event_json(updated, EventForm(truncated_arrays=True)))["updateDescription"]
    assert list(plain) == ["removedFields", "updatedFields"]
    assert list(newer) == ["removedFields", "truncatedArrays", "updatedFields"]


@pytest.mark.parametrize(
    ("value", "relaxed", "canonical", "strict"),
    [
        (7, 7, {"$numberInt": "7"}, 7),
        (Int64(7), 7, {"$numberLong": "7"}, {"$numberLong": "7"}),
        (1.5, 1.5, {"$numberDouble": "1.5"}, 1.5),
        (Decimal128("1.10"), *[{"$numberDecimal": "1.10"}] * 3),
        (
            datetime(2024, 1, 2, 3, 4, 5, 678000),
            {"$date": "2024-01-02T03:04:05.678Z"},
            {"$date": {"$numberLong": "1704164645678"}},
            {"$date": 1704164645678},
        ),
        (
            DatetimeMS(-315619200000),
            {"$date": {"$numberLong": "-315619200000"}},
            {"$date": {"$numberLong": "-315619200000"}},
            {"$date": -315619200000},
        ),
        (
            DatetimeMS(10**16),
            {"$date": {"$numberLong": "10000000000000000"}},
            {"$date": {"$numberLong": "10000000000000000"}},
            {"$date": 10**16},
        ),
        (
            b"\x00\x01",
            {"$binary": {"base64": "AAE=", "subType": "00"}},
            {"$binary": {"base64": "AAE=", "subType": "00"}},
            {"$binary": "AAE=", "$type": "00"},
        ),
        (
            Binary(bytes(16), 4),
            {"$binary": {"base64": "AAAAAAAAAAAAAAAAAAAAAA==", "subType": "04"}},
            {"$binary": {"base64": "AAAAAAAAAAAAAAAAAAAAAA==", "subType": "04"}},
            {"$binary": "AAAAAAAAAAAAAAAAAAAAAA==", "$type": "04"},
        ),
        (
            Regex("a", "i"),
            {"$regularExpression": {"pattern": "a", "options": "i"}},
            {"$regularExpression": {"pattern": "a", "options": "i"}},
            {"$regex": "a", "$options": "i"},
        ),
        (MinKey(), *[{"$minKey": 1}] * 3),
        (MaxKey(), *[{"$maxKey": 1}] * 3),
        (ID, *[{"$oid": str(ID)}] * 3),
        ("ä\u2028\U0001f600", *["ä\u2028\U0001f600"] * 3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_kind_of_value_in_each_flavour(value, relaxed, canonical, strict):
    assert of_document({"v": value}, RELAXED)["v"] == relaxed
    assert of_document({"v": value}, CANONICAL)["v"] == canonical
    assert of_document({"v": value}, STRICT)["v"] == strict


def test_a_number_that_is_none_is_spelled_out():
    assert of_document({"v": float("nan")})["v"] == {"$numberDouble": "NaN"}
    assert of_document({"v": float("-inf")})["v"] == {"$numberDouble": "-Infinity"}


def test_text_is_not_escaped_so_that_its_size_is_its_own():
    assert "é".encode() in event_json(event(fullDocument={"v": "é"}), RELAXED)


@pytest.mark.parametrize("form", [RELAXED, CANONICAL, STRICT])
def test_bson_reads_every_flavour_back(form):
    document = {"when": datetime(2024, 1, 2), "long": Int64(2**40), "id": ID, "bytes": b"ab"}
    text = event_json(event(fullDocument=document), form)
    found = json_util.loads(text, json_options=json_util.JSONOptions(tz_aware=False))["fullDocument"]
    assert found == document


def test_ten_thousand_events_take_seconds_at_most():
    document = {"_id": ID, "title": "x" * 200, "n": 5, "when": datetime(2024, 1, 1), "tags": ["a", "b"], "in": {"a": 1}}
    began = time.process_time()
    for number in range(10_000):
        event_json(event(documentKey={"_id": number}, fullDocument=document), RELAXED)
    assert time.process_time() - began < 10
