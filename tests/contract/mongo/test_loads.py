"""What every load keeps to, in memory and on a real server."""

from contextlib import closing

import bson
import pytest
from bson.raw_bson import RawBSONDocument

from penstock.documents.document_id import document_id
from penstock.errors import Stopped
from penstock.mongo.connection import connect
from penstock.settings import SourceSettings
from testkit.source_twins import MemorySide, RealSide, changes_of, read_changes, whole

ONE_OF_EACH = (
    bson.MinKey(),
    None,
    float("nan"),
    float("-inf"),
    -5,
    2.5,
    bson.Int64(2**60),
    bson.Decimal128("8.5"),
    float("inf"),
    "",
    "a",
    "b",
    {},
    {"a": 1},
    {"a": 1, "b": {"c": None}},
    b"",
    b"xyz",
    bson.ObjectId("0" * 24),
    bson.ObjectId("f" * 24),
    False,
    True,
    bson.DatetimeMS(-(2**62)),
    bson.DatetimeMS(1_700_000_000_123),
    bson.DatetimeMS(2**62),
    bson.Timestamp(1, 1),
    bson.MaxKey(),
)


@pytest.fixture(params=["memory", "real"])
def side(request):
    if request.param == "memory":
        yield MemorySide()
        return
    with connect(SourceSettings(uri=request.getfixturevalue("source_uri"))) as connection:
        yield RealSide(connection, request.getfixturevalue("database"))


def texts(changes) -> list[str]:
    return sorted(document_id(change.id) for change in changes)


def test_every_document_is_read_once_whatever_the_type_of_its_id(side):
    side.insert("orders", *({"_id": each, "n": 1} for each in ONE_OF_EACH))
    changes = changes_of(side.load("orders").batches(None, whole))
    assert texts(changes) == sorted(map(document_id, ONE_OF_EACH))
    assert {change.kind for change in changes} == {"upsert"}
    assert all(change.body["n"] == 1 for change in changes)


@pytest.mark.parametrize("ids", [["a", "b", ""], [-5, 2**40], [bson.ObjectId(), bson.ObjectId()], [b"", b"xyz"], [1.5]])
def test_ids_of_one_type_are_all_read(side, ids):
    side.insert("orders", *({"_id": each} for each in ids))
    assert texts(changes_of(side.load("orders", range_size=2).batches(None, whole))) == sorted(map(document_id, ids))


@pytest.mark.parametrize("others", [(None, "a"), ("a", True), (bson.MinKey(), bson.MaxKey())])
def test_no_id_between_the_others_is_passed_over(side, others):
    side.insert("orders", {"_id": others[0]}, {"_id": bson.ObjectId("5" * 24)}, {"_id": others[1]})
    assert len(changes_of(side.load("orders").batches(None, whole))) == 3


@pytest.mark.parametrize("range_size", [1, 2, 7])
def test_ranges_of_any_size_read_the_same(side, range_size):
    side.insert("orders", *({"_id": each} for each in ONE_OF_EACH))
    changes = changes_of(side.load("orders", range_size=range_size).batches(None, whole))
    assert texts(changes) == sorted(map(document_id, ONE_OF_EACH))


def test_a_load_goes_on_after_any_of_its_positions(side):
    side.insert("orders", *({"_id": each} for each in ONE_OF_EACH))
    batches = list(side.load("orders", range_size=3).batches(None, whole))
    assert len(batches) > 5
    for number, batch in enumerate(batches, start=1):
        rest = changes_of(side.load("orders", range_size=3).batches(batch.position, whole))
        assert texts(rest) == texts(changes_of(batches[number:]))


def test_a_version_is_not_before_what_was_written_and_below_what_comes(side):
    side.insert("orders", {"_id": 1}, {"_id": 2})
    written = side.time()
    stream = side.stream("orders")
    position = side.now(stream)
    changes = changes_of(side.load("orders").batches(None, whole))
    side.replace("orders", {"_id": 1, "n": 2})
    (later,) = read_changes(stream, position, 1)
    assert all(written <= change.version < later.version for change in changes)


