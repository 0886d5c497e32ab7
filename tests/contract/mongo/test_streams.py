"""What every change stream keeps to, in memory and on a real server."""

import threading

import pytest

from penstock.mongo.connection import connect
from penstock.settings import SourceSettings
from testkit.source_twins import MemorySide, RealSide, changes_of, read_changes, read_until, shown, whole


@pytest.fixture(params=["memory", "real"])
def side(request):
    if request.param == "memory":
        yield MemorySide()
        return
    with connect(SourceSettings(uri=request.getfixturevalue("source_uri"))) as connection:
        yield RealSide(connection, request.getfixturevalue("database"))


def test_a_stream_without_a_position_begins_with_what_happens_from_now_on(side):
    side.insert("orders", {"_id": "before"})
    stream = side.stream("orders")
    position = side.now(stream)
    side.insert("orders", {"_id": "after"})
    assert shown(read_changes(stream, position, 1)) == [("upsert", {"_id": "after"})]


def test_the_first_answer_comes_at_once_and_carries_a_position(side):
    (first,) = read_until(side.stream("orders"), None, lambda batches: True)
    assert first.changes == []
    assert first.position.time <= side.time()
    assert first.position.token or first.position.time


def test_changes_come_in_order_with_rising_versions(side):
    stream = side.stream("orders")
    position = side.now(stream)
    side.insert("orders", {"_id": 1, "n": 1}, {"_id": 2, "n": 1})
    side.replace("orders", {"_id": 1, "n": 2})
    side.delete("orders", 2)
    changes = read_changes(stream, position, 4)
    assert shown(changes) == [
        ("upsert", {"_id": 1, "n": 1}),
        ("upsert", {"_id": 2, "n": 1}),
        ("upsert", {"_id": 1, "n": 2}),
        ("delete", 2),
    ]
    versions = [change.version for change in changes]
    assert versions == sorted(versions)
    assert versions[-1] > versions[0] >= position.time
    assert {change.namespace for change in changes} == {side.name("orders")}


def test_an_update_carries_the_whole_document(side):
    side.insert("orders", {"_id": 1, "n": 1, "kept": True})
    stream = side.stream("orders")
    position = side.now(stream)
    side.update("orders", 1, n=2)
    assert shown(read_changes(stream, position, 1)) == [("upsert", {"_id": 1, "n": 2, "kept": True})]


def test_an_update_of_a_document_that_was_deleted_since_is_a_delete(side):
    side.insert("orders", {"_id": 1, "n": 1})
    stream = side.stream("orders")
    position = side.now(stream)
    side.update("orders", 1, n=2)
    side.delete("orders", 1)
    assert shown(read_changes(stream, position, 2)) == [("delete", 1), ("delete", 1)]


def test_an_update_of_a_document_whose_collection_is_gone_is_left(side):
    side.insert("orders", {"_id": 1, "n": 1})
    stream = side.stream("orders")
    position = side.now(stream)
    side.update("orders", 1, n=2)
    side.drop("orders")
    changes = read_changes(stream, position, 2)
    assert shown(changes) == [("gone", 1), ("drop", None)]


def test_an_update_in_a_collection_that_was_made_again_since_is_left(side):
    side.insert("orders", {"_id": 1, "n": 1})
    batches = side.stream("orders").batches(None, whole)
    next(batches)
    side.update("orders", 1, n=2)
    side.drop("orders")
    side.insert("orders", {"_id": 2})
    changes: list = []
    for batch in batches:
        changes += batch.changes
        if changes and changes[-1].id == 2:
            break
    if not side.tells_identities("orders"):
        pytest.skip("the server tells no identity of collections")
    assert shown(changes)[-3:] == [("gone", 1), ("drop", None), ("upsert", {"_id": 2})]


def test_a_stream_goes_on_after_any_of_its_positions(side):
    stream = side.stream("orders", batch_size=2)
    start = side.now(stream)
    for number in range(7):
        side.insert("orders", {"_id": number})
    batches = read_until(stream, start, lambda batches: len(changes_of(batches)) == 7)
    seen = 0
    for batch in batches:
        seen += len(batch.changes)
        if seen < 7:
            rest = read_changes(side.stream("orders"), batch.position, 7 - seen)
            assert [change.id for change in rest] == list(range(seen, 7))


