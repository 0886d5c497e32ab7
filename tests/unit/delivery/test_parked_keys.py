"""Keys that wait in a queue."""

import datetime
import json

import pytest
from bson import Decimal128, ObjectId

from penstock.delivery.parked_keys import changes_of, texts_of
from penstock.delivery.stream_events import changes_of as changes_of_events
from penstock.errors import DocumentError
from penstock.model import Change, Kind, Namespace

ORDERS = Namespace("shop", "orders.v2")
IDS = [ObjectId("63eeb6e7d418cd98afb1c1d7"), "a", 7, 1.5, Decimal128("1.10"), {"a": 1, "b": [True, None]},
       datetime.datetime(2024, 1, 2, 3, 4, 5, 678000)]  # fmt: skip

RECORDED = (
    r'{"penstock":1,"parked":['
    r'{"ns":"shop.orders.v2","id":"{\"$oid\": \"63eeb6e7d418cd98afb1c1d7\"}","v":1},'
    r'{"ns":"shop.orders.v2","id":"\"a\"","v":2},'
    r'{"ns":"shop.orders.v2","id":"{\"$numberInt\": \"7\"}","v":3},'
    r'{"ns":"shop.orders.v2","id":"{\"$numberDouble\": \"1.5\"}","v":4},'
    r'{"ns":"shop.orders.v2","id":"{\"$numberDecimal\": \"1.10\"}","v":5},'
    r'{"ns":"shop.orders.v2","id":"{\"a\": {\"$numberInt\": \"1\"}, \"b\": [true, null]}","v":6},'
    r'{"ns":"shop.orders.v2","id":"{\"$date\": {\"$numberLong\": \"1704164645678\"}}","v":7},'
    r'{"ns":"shop.orders.v2","kind":"drop","v":10},'
    r'{"ns":"shop.orders.v2","kind":"rename","v":11,"to":"shop.old"},'
    r'{"ns":"shop.orders.v2","kind":"invalidate","v":12},'
    r'{"ns":"shop","kind":"drop_database","v":13}]}'
)
"""What the version before 0.1.0 wrote (commit 9384bc9): such a text may still wait in somebody's queue."""


def upsert(key: object, version: int = 1) -> Change:
    return Change(ORDERS, "upsert", version, key, {"_id": key, "note": "a body"})


def back(changes: list[Change], most_bytes: int = 10_000) -> list[Change]:
    return [change for text in texts_of(changes, most_bytes=most_bytes) for change in changes_of(text)]


def test_keys_and_versions_come_back_without_bodies() -> None:
    found = back([upsert(key, version) for version, key in enumerate(IDS)])
    assert found == [Change(ORDERS, "unresolved", version, key) for version, key in enumerate(IDS)]
    assert not any("a body" in text for text in texts_of([upsert(key) for key in IDS], most_bytes=10_000))


@pytest.mark.parametrize("kind", ["delete", "unreadable", "gone", "unresolved", "upsert"])
def test_whatever_happened_to_a_document_its_state_is_to_be_read(kind: Kind) -> None:
    assert back([Change(ORDERS, kind, 5, "a", reason="why")]) == [Change(ORDERS, "unresolved", 5, "a")]


@pytest.mark.parametrize("broken", [{"documentKey": {"_id": {"$oid": "xyz"}}}, {"ns": {"db": "shop"}}])
def test_an_event_that_does_not_say_its_document_stays_unreadable(broken: dict[str, object]) -> None:
    """Looked up under the id that it was given, it would become the delete of nothing."""
    event = {
        "operationType": "update",
        "clusterTime": {"$timestamp": {"t": 5, "i": 1}},
        "documentKey": {"_id": "a"},
        "ns": {"db": "shop", "coll": "orders.v2"},
    }
    (change,) = changes_of_events([{**event, **broken}], [ORDERS])["shop"]
    assert back([change]) == [change]
    assert change.reason.startswith("the event does not say which document it is about")


def test_a_text_that_waits_since_an_earlier_version_is_read() -> None:
    document, control = r'{"ns":"shop.orders.v2","id":"\"a\"","v":5}', '{"ns":"shop","kind":"drop_database","v":6}'
    assert changes_of('{"penstock":1,"parked":[' + document + "," + control + "]}") == [
        Change(ORDERS, "unresolved", 5, "a"),
        Change(Namespace("shop", ""), "drop_database", 6),
    ]


@pytest.mark.parametrize("kind", ["drop", "drop_database", "invalidate"])
def test_control_changes_stay_what_they_are(kind: Kind) -> None:
    assert back([Change(ORDERS, kind, 5)]) == [Change(ORDERS, kind, 5)]


def test_a_rename_keeps_its_new_name_and_a_database_has_no_collection() -> None:
    changes = [
        Change(ORDERS, "rename", 5, to=Namespace("shop", "old")),
        Change(Namespace("shop", ""), "drop_database", 6),
    ]
    assert back(changes) == changes


def test_a_document_is_parked_once_with_its_latest_version_and_in_order() -> None:
    found = back([upsert("a", 1), upsert("b", 2), Change(ORDERS, "drop", 3), upsert("a", 4), Change(ORDERS, "drop", 5)])
    assert [(change.kind, change.id, change.version) for change in found] == [
        ("unresolved", "b", 2),
        ("drop", None, 3),
        ("unresolved", "a", 4),
        ("drop", None, 5),
    ]


def test_what_an_earlier_version_parked_is_read() -> None:
    controls = [
        Change(ORDERS, "drop", 10),
        Change(ORDERS, "rename", 11, to=Namespace("shop", "old")),
        Change(ORDERS, "invalidate", 12),
        Change(Namespace("shop", ""), "drop_database", 13),
    ]
    documents = back([upsert(key, version) for version, key in enumerate(IDS, 1)])
    assert changes_of(RECORDED) == [*documents, *controls]
    assert list(texts_of([*documents, *controls], most_bytes=10_000)) == [RECORDED], "and written in the same form"


def test_many_keys_are_cut_into_texts() -> None:
    changes = [upsert(f"{number:040}", number) for number in range(1000)]
    texts = list(texts_of(changes, most_bytes=2_000))
    assert len(texts) > 10
    assert max(len(text.encode()) for text in texts) < 2_000 + 100
    assert back(changes, most_bytes=2_000) == [Change(ORDERS, "unresolved", each.version, each.id) for each in changes]


def test_nothing_makes_no_text() -> None:
    assert list(texts_of([], most_bytes=1000)) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text",
        "[]",
        "{}",
        '{"penstock": 2, "parked": []}',
        '{"penstock": 1}',
        '{"penstock": 1, "parked": [{}]}',
        '{"penstock": 1, "parked": [{"ns": "a.b", "v": 1, "kind": "upsert"}]}',
        '{"penstock": 1, "parked": [{"ns": "a.b", "v": 1, "id": "not JSON"}]}',
        json.dumps({"penstock": 1, "parked": [{"ns": "a.b", "v": "x", "id": "1"}]}),
    ],
)
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(DocumentError):
        changes_of(text)
