"""Events whose documents are cut out say the same as decoded ones, in whatever order a server writes their fields."""

import bson
import pytest
from bson import Binary, Int64, ObjectId, Regex, Timestamp
from hypothesis import given
from hypothesis import strategies as st

from penstock.model import version_of
from penstock.mongo.cursor import CursorReply, bounds_of
from penstock.mongo.raw_events import RawEvents, id_alone

TIME = Timestamp(1_700_000_000, 7)
HIDDEN = b"\x03fullDocument\0\x05\0\0\0\0"
"""What looks like a document where it is none."""


def event(operation="insert", key=1, document=None, *, coll="items", order="mongodb", **more):
    """An event, with its fields in the order of one of the servers."""
    fields = {"_id": {"_data": f"82{key!r}"}, "operationType": operation, "clusterTime": TIME, **more}
    if document is not None:
        fields["fullDocument"] = document
    place = {"ns": {"db": "shop", "coll": coll}}
    if operation in ("insert", "update", "replace", "delete"):
        place["documentKey"] = {"_id": key}
    return {**fields, **place} if order == "mongodb" else {**place, **fields}


def reply(events):
    array = bson.encode({str(number): each for number, each in enumerate(events)})
    return CursorReply(array, bounds_of(array), None, 0, 0, len(array), full=False)


def changes(events, reader=None):
    reader = reader or RawEvents("shop", ["items"])
    return reader.changes(reader.reader.events_of(reply(events))), reader


IDS = st.one_of(
    st.integers(-(2**31), 2**31 - 1), st.text(max_size=8), st.binary(max_size=8).map(Binary), st.just(HIDDEN)
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["insert", "update", "replace", "delete", "drop", "rename", "other"]),
            IDS,
            st.one_of(
                st.none(),
                st.dictionaries(
                    st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=12), IDS, max_size=3
                ),
            ),
            st.sampled_from(["mongodb", "other"]),
            st.sampled_from(["items", "others"]),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_keys_and_documents_are_cut_out_as_they_are(rows):
    events = [
        event(
            operation,
            key,
            document,
            coll=coll,
            order=order,
            **({"wallTime": Int64(1), "lsid": {"fullDocument": {}}} if more else {}),
        )
        for operation, key, document, order, coll, more in rows
    ]
    events = [
        each | ({"to": {"db": "shop", "coll": "to"}} if each["operationType"] == "rename" else {}) for each in events
    ]
    found, reader = changes(events)
    wanted = []
    for each in events:
        operation, watched = each["operationType"], each["ns"]["coll"] == "items"
        if operation in ("insert", "update", "replace", "delete") and watched:
            kind = "delete" if operation == "delete" else "upsert" if "fullDocument" in each else "unresolved"
            document = bson.encode(each["fullDocument"]) if kind == "upsert" else None
            wanted.append((kind, bson.encode(each["documentKey"]), document))
        elif operation == "drop" or (operation == "rename" and watched):
            wanted.append((operation, each["_id"], None))
    assert [(each.kind, each.id, each.document) for each in found] == wanted
    assert reader.left_out == len(events) - len(wanted)
    assert all(each.version == version_of(TIME.time, TIME.inc) for each in found)


def test_a_form_that_was_met_does_not_hide_another_one():
    reader = RawEvents("shop", ["items"])
    first, _ = changes([event(key=1, document={"a": 1})], reader)
    second, _ = changes(
        [event(key=1, document={"a": 1}, more={"x": 1}), event("update", 2), event(key=3, document={})], reader
    )
    assert [each.kind for each in [*first, *second]] == ["upsert", "upsert", "unresolved", "upsert"]


@pytest.mark.parametrize("source_id", [1, "x", ObjectId(), Regex("a", "i"), {"_id": 2}, None, Binary(b"_id\0")])
@pytest.mark.parametrize("more", [{}, {"region": "_id\0"}, {"a": {"_id": 5}, "b": Regex("_id", "")}])
def test_the_key_of_a_sharded_collection_is_its_id_alone(source_id, more):
    alone = bson.encode({"_id": source_id})
    assert id_alone(bson.encode({**more, "_id": source_id})) == alone
    assert id_alone(bson.encode({"_id": source_id, **more})) == alone