def test_a_version_is_from_before_the_reading_of_its_range_began(side):
    """The server may have read any document of the range by then, so the version of none may be later."""
    side.insert("orders", *({"_id": number} for number in range(1500)))
    load = side.load("orders", range_size=1500)
    with closing(load.batches(None, whole)) as batches:
        read = list(next(batches).changes)
        side.update("orders", 1499, changed=True)
        changed_at = side.time()
        read += changes_of(batches)
    assert len(read) == 1500
    assert all(change.version < changed_at for change in read)


def test_documents_that_stay_are_read_while_others_come_and_go(side):
    side.insert("orders", *({"_id": number} for number in range(0, 100, 2)))
    seen = []
    for batch in side.load("orders", range_size=5).batches(None, whole):
        seen += [change.id for change in batch.changes]
        side.delete("orders", seen[-1])
        side.insert("orders", {"_id": seen[-1] + 1})
    assert set(seen) >= set(range(0, 100, 2))
    assert len(seen) < 200


def test_an_empty_or_unknown_collection_ends_at_once(side):
    assert list(side.load("nothing").batches(None, whole)) == []


def test_a_collection_that_is_dropped_ends_the_load(side):
    side.insert("orders", *({"_id": number} for number in range(10)))
    batches = side.load("orders", range_size=2).batches(None, whole)
    assert len(next(batches).changes) == 2
    side.drop("orders")
    assert changes_of(batches) == []


def test_told_to_stop_it_does_not_seem_complete(side):
    side.insert("orders", *({"_id": number} for number in range(10)))
    batches = side.load("orders", range_size=2).batches(None, whole)
    next(batches)
    side.stop.set()
    with pytest.raises(Stopped):
        list(batches)


def test_closed_it_ends(side):
    side.insert("orders", *({"_id": number} for number in range(10)))
    load = side.load("orders", range_size=2)
    batches = load.batches(None, whole)
    next(batches)
    load.close()
    assert list(batches) == []


def test_closed_it_can_be_read_again(side):
    side.insert("orders", *({"_id": number} for number in range(10)))
    load = side.load("orders", range_size=2)
    first = next(load.batches(None, whole))
    load.close()
    assert len(changes_of(load.batches(first.position, whole))) == 8


def test_every_answer_says_when_it_was_asked_for_and_that_there_may_be_more(side):
    side.insert("orders", *({"_id": number} for number in range(10)))
    batches = list(side.load("orders", range_size=5).batches(None, whole))
    assert all(batch.more and batch.bytes > 0 for batch in batches)
    asked = [batch.read_at for batch in batches]
    assert asked == sorted(asked)
    assert asked[0] > 0


def raw_document(octets: bytes) -> RawBSONDocument:
    """A document whose `_id` is a text of these bytes."""
    text = octets + b"\0"
    element = b"\x02_id\0" + len(text).to_bytes(4, "little") + text
    return RawBSONDocument((len(element) + 5).to_bytes(4, "little") + element + b"\0")


BYTES = (b"a", b"\xc4pfel", b"\xc4rger", "\u00d6l".encode(), "\u4eac".encode(), b"\xff1", b"\xff2", b"\xff3", b"z")
"""In Latin-1, beside texts in UTF-8; by their bytes `z` is second."""


@pytest.mark.parametrize("range_size", [1, 2, 3, 100])
def test_texts_that_no_query_can_name_hide_none_of_the_others(source_uri, database, range_size):
    database.orders.insert_many(map(raw_document, BYTES))
    with connect(SourceSettings(uri=source_uri)) as connection:
        side = RealSide(connection, database)
        found = changes_of(side.load("orders", range_size=range_size).batches(None, whole))
    assert {change.id.encode("utf-8", "surrogateescape") for change in found} == set(BYTES)
