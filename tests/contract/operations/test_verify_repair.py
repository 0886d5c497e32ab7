"""What verify repairs, and what happens meanwhile: nothing comes back, nothing goes back in time."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymongo import WriteConcern
from pymongo.database import Database

from penstock.documents.document_id import document_id
from penstock.errors import ReadAgain, SystemicFault
from penstock.model import SUPERSEDED, WRITTEN
from testkit.verify_case import Case, Meddling, case

AHEAD = 1000 << 32
"""A thousand seconds."""


@pytest.fixture
def at(database: Database, source_uri: str, sink_url: str, index_prefix: str) -> Iterator[Case]:
    """Ten documents, loaded."""
    with case(database, source_uri, sink_url, f"{index_prefix}items") as made:
        made.items.insert_many([{"_id": n, "n": n} for n in range(10)])
        made.load()
        yield made


def body(n: int) -> dict[str, Any]:
    return {"n": n}


def test_each_difference_is_mended_and_the_next_verify_is_equal(at: Case) -> None:
    at.tamper(1, None)
    at.tamper(2, body(-2))
    at.tamper(77, body(77))
    result = at.verify(repair=True)
    assert (result.is_equal, result.tally.repaired) == (True, 3)
    assert {(each.kind, each.id, each.repaired) for each in at.found} == {
        ("missing", "n:1", True),
        ("different", "n:2", True),
        ("too many", "n:77", True),
    }
    assert at.indexed() == {document_id(n): body(n) for n in range(10)}
    assert at.verify().is_equal


def changed(at: Case, key: int) -> None:
    at.items.update_one({"_id": key}, {"$set": {"n": 100}})
    assert at.write(key, body(100)) == WRITTEN


def deleted(at: Case, key: int) -> None:
    at.items.delete_one({"_id": key})
    assert at.write(key, None) == WRITTEN


def made_anew(at: Case, key: int) -> None:
    at.items.insert_one({"_id": key, "n": 100})
    assert at.write(key, body(100)) == WRITTEN


RACES = [
    (1, None, changed, body(100)),
    (1, body(-1), changed, body(100)),
    (1, None, deleted, None),
    (1, body(-1), deleted, None),
    (77, body(77), made_anew, body(100)),
]


@pytest.mark.parametrize("moment", ["before the write", "after the reading"])
@pytest.mark.parametrize(("key", "wrong", "change", "right"), RACES)
def test_what_the_stream_brings_meanwhile_stays(
    at: Case, key: int, wrong: Any, change: Callable[[Case, int], None], right: Any, moment: str
) -> None:
    """The repair's write is older by its version, whenever the change came after the reading of the source."""
    at.tamper(key, wrong)
    if moment == "before the write":
        at.adapters.sink = Meddling(at.adapters.sink, lambda: change(at, key))  # type: ignore[assignment]
    else:
        ask, meddled = at.adapters.ask, []

        def asks(question: Any, *arguments: Any, **more: Any) -> Any:
            answer = ask(question, *arguments, **more)
            if question.__name__ == "with_states" and not meddled:
                meddled.append(True)
                change(at, key)
            return answer

        at.adapters.ask = asks  # type: ignore[method-assign]
    result = at.verify(repair=True)
    assert at.indexed().get(document_id(key)) == right
    assert (result.is_equal, result.tally.repaired) == (True, 0)


@pytest.mark.parametrize("repair", [False, True])
@pytest.mark.parametrize(("key", "change"), [(1, changed), (1, deleted), (77, made_anew)])
def test_a_source_that_is_behind_its_index_for_a_moment_is_waited_for(
    at: Case, key: int, change: Callable[[Case, int], None], source_switch: Callable[..., None], *, repair: bool
) -> None:
    """What the stream brought is right, and it does not bring it again: the older state must not take its version."""
    at.database = at.database.with_options(write_concern=WriteConcern(1))
    source_switch(holdMajority=True)
    change(at, key)
    right = at.indexed()
    again = threading.Timer(1.0, source_switch, kwargs={"holdMajority": False})
    again.start()
    result = at.verify(repair=repair)
    again.join()
    assert (result.is_equal, result.tally.repaired, at.found) == (True, 0, [])
    assert at.indexed() == right


