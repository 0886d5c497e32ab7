"""Positions, ranges, events and damaged documents of the source adapter."""

import math
import threading
import time

import bson
import pytest
from bson import Int64
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from penstock.documents.document_id import document_id, document_ids
from penstock.errors import PositionLost
from penstock.model import Names, Namespace, version_of
from penstock.mongo.cursor import (
    CursorReply,
    Undecodable,
    bounds_of,
    decoded,
    event_of,
    events_in,
    taken_apart,
    undecoded,
)
from penstock.mongo.events import EventReader
from penstock.mongo.id_ranges import BRACKETS, LoadProgress, brackets_between, progress_of
from penstock.mongo.load import changes_in, changes_of
from penstock.mongo.position import position_after, position_at, resume_option, time_within
from penstock.mongo.watch import Watch, watches
from penstock.runtime.threads import ChildEvent
from testkit.source_twins import whole

ORDERS = Namespace("shop", "orders")
CUSTOMERS = Namespace("shop", "customers")
ONE_TIME = version_of(1_700_000_000, 7)


def test_the_whole_token_comes_back_from_a_position():
    token = {"_data": "825C0B", "_typeBits": bson.Binary(b"\x82\x01", 0)}
    position = position_after(token, ONE_TIME)
    assert resume_option(position) == {"resumeAfter": {"_data": "825C0B", "_typeBits": b"\x82\x01"}}
    assert position.time == ONE_TIME


def test_a_position_without_a_token_goes_by_its_time():
    assert resume_option(position_at(ONE_TIME)) == {"startAtOperationTime": Timestamp(1_700_000_000, 7)}
    assert resume_option(None) == {}


@pytest.mark.parametrize("text", ["nonsense", "[", '{"$oid": "x"}'])
def test_a_text_that_is_no_token_is_a_lost_position(text):
    with pytest.raises(PositionLost):
        resume_option(position_at(ONE_TIME).__class__(text, 1))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (f"82{ONE_TIME:016X}2B022C", ONE_TIME),
        (f"01{ONE_TIME:016x}02010000", ONE_TIME),
        (f"82{ONE_TIME + 5:016X}", 1),
        (f"99{ONE_TIME:016X}", 1),
        ("82zz", 1),
        (f"82{'z' * 16}", 1),
        (b"binary", 1),
    ],
)
def test_the_time_in_a_token_is_read_where_it_makes_sense(data, expected):
    assert time_within({"_data": data}, 1, ONE_TIME + 1) == expected


ids = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1).map(bson.Int64),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.binary(min_size=12, max_size=12).map(bson.ObjectId),
    st.integers(-(2**62), 2**62).map(bson.DatetimeMS),
    st.builds(Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    st.dictionaries(st.text(alphabet="abc", min_size=1), st.integers(0, 9)),
)


@given(ids, st.integers(0, len(BRACKETS) - 1))
def test_the_progress_of_a_load_comes_back_from_its_position(key, bracket):
    progress = LoadProgress(bracket, key, begun=True)
    again = progress_of(progress.position(ONE_TIME))
    assert bson.encode({"_id": again.after}) == bson.encode({"_id": key})
    assert (again.bracket, again.begun) == (bracket, True)


def test_the_end_of_a_load_comes_back_as_the_end():
    assert progress_of(LoadProgress(len(BRACKETS)).position(1)).over
    assert progress_of(None) == LoadProgress()


def test_a_bracket_is_asked_for_from_its_lowest_value_and_then_after_the_last():
    number = next(index for index, bracket in enumerate(BRACKETS) if bracket.name == "number")
    assert BRACKETS[number].filter(LoadProgress(number)) == {"_id": {"$gte": -math.inf}}
    assert BRACKETS[number].filter(LoadProgress(number, 5, begun=True)) == {"_id": {"$gt": 5}}


def with_id(octets: bytes, **fields: object) -> bytes:
    """A document whose `_id` is a string of these bytes."""
    return bson.encode({"_id": "?" * len(octets), **fields}).replace(b"?" * len(octets), octets, 1)


NOT_UTF8 = (b"\xff", b"\xfe", "\ufffd".encode(), b"a\xffb", b"a\xfeb")


