"""Envelopes of every kind and form -> changes."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from bson import Binary, Decimal128, MaxKey, MinKey, ObjectId, Regex, Timestamp

import testkit
from penstock.delivery.stream_events import changes_of
from penstock.documents.encode import encode
from penstock.lambdas.events import NotAnEnvelope, events_of, latest_time, token_of
from penstock.model import Change, Namespace, version_of

FILES = Path(testkit.__file__).parent / "envelopes"
DECLARED = Namespace("test_database", "test_collection")
OID = ObjectId("63eeb6e7d418cd98afb1c1d7")


def envelope(name: str) -> Any:
    return json.loads((FILES / f"{name}.json").read_text())


def change_of(name: str) -> Change:
    by_db = changes_of(events_of(envelope(name)), [DECLARED])
    assert list(by_db) == ["test_database"]
    (change,) = by_db["test_database"]
    return change


def at(increment: int) -> int:
    return version_of(1676588775, increment)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("insert", Change(DECLARED, "upsert", at(9), OID, {"_id": OID, "anyField": "sampleValue"})),
        ("update", Change(DECLARED, "upsert", at(10), OID, {"_id": OID, "anyField": "newValue"})),
        ("update_truncated_arrays", Change(DECLARED, "upsert", at(10), OID, {"_id": OID, "anyField": "newValue"})),
        ("update_without_document", Change(DECLARED, "unresolved", at(11), OID)),
        ("replace", Change(DECLARED, "upsert", at(12), OID, {"_id": OID, "anyField": "replaced"})),
        ("delete", Change(DECLARED, "delete", at(13), OID)),
        ("text_id", Change(DECLARED, "delete", at(14), "WOOL-1")),
        ("drop", Change(DECLARED, "drop", at(15))),
        ("rename", Change(DECLARED, "rename", at(16), to=Namespace("test_database", "other"))),
        ("dropDatabase", Change(Namespace("test_database", ""), "drop_database", at(17))),
        ("invalidate", Change(DECLARED, "invalidate", at(18))),
    ],
)
def test_each_kind_of_event_is_its_change(name: str, expected: Change) -> None:
    assert change_of(name) == expected


@pytest.mark.parametrize("form", ["relaxed", "canonical", "old"])
def test_values_are_the_same_in_every_form_of_extended_json(form: str) -> None:
    document = change_of(f"values_{form}").document
    assert document is not None
    assert math.isnan(document.pop("nan"))
    regex, date, old = document.pop("regex"), document.pop("date"), document.pop("old")
    assert isinstance(regex, Regex) or regex.pattern == "a"
    assert (date.isoformat(), old.isoformat()) == ("2024-01-02T03:04:05.678000", "1960-01-01T00:00:00")
    assert document == {
        "_id": "v", "int": 1, "long": 9007199254740993, "double": 1.5, "decimal": Decimal128("1.10"),
        "binary": b"\x00\x01\x02", "min": MinKey(), "max": MaxKey(), "time": Timestamp(1, 2),
        "array": [OID, {"in": Decimal128("2")}], "none": None, "yes": True,
    }  # fmt: skip
    assert isinstance(document["binary"], bytes | Binary)


def test_the_index_gets_the_same_body_from_every_form() -> None:
    bodies = {form: encode(change_of(f"values_{form}").document or {}) for form in ("relaxed", "canonical", "old")}
    assert len(set(bodies.values())) == 1, bodies


def test_every_file_is_tested() -> None:
    tested = {"insert", "update", "update_truncated_arrays", "update_without_document", "replace", "delete", "text_id"}
    tested |= {"drop", "rename", "dropDatabase", "invalidate", "values_relaxed", "values_canonical", "values_old"}
    assert {path.stem for path in FILES.glob("*.json")} == tested


@pytest.mark.parametrize(
    "wrong",
    [
        {"$date": "yesterday"},
        {"$oid": "short"},
        {"$numberDecimal": "many"},
        {"$numberLong": "x"},
        {"$binary": 5},
        {"$timestamp": {"t": "a"}},
        {"$date": {"$numberLong": "999999999999999999999999"}},
    ],
)
def test_a_value_that_only_looks_like_extended_json_makes_its_document_unreadable(wrong: Any) -> None:
    held = envelope("insert")
    held["events"][0]["event"]["fullDocument"]["deep"] = [{"er": wrong}]
    (change,) = changes_of(events_of(held), [DECLARED])["test_database"]
    assert (change.kind, change.id, change.document) == ("unreadable", OID, None)
    assert "extended JSON" in change.reason


def test_a_document_nested_beyond_sense_is_unreadable() -> None:
    nested: Any = 1
    for _ in range(100_000):
        nested = [nested]
    held = envelope("insert")
    held["events"][0]["event"]["fullDocument"]["deep"] = nested
    (change,) = changes_of(events_of(held), [DECLARED])["test_database"]
    assert change.kind == "unreadable"


@pytest.mark.parametrize("missing", ["clusterTime", "documentKey", "ns"])
def test_an_event_that_lacks_a_part_is_unreadable_and_keeps_some_name(missing: str) -> None:
    held = envelope("insert")
    del held["events"][0]["event"][missing]
    (change,) = changes_of(events_of(held), [DECLARED])["test_database"]
    assert (change.namespace, change.kind) == (DECLARED, "unreadable")
    assert change.id


def test_events_of_other_kinds_are_left_out() -> None:
    held = envelope("insert")
    held["events"][0]["event"]["operationType"] = "createIndexes"
    assert changes_of(events_of(held), [DECLARED]) == {}


def test_changes_of_several_databases_stay_apart() -> None:
    held = envelope("insert")
    other = envelope("update")["events"][0]
    other["event"]["ns"]["db"] = "other"
    held["events"].append(other)
    assert [(db, len(changes)) for db, changes in changes_of(events_of(held), [DECLARED]).items()] == [
        ("test_database", 1),
        ("other", 1),
    ]


def test_the_position_is_the_last_events() -> None:
    events = events_of(envelope("insert")) + events_of(envelope("update"))
    assert token_of(events) == "0163eeb6e70000000a090100000009000041e1"
    assert latest_time(events) == at(10)
    assert (token_of([]), latest_time([])) == ("", 0)


@pytest.mark.parametrize("other", [None, [], 5, {}, {"Records": []}, {"events": None}, {"events": [{}]}])
def test_anything_else_is_refused(other: Any) -> None:
    with pytest.raises(NotAnEnvelope):
        events_of(other)


@pytest.mark.parametrize("to", [{}, {"to": None}, {"to": "orders"}])
def test_a_rename_to_nobody_knows_where_is_a_drop(to: dict[str, Any]) -> None:
    held = envelope("rename")
    held["events"][0]["event"] = {k: v for k, v in held["events"][0]["event"].items() if k != "to"} | to
    assert changes_of(events_of(held), [DECLARED]) == {"test_database": [Change(DECLARED, "drop", at(16))]}


@pytest.mark.parametrize(
    "odd",
    [
        {"operationType": "drop", "ns": {"coll": "x"}},
        {"operationType": "drop", "ns": "x"},
        {"operationType": "drop", "ns": {"db": "test_database", "coll": None}},
        {"operationType": ["drop"]},
        {"ns": {"db": ["test_database"], "coll": "test_collection"}},
        {"ns": {"db": "test_database"}},
        {"documentKey": {"_id": "\ud800"}},
        {"documentKey": {"_id": {"$oid": []}}},
        {"documentKey": None},
        {"clusterTime": None},
    ],
)
def test_an_odd_event_does_not_stop_the_others(odd: dict[str, Any]) -> None:
    held = envelope("insert")
    held["events"].insert(0, {"event": {**held["events"][0]["event"], **odd}})
    (*others, good) = changes_of(events_of(held), [DECLARED])["test_database"]
    assert (good.kind, good.id) == ("upsert", OID)
    assert all(each.namespace == DECLARED and each.kind in ("drop", "unreadable") for each in others)
    assert all(each.id != OID or each.version == 0 for each in others)