@pytest.mark.parametrize(("key", "wrong"), [(1, body(-1)), (77, body(77))])
def test_an_index_that_is_ahead_of_the_source_is_mended_with_its_own_version(at: Case, key: int, wrong: Any) -> None:
    ahead = at.now() + AHEAD
    assert at.write(key, wrong, ahead) == WRITTEN
    assert at.write(key, body(5)) == SUPERSEDED
    assert at.verify(repair=True).is_equal
    assert at.indexed() == {document_id(n): body(n) for n in range(10)}


def test_a_change_during_the_repair_of_an_index_that_is_ahead_is_repaired_too(at: Case) -> None:
    """There the stream's own writes are refused, so only the look after the repair can find it."""
    assert at.write(1, body(-1), at.now() + AHEAD) == WRITTEN

    def change() -> None:
        at.items.update_one({"_id": 1}, {"$set": {"n": 100}})
        assert at.write(1, body(100)) == SUPERSEDED

    at.adapters.sink = Meddling(at.adapters.sink, change)  # type: ignore[assignment]
    assert at.verify(repair=True).is_equal
    assert at.indexed()["n:1"] == body(100)


def test_what_may_have_arrived_is_read_anew_and_not_sent_again(at: Case) -> None:
    at.tamper(1, None)

    def unclear() -> None:
        raise ReadAgain("nobody knows")

    at.adapters.sink = Meddling(at.adapters.sink, unclear)  # type: ignore[assignment]
    result = at.verify(repair=True)
    assert (result.is_equal, result.tally.repaired) == (True, 1)


@pytest.mark.parametrize("how", [{"sample": 100}, {}], ids=["sample", "whole"])
def test_what_is_deleted_during_the_repair_does_not_come_back_by_it(at: Case, how: dict[str, Any]) -> None:
    """The index has forgotten the delete when the repair's write arrives."""
    at.tamper(1, body(-1))

    def deleted_and_forgotten() -> None:
        deleted(at, 1)
        for what in ("_close", "_open"):
            assert at.adapters.client.request("POST", f"/{at.generation.index}/{what}").ok

    at.adapters.sink = Meddling(at.adapters.sink, deleted_and_forgotten)  # type: ignore[assignment]
    assert at.verify(repair=True, **how).is_equal
    assert "n:1" not in at.indexed()


def test_what_the_index_refuses_becomes_a_dead_letter(at: Case) -> None:
    at.items.insert_many([{"_id": "shape", "a": {"b": 1}}, {"_id": "poison", "a": 5}])
    at.write("shape", {"a": {"b": 1}})
    result = at.verify(repair=True)
    assert (result.is_equal, at.found[0].kind, at.found[0].id) == (False, "dead-lettered", "poison")
    letter = at.adapters.dead_letters.find(at.collection.namespace, ["poison"], at.generation.write_alias)["poison"]
    assert letter.reason.startswith("400: ")
    assert letter.id_json == '"poison"'
    assert at.verify().tally.found["dead-lettered"] == 1


def test_a_document_that_the_index_takes_only_without_a_field_is_equal_then(
    database: Database, source_uri: str, sink_url: str, index_prefix: str
) -> None:
    with case(database, source_uri, sink_url, f"{index_prefix}items", conflicts={"a": "leave-out"}) as at:
        at.items.insert_many([{"_id": "shape", "a": {"b": 1}}, {"_id": "other", "a": 5, "n": 1}])
        at.write("shape", {"a": {"b": 1}})
        result = at.verify(repair=True)
        assert (result.is_equal, result.tally.repaired) == (True, 1)
        assert at.indexed()["other"] == {"n": 1, "_penstock": {"left_out": ["a"]}}
        at.tamper("other", {"n": 2, "_penstock": {"left_out": ["a"]}})
        at.verify()
        assert [each.fields for each in at.found] == [("n",)]


def test_an_index_that_refuses_everything_stops_the_repair(at: Case) -> None:
    at.items.insert_one({"_id": "shape", "a": {"b": 1}})
    at.write("shape", {"a": {"b": 1}})
    at.items.insert_many([{"_id": f"poison-{n}", "a": 5} for n in range(1001)])
    with pytest.raises(SystemicFault, match="1001 dead letters, the limit is 1000"):
        at.verify(repair=True)


def test_nothing_is_written_without_repair(at: Case) -> None:
    at.tamper(1, None)
    at.tamper(77, body(77))
    before = at.indexed()
    assert not at.verify().is_equal
    assert at.indexed() == before