def test_ids_that_are_not_utf8_are_kept_apart_in_load_lookup_and_stream() -> None:
    stored = [with_id(each, n="\ufffd") for each in (*NOT_UTF8, b"plain")]
    forms = ["bin:utf8:/w==", "bin:utf8:/g==", "\ufffd", "bin:utf8:Yf9i", "bin:utf8:Yf5i", "plain"]
    (piece,) = reply_of(stored).pieces()
    for broken in (False, True):
        more = [damaged({"_id": "damaged"})] if broken else []
        read = changes_of(b"".join(stored + more), ORDERS, 1)
        assert document_ids([each.id for each in read][: len(forms)]) == forms
    assert document_ids([each["_id"] for each in decoded(piece)]) == forms
    events = [
        bson.encode({"documentKey": RawBSONDocument(with_id(each)), "fullDocument": RawBSONDocument(with_id(each))})
        for each in NOT_UTF8
    ]
    (piece,) = reply_of(events).pieces()
    for found in (events_in(piece), list(map(event_of, events))):
        assert document_ids([each["documentKey"]["_id"] for each in found]) == forms[:-1]
        assert [each["fullDocument"]["_id"] for each in found] == [each["documentKey"]["_id"] for each in found]


def test_an_id_that_is_not_utf8_in_a_damaged_document_is_kept() -> None:
    raw = damaged({"_id": "???"}).replace(b"???", b"a\xffb", 1)
    (change,) = changes_of(raw, ORDERS, 1)
    assert (change.kind, document_id(change.id)) == ("unreadable", "bin:utf8:Yf9i")


def damaged(document: dict[str, object]) -> bytes:
    """The document with a deeply nested one whose length is wrong."""
    raw = bytearray(bson.encode(document | {"nested": {"more": {"deep": 1}}}))
    raw[raw.index(b"deep") - 5] = 0xFF
    return bytes(raw)


def reply_of(documents: list[bytes]) -> CursorReply:
    array = bson.encode({str(number): RawBSONDocument(each) for number, each in enumerate(documents)})
    return CursorReply(array, bounds_of(array), None, 1, 1, len(array), full=True)


@pytest.mark.parametrize("in_pieces", [True, False])
def test_one_damaged_document_spoils_no_other(in_pieces):
    documents = [bson.encode({"_id": 1}), damaged({"_id": {"k": 2}}), bson.encode({"_id": 3})]
    if in_pieces:
        (piece,) = reply_of(documents).pieces()
        changes = changes_in(piece, ORDERS, ONE_TIME, whole)
    else:
        changes = changes_of(b"".join(documents), ORDERS, ONE_TIME)
    assert [(change.kind, change.id) for change in changes] == [("upsert", 1), ("unreadable", {"k": 2}), ("upsert", 3)]
    assert "cannot be decoded" in (str(changes[1].body) if in_pieces else changes[1].reason)


def event(operation: str, seconds: int, **more: object) -> dict[str, object]:
    return {
        "_id": {"_data": "82"},
        "operationType": operation,
        "clusterTime": Timestamp(seconds, 1),
        "ns": {"db": "shop", "coll": "orders"},
    } | more


def reader(missing="delete") -> EventReader:
    return EventReader("shop", ["orders", "customers"], lambda _: missing)


def damaged_event(key: int) -> bytes:
    raw = bytearray(
        bson.encode(event("insert", 1, documentKey={"_id": key}, fullDocument={"_id": key, "x": {"deep": 1}}))
    )
    raw[raw.index(b"deep") - 5] = 0xFF
    return bytes(raw)


def test_an_event_with_a_damaged_document_keeps_its_key():
    found = event_of(damaged_event(5))
    assert isinstance(found["fullDocument"], Undecodable)
    (change,) = reader().changes([found])
    assert (change.kind, change.id, change.version) == ("unreadable", 5, version_of(1, 1))
    assert "cannot be decoded" in change.reason


@pytest.mark.parametrize("order", [["firstBatch", "id", "ns"], ["ns", "id", "firstBatch"]])
@pytest.mark.parametrize("count", [0, 1, 11, 1001])
def test_a_reply_is_taken_apart_without_decoding_its_documents(order, count):
    documents = [bson.encode({"_id": number, "name": "firstBatch"}) for number in range(count)]
    cursor = {"firstBatch": [RawBSONDocument(each) for each in documents], "id": Int64(7), "ns": "shop.orders"}
    raw = bson.encode({"cursor": {name: cursor[name] for name in order}, "ok": 1.0, "operationTime": Timestamp(1, 2)})
    envelope, array = taken_apart(raw, "firstBatch")
    reply = CursorReply(array, bounds_of(array), None, 1, 1, len(raw), full=True)
    assert [each for piece in reply.pieces() for each in undecoded(piece)] == documents
    assert reply.count == count
    assert [each["_id"] for each in reply.events] == list(range(count))
    assert envelope["cursor"] == {"firstBatch": [], "id": 7, "ns": "shop.orders"}
    assert envelope["operationTime"] == Timestamp(1, 2)


