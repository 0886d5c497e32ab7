"""What verify finds, on real servers."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest
from pymongo.database import Database

from penstock.documents.document_id import document_id
from penstock.errors import LeaseLost, Stopped
from penstock.opensearch.state.ids import verify_id
from penstock.operations.verify import VerifyListener, judging
from penstock.worker.progress import NoProgress
from testkit.bson_values import IDS
from testkit.sink_access import Relay, Said
from testkit.verify_case import Case, case

Made = Callable[..., Case]


@pytest.fixture
def made(database: Database, source_uri: str, sink_url: str, index_prefix: str) -> Iterator[Made]:
    with ExitStack() as stack:
        yield lambda url=sink_url, **collection: stack.enter_context(
            case(database, source_uri, url, f"{index_prefix}items", **collection)
        )


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A transform that leaves out what is `hidden`, and fails where `n` is text."""
    name = f"odd_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(
        "def shape(document):\n    if document.get('hidden'):\n        return None\n"
        "    document['n'] = document['n'] + 0\n    return document\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return f"{name}:shape"


def test_each_kind_of_difference_is_found_and_told_by_names_only(made: Made, odd: str) -> None:
    at = made(function=odd)
    at.items.insert_many([{"_id": n, "n": n, "in": {"a": 1, "b": True}} for n in range(30)])
    at.items.insert_many([{"_id": f"hidden-{n}", "hidden": True} for n in range(3)])
    at.items.insert_one({"_id": "poison", "n": "text"})
    at.load()
    assert at.verify(wait_s=0.5).tally.found["dead-lettered"] == 1
    assert at.kinds() == {"poison": "dead-lettered"}
    at.tamper(1, None)
    at.tamper(2, {"n": 2, "in": {"a": "secret", "b": 1}, "extra": 5})
    at.tamper("hidden-0", {"n": 1})
    for key in ("stranger", 99):
        at.tamper(key, {"n": 0})
    result = at.verify()
    assert not result.is_equal
    assert sorted((each.kind, each.id, each.fields, each.repaired) for each in at.found) == [
        ("dead-lettered", "poison", (), False),
        ("different", "n:2", ("extra", "in.a", "in.b"), False),
        ("missing", "n:1", (), False),
        ("too many", "hidden-0", (), False),
        ("too many", "n:99", (), False),
        ("too many", "stranger", (), False),
    ]
    assert result.tally.found == {
        "missing": 1, "different": 1, "too many": 3, "moving": 0, "left out": 2, "dead-lettered": 1,
    }  # fmt: skip
    assert (result.tally.documents, result.tally.equal, result.in_index) == (34, 28, 32)
    assert [each.id for each in result.tally.kept if each.kind == "left out"] == ["hidden-1", "hidden-2"]


def test_ids_of_every_type_and_ids_of_nobody(made: Made) -> None:
    at = made()
    at.items.insert_many([{"_id": each, "n": n} for n, each in enumerate(IDS)])
    at.load()
    assert at.verify().is_equal
    for each in IDS[::2]:
        at.tamper(each, None)
    at.items.delete_many({"_id": {"$in": IDS[1::2]}})
    nobodys = ("doc:5", "h:abc", "n:five", "n:1.0", "regex::.", 'list:["a"]', 'doc:{"$gt":"n:1"}', "bin:a", "d:x")
    for text in nobodys:
        client, index = at.adapters.client, at.generation.index
        put = {"index": {"_id": text}}
        assert client.request("POST", f"/{index}/_bulk", _lines(put, {"n": 1})).json()["errors"] is False
    expected = {document_id(each): "missing" for each in IDS[::2]}
    expected |= {document_id(each): "too many" for each in IDS[1::2]} | dict.fromkeys(nobodys, "too many")
    at.verify()
    assert at.kinds() == expected
    assert at.verify(repair=True).tally.repaired == len(expected)
    assert at.verify().is_equal
    assert set(at.indexed()) == {document_id(each) for each in IDS[::2]}


def _lines(*documents: dict[str, Any]) -> bytes:
    return b"".join(orjson.dumps(each) + b"\n" for each in documents)


def test_what_settles_in_time_is_not_told(made: Made) -> None:
    at = made()
    at.items.insert_many([{"_id": n, "n": n} for n in range(10)])
    at.load()
    for n in range(3):
        at.tamper(n, {"n": -1})
    at.tamper(50, {"n": 50})

    def arrive() -> None:
        for n in range(3):
            at.write(n, {"n": n})
        at.write(50, None)

    late = threading.Timer(1.0, arrive)
    late.start()
    result = at.verify(wait_s=60)
    late.join()
    assert (result.is_equal, at.found, result.tally.equal) == (True, [], 10)