def test_a_full_answer_says_that_there_is_more(side):
    stream = side.stream("orders", batch_size=2)
    start = side.now(stream)
    side.insert("orders", {"_id": 1}, {"_id": 2}, {"_id": 3})
    batches = read_until(stream, start, lambda batches: len(changes_of(batches)) == 3)
    assert [batch.more for batch in batches if len(batch.changes) == 2] == [True]
    assert not batches[-1].more
    assert all(batch.bytes > 0 for batch in batches if batch.changes)


def test_an_idle_stream_answers_with_its_position(side):
    stream = side.stream("orders")
    batches = read_until(stream, side.now(stream), lambda batches: len(batches) == 3)
    assert changes_of(batches) == []
    assert all(batch.position.time for batch in batches)


def test_other_collections_are_not_seen(side):
    stream = side.stream("orders", "customers")
    position = side.now(stream)
    side.insert("parcels", {"_id": "other"})
    side.insert("customers", {"_id": "second"})
    side.insert("orders", {"_id": "first"})
    changes = read_changes(stream, position, 2)
    assert [(str(change.namespace.coll), change.id) for change in changes] == [
        ("customers", "second"),
        ("orders", "first"),
    ]


def test_drop_and_rename_are_changes_and_the_stream_goes_on(side):
    side.insert("orders", {"_id": 1})
    side.insert("parcels", {"_id": 2})
    stream = side.stream("orders", "customers")
    position = side.now(stream)
    side.rename("orders", "old_orders")
    side.rename("parcels", "customers")
    side.drop("customers")
    side.insert("orders", {"_id": 3})
    changes = read_changes(stream, position, 4)
    assert [(change.kind, change.namespace.coll, change.to and change.to.coll) for change in changes] == [
        ("rename", "orders", "old_orders"),
        ("rename", "parcels", "customers"),
        ("drop", "customers", None),
        ("upsert", "orders", None),
    ]


def test_a_dropped_database_is_a_change_and_the_stream_goes_on(side):
    side.insert("orders", {"_id": 1})
    stream = side.stream("orders")
    position = side.now(stream)
    side.drop_database()
    side.insert("orders", {"_id": 2})
    wanted = ("upsert", {"_id": 2})
    batches = read_until(stream, position, lambda batches: wanted in shown(changes_of(batches)))
    kinds = [change.kind for change in changes_of(batches)]
    assert kinds[0] == "drop"
    assert "drop_database" in kinds
    assert kinds.count("upsert") == 1


def test_closing_ends_a_stream_from_another_thread_and_may_be_repeated(side):
    stream = side.stream("orders")
    begun = threading.Event()
    ended = threading.Event()

    def read() -> None:
        for _ in stream.batches(None, whole):
            begun.set()
        ended.set()

    thread = threading.Thread(target=read)
    thread.start()
    assert begun.wait(10)
    stream.close()
    stream.close()
    assert ended.wait(10)
    thread.join()


def test_a_closed_stream_can_be_read_again(side):
    stream = side.stream("orders")
    position = side.now(stream)
    side.insert("orders", {"_id": 1})
    for _ in range(2):
        assert shown(read_changes(stream, position, 1)) == [("upsert", {"_id": 1})]
        stream.close()


def test_a_stream_ends_when_the_process_is_to_stop(side):
    seen = 0
    for _ in side.stream("orders").batches(None, whole):
        seen += 1
        side.stop.set()
    assert seen == 1


def test_an_empty_answer_of_a_long_scan_says_how_far_it_has_looked(source_uri, database, source_switch):
    with connect(SourceSettings(uri=source_uri)) as connection:
        side = RealSide(connection, database)
        stream = side.stream("orders")
        position = side.now(stream)
        if not position.token:
            pytest.skip("an idle answer of this server does not say how far it has looked")
        side.insert("others", *({"_id": number} for number in range(50)))
        side.insert("orders", {"_id": "wanted"})
        now = side.time()
        source_switch(eventsPerReply=5)
        batches = read_until(stream, position, lambda found: found[-1].changes)
    scans = batches[1:-1]
    assert len(scans) >= 5
    assert not any(changes_of(scans))
    assert [each.position.time for each in scans] == sorted({each.position.time for each in scans})
    assert all(each.position.time < now <= each.position.source_time for each in scans)
    assert batches[-1].position.time <= batches[-1].position.source_time