def test_a_reply_is_given_in_pieces_bounded_by_bytes():
    documents = [bson.encode({"_id": number, "text": "x" * 1000}) for number in range(200)]
    pieces = list(reply_of(documents).pieces())
    assert [each for piece in pieces for each in undecoded(piece)] == documents
    assert [each for piece in pieces for each in decoded(piece)] == list(map(bson.decode, documents))
    assert len(pieces) > 1
    assert all(len(piece) < 64 * 1024 for piece in pieces)
    large = reply_of([bson.encode({"text": "x" * 1_000_000})] * 3)
    assert [len(decoded(piece)) for piece in large.pieces()] == [1, 1, 1]


def test_one_damaged_event_spoils_no_other():
    good = bson.encode(event("insert", 1, documentKey={"_id": 1}, fullDocument={"_id": 1}))
    bad = damaged_event(2)
    (piece,) = reply_of([good, bad, good]).pieces()
    changes = reader().changes(events_in(piece))
    assert [(change.kind, change.id) for change in changes] == [("upsert", 1), ("unreadable", 2), ("upsert", 1)]


def test_control_events_name_their_collections():
    events = [
        event("drop", 1),
        event("rename", 2, to={"db": "archive", "coll": "orders"}),
        event("rename", 3, ns={"db": "shop", "coll": "new"}, to={"db": "shop", "coll": "customers"}),
        event("rename", 4, ns={"db": "shop", "coll": "a"}, to={"db": "shop", "coll": "b"}),
        event("dropDatabase", 5, ns={"db": "shop"}),
        {key: value for key, value in event("invalidate", 6).items() if key != "ns"},
        event("createIndexes", 7),
    ]
    assert [(each.kind, each.namespace, each.to) for each in reader().changes(events)] == [
        ("drop", ORDERS, None),
        ("rename", ORDERS, Namespace("archive", "orders")),
        ("rename", Namespace("shop", "new"), CUSTOMERS),
        ("drop_database", Namespace("shop", ""), None),
        ("invalidate", Namespace("shop", ""), None),
    ]


NAMES = Names(ORDERS, (("moved", version_of(10, 1)), ("orders", version_of(20, 1)), ("moved", version_of(30, 1))))


def test_a_name_is_that_of_its_moment_and_a_rename_carries_the_one_before():
    found = [NAMES.at(version_of(seconds, 1)).coll for seconds in (1, 10, 11, 20, 21, 30, 31)]
    assert found == ["orders", "orders", "moved", "moved", "orders", "orders", "moved"]
    assert (NAMES.present, NAMES.since) == (Namespace("shop", "moved"), version_of(30, 1))
    assert [NAMES.carried(version_of(seconds, 1)) for seconds in (10, 20, 30)] == [
        ["orders", "moved"],
        ["moved", "orders"],
        ["orders", "moved"],
    ]
    assert NAMES.carried(version_of(30, 2)) == ["moved"]
    assert (Names(ORDERS).present, Names(ORDERS).at(0), Names(ORDERS).carried(0)) == (ORDERS, ORDERS, ["orders"])


@pytest.mark.parametrize("operation", ["insert", "update", "delete"])
def test_changes_of_a_renamed_collection_go_by_its_declared_name_and_those_of_others_are_left_out(operation):
    events = [
        event(operation, seconds, ns={"db": "shop", "coll": coll}, documentKey={"_id": coll}, fullDocument={"_id": 1})
        for seconds in (5, 15, 25, 35)
        for coll in ("orders", "moved", "customers")
    ]
    changes = EventReader("shop", ["orders", "customers"], lambda _: "gone", [NAMES]).changes(events)
    assert {each.namespace for each in changes if each.id != "customers"} == {ORDERS}
    assert {each.namespace for each in changes if each.id == "customers"} == {CUSTOMERS}
    assert [each.id for each in changes if each.id != "customers"] == ["orders", "moved", "orders", "moved"]