def test_a_document_that_others_write_all_the_time_is_moving_and_one_that_nobody_writes_is_not(made: Made) -> None:
    at = made()
    at.items.insert_many([{"_id": key, "n": 0} for key in ("hot", "stuck", "still")])
    at.load()
    at.tamper("stuck", {"n": -1})
    over = threading.Event()

    def follow() -> None:
        version = at.now()
        while not over.is_set():
            version += 1
            at.write("hot", {"n": -1}, version)

    writer = threading.Thread(target=follow)
    writer.start()
    try:
        result = at.verify(wait_s=2, repair=True)
    finally:
        over.set()
        writer.join()
    assert at.kinds() == {"hot": "moving", "stuck": "different"}
    assert (result.is_equal, result.tally.repaired) == (False, 1)


def test_what_moves_is_given_its_time_once_more(made: Made) -> None:
    at = made()
    at.items.insert_many([{"_id": key, "n": 0} for key in ("late", "stuck")])
    at.load()
    for key in ("late", "stuck"):
        at.tamper(key, {"n": -1})
    version = at.now()
    times = [threading.Timer(1.0, at.write, [key, {"n": -2}, version + 1]) for key in ("late", "stuck")]
    times += [threading.Timer(5.0, at.write, ["late", {"n": 0}, version + 2])]

    class Begins(NoProgress):
        """Starts the clock when the first documents are held to differ."""

        def advanced(self, namespace: str, documents: int) -> None:
            for each in times:
                if each.ident is None:
                    each.start()

    result = at.verify(wait_s=4, telling=VerifyListener(Begins(), at.found.append))
    for each in times:
        each.join()
    assert (at.kinds(), result.tally.equal) == ({"stuck": "different"}, 1)


def test_a_letter_of_an_earlier_state_does_not_hide_a_missing_document(made: Made) -> None:
    at = made()
    at.items.insert_many([{"_id": 1, "a": {"b": 1}}, {"_id": 2, "a": 5}])
    at.load()
    at.verify()
    assert at.kinds() == {"n:2": "dead-lettered"}
    at.items.replace_one({"_id": 2}, {"a": {"b": 2}})
    at.verify()
    assert at.kinds() == {"n:2": "missing"}