def test_control_events_go_by_the_names_at_the_source():
    events = [
        event("drop", 35, ns={"db": "shop", "coll": "moved"}),
        event("rename", 36, ns={"db": "shop", "coll": "moved"}, to={"db": "shop", "coll": "else"}),
        event("rename", 37, ns={"db": "shop", "coll": "a"}, to={"db": "shop", "coll": "b"}),
    ]
    changes = EventReader("shop", ["orders"], lambda _: "gone", [NAMES]).changes(events)
    assert [(each.kind, each.namespace.coll) for each in changes] == [("drop", "moved"), ("rename", "moved")]


def test_a_cursor_watches_every_name_that_may_still_come_and_its_own_collection_by_the_name_there():
    shared = Watch("shop", ("customers", "orders"), renamed=(NAMES,))
    own = Watch("shop", ("orders",), "orders", renamed=(NAMES,))

    def watched(position):
        return shared.pipeline(position)[1]["$match"]["$or"][0]["ns.coll"]["$in"]

    assert watched(None) == ["customers", "moved"]
    assert watched(position_at(version_of(30, 1))) == ["customers", "orders", "moved"]
    assert watched(position_at(version_of(30, 2))) == ["customers", "moved"]
    assert [own.target(position_at(version_of(*at))) for at in ((5, 1), (10, 1), (10, 2), (30, 1), (30, 2))] == [
        "orders",
        "orders",
        "moved",
        "orders",
        "moved",
    ]
    assert (own.target(None), str(own), str(shared)) == ("moved", "shop.orders", "shop")
    assert shared.present("orders", version_of(5, 1)) == "moved"


def test_what_a_missing_document_means_is_asked_once_for_a_batch():
    asked = []
    events = [event("update", time, documentKey={"_id": time}, fullDocument=None) for time in (1, 2, 3)]
    changes = EventReader("shop", ["orders"], lambda coll: asked.append(coll) or "gone").changes(events)
    assert [change.kind for change in changes] == ["gone"] * 3
    assert asked == ["orders"]


def test_collections_share_the_cursor_of_their_database_or_have_their_own():
    names = [Namespace("shop", "orders"), Namespace("archive", "old"), Namespace("shop", "customers")]
    assert watches(names, "database") == [Watch("archive", ("old",)), Watch("shop", ("customers", "orders"))]
    assert watches(names[:1], "collection") == [Watch("shop", ("orders",), "orders")]


def test_collections_whose_names_are_patterns_are_watched_from_their_database_each_by_a_cursor_of_its_own():
    names = [Namespace("shop", "a+b(c)"), Namespace("shop", "b{2}")]
    found = watches(names, "collection")
    assert found == [Watch("shop", (each.coll,), each.coll) for each in names]
    assert [(str(each), each.target(None)) for each in found] == [("shop.a+b(c)", None), ("shop.b{2}", None)]
    assert [each.pipeline(None)[1]["$match"]["$or"][0]["ns.coll"]["$in"] for each in found] == [["a+b(c)"], ["b{2}"]]


def test_keys_only_asks_for_no_document():
    stages = Watch("shop", ("orders",)).pipeline(None, keys_only=True)
    assert stages[0] == {"$changeStream": {}}
    assert stages[-1] == {"$project": {"updateDescription": 0, "fullDocument": 0}}


def test_a_reader_ends_when_it_is_closed_or_the_process_stops():
    stop = threading.Event()
    ending = ChildEvent(stop)
    assert not ending.wait(0.01)
    threading.Timer(0.05, stop.set).start()
    begin = time.monotonic()
    assert ending.wait(10)
    assert time.monotonic() - begin < 5
    assert not ending.closed
    ending.set()
    assert ending.closed


@pytest.mark.parametrize(
    ("lowest", "highest", "names"),
    [
        (0x07, 0x07, ["object_id"]),
        (0x10, 0x12, ["number"]),
        (0x02, 0x02, ["string"]),
        (None, None, []),
        (0x02, 0x07, [each.name for each in BRACKETS]),
        (0x01, 0x01, [each.name for each in BRACKETS]),  # a double may be NaN, which is a bracket of its own
        (None, 0x07, [each.name for each in BRACKETS]),
    ],
)
def test_the_types_of_the_lowest_and_the_highest_id_tell_where_documents_are(lowest, highest, names):
    assert [BRACKETS[number].name for number in brackets_between(lowest, highest)] == names