def test_as_many_suspects_as_ever_only_so_many_are_held(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    at = made()
    at.items.insert_many([{"_id": n} for n in range(5000)])
    held = []
    take = judging.Judging.take

    def counted(self: Any, passed: Any) -> None:
        take(self, passed)
        held.append(len(self.suspects))

    monkeypatch.setattr(judging.Judging, "take", counted)
    monkeypatch.setattr("penstock.operations.verify.generation.HELD", 100)
    result = at.verify(wait_s=0.5)
    assert result.tally.found["missing"] == len(at.found) == 5000
    assert len(result.tally.kept) == 20
    assert max(held) <= 100 + 1000


class StopsAfter(NoProgress):
    """Sets `stop` once so many documents were gone through."""

    def __init__(self, stop: threading.Event, documents: int) -> None:
        self.left, self.stop, self.advance = documents, stop, 0

    def advanced(self, namespace: str, documents: int) -> None:
        self.advance += documents
        if self.advance >= self.left:
            self.stop.set()


@pytest.mark.parametrize("after", [1, 3001])
def test_an_interrupted_verify_goes_on_where_it_was_with_what_it_had_found(made: Made, after: int) -> None:
    at = made()
    at.items.insert_many([{"_id": n} for n in range(3000)])
    at.load()
    at.tamper(5, None)
    at.tamper(2995, None)
    at.tamper(4000, {})
    first = StopsAfter(at.stop, after)
    with pytest.raises(Stopped):
        at.verify(telling=VerifyListener(first))
    assert first.advance < 5999
    at.stop.clear()
    second = StopsAfter(at.stop, 10**9)
    result = at.verify(telling=VerifyListener(second, at.found.append))
    assert 0 < second.advance < 5999
    assert second.advance <= 5999 - first.advance + 1000
    assert (result.tally.documents, result.in_index, result.tally.equal) == (3000, 2999, 2998)
    assert (result.tally.found["missing"], result.tally.found["too many"]) == (2, 1)
    third = StopsAfter(at.stop, 10**9)
    at.verify(telling=VerifyListener(third))
    assert third.advance == 5999


def test_what_was_not_judged_when_it_was_interrupted_is_looked_at_by_the_next_one(made: Made) -> None:
    at = made()
    at.items.insert_many([{"_id": n} for n in range(2500)])
    at.load()
    at.tamper(5, None)
    with pytest.raises(Stopped):
        at.verify(wait_s=60, telling=VerifyListener(StopsAfter(at.stop, 1)))
    at.stop.clear()
    result = at.verify()
    assert (result.tally.documents, result.tally.equal, at.kinds()) == (2500, 2499, {"n:5": "missing"})


def test_with_restart_or_for_another_purpose_it_begins_anew(made: Made) -> None:
    at = made()
    at.items.insert_many([{"_id": n} for n in range(2500)])
    at.load()
    for how in ({"restart": True}, {"repair": True}):
        with pytest.raises(Stopped):
            at.verify(telling=VerifyListener(StopsAfter(at.stop, 1)))
        at.stop.clear()
        whole = StopsAfter(at.stop, 10**9)
        at.verify(telling=VerifyListener(whole), **how)
        assert whole.advance == 5000


@pytest.mark.parametrize(("age_s", "is_seen"), [(3500, False), (3700, True)])
def test_what_was_compared_more_than_an_hour_ago_is_compared_again(made: Made, age_s: int, is_seen: bool) -> None:
    """What is gone from the index since then cannot be seen from the index."""
    at = made()
    at.items.insert_many([{"_id": n} for n in range(2500)])
    at.load()
    with pytest.raises(Stopped):
        at.verify(telling=VerifyListener(StopsAfter(at.stop, 1)))
    at.stop.clear()
    state_id = verify_id(f"{at.database.name}.items", at.generation.index)
    saved = at.adapters.store.get([state_id])[state_id]
    assert saved.document["progress"]["source"]["documents"] > 5
    at.adapters.store.put(state_id, {**saved.document, "saved_at": saved.document["saved_at"] - age_s}, saved)
    at.tamper(5, None)
    at.verify()
    assert (at.kinds() == {"n:5": "missing"}) is is_seen


def test_of_two_at_once_the_later_one_goes_on(made: Made) -> None:
    at = made()
    at.items.insert_many([{"_id": n} for n in range(10)])
    at.load()

    class Another(NoProgress):
        def advanced(self, namespace: str, documents: int) -> None:
            at.verify()

    with pytest.raises(LeaseLost, match="Another `penstock verify`"):
        at.verify(telling=VerifyListener(Another()))


def test_a_place_in_the_index_that_the_server_lost_is_begun_anew(made: Made) -> None:
    at = made()
    at.items.insert_many([{"_id": n} for n in range(2500)])
    at.load()
    at.tamper(9000, {})

    class Loses(NoProgress):
        seen, lost = 0, False

        def advanced(self, namespace: str, documents: int) -> None:
            self.seen += documents
            if self.seen == 3500:
                self.lost = True
                assert at.adapters.client.request("DELETE", "/_search/point_in_time/_all").ok

    loses = Loses()
    result = at.verify(telling=VerifyListener(loses, at.found.append))
    assert (loses.lost, result.in_index, at.kinds()) == (True, 2501, {"n:9000": "too many"})


NONE_SUCH = Said(400, b'{"error":"no handler found for uri"}')
REFUSED = Said(403, b'{"Message":"User is not authorized to perform: es:ESHttpPost"}')


@pytest.mark.parametrize("what", ["_search/point_in_time", "_search?allow_partial"])
@pytest.mark.parametrize("answered", [NONE_SUCH, REFUSED])
def test_a_server_without_a_point_in_time_is_gone_through_by_a_scroll(
    made: Made, between: Relay, what: str, answered: Said
) -> None:
    at = made(url=between.url)
    at.items.insert_many([{"_id": n} for n in range(1100)])
    at.load()
    at.tamper(9000, {})
    between.plan = lambda asked: answered if what in asked.path and "scroll" not in asked.path else "pass"
    result = at.verify()
    assert any("scroll" in each.path for each in between.asked)
    assert (result.in_index, at.kinds()) == (1101, {"n:9000": "too many"})


def test_a_sample_sees_both_sides(made: Made) -> None:
    at = made()
    at.items.insert_many([{"_id": n} for n in range(200)])
    at.load()
    assert at.verify(sample=50).is_equal
    at.tamper(7, None)
    at.tamper(8, {"n": 1})
    at.tamper(900, {"n": 1})
    result = at.verify(sample=500, wait_s=0.5)
    assert (result.tally.documents, result.in_index) == (200, 200)
    assert at.kinds() == {"n:7": "missing", "n:8": "different", "n:900": "too many"}


def test_a_rate_is_kept_in_both_directions(made: Made) -> None:
    at = made()
    at.items.insert_many([{"_id": n} for n in range(1500)])
    at.load()
    result = at.verify(rate=1500)
    assert result.is_equal
    assert result.seconds > 1.9


@pytest.mark.parametrize("on_drop", ["keep", "empty"])
def test_a_dropped_collection(made: Made, on_drop: str) -> None:
    at = made(on_drop=on_drop)
    at.items.insert_many([{"_id": n} for n in range(5)])
    at.load()
    at.items.drop()
    result = at.verify(repair=True)
    if on_drop == "keep":
        assert (result.dropped, result.is_equal, len(at.indexed())) == (True, False, 5)
    else:
        assert (result.is_equal, result.tally.repaired, at.indexed()) == (True, 5, {})


def test_a_collection_that_is_dropped_meanwhile_is_not_deleted_from_the_index(made: Made) -> None:
    at = made()
    at.items.insert_many([{"_id": n} for n in range(1500)])
    at.load()

    class Drops(NoProgress):
        def advanced(self, namespace: str, documents: int) -> None:
            at.items.drop()

    result = at.verify(repair=True, telling=VerifyListener(Drops()))
    assert (result.dropped, len(at.indexed())) == (True, 1500)
