"""The sync function on a real index, a real source and a real queue."""

import json
import threading
import time
from collections.abc import Iterator

import pytest
from bson import Decimal128, ObjectId
from pymongo.database import Database

from penstock.delivery.replay_queue import replay_parked
from penstock.documents.transform import Transform
from penstock.errors import QueueUnavailable
from penstock.lambdas import clients, sync
from penstock.lambdas.events import NotAnEnvelope
from penstock.model import Namespace
from penstock.opensearch.index.definition import IndexDefinition
from penstock.opensearch.state.generations import CollectionRecord, GenerationRegistry
from penstock.opensearch.state.ids import generations_id
from penstock.opensearch.state.store import StateStore
from penstock.operations.check.check import check
from penstock.operations.status.status import status
from penstock.settings import CollectionSettings
from testkit.sink_access import Asked, Relay, Said, Side
from testkit.sync_function import AWAY, SyncFunction, T, event, forget, load, replay


def letters(function: SyncFunction) -> dict[str, str]:
    """The reasons of the collection's dead letters, by document id."""
    function.way.ask("POST", "/penstock-dead-letters/_refresh")
    query = {"query": {"term": {"namespace": function.namespace}}, "size": 100}
    hits = function.way.ask("POST", "/penstock-dead-letters/_search", query)["hits"]["hits"]
    return {hit["_source"]["id"]: hit["_source"]["reason"] for hit in hits}


def test_every_kind_of_change_is_applied(function: SyncFunction) -> None:
    oid = ObjectId()
    said = function.call(
        event("insert", oid, {"name": "a", "price": Decimal128("1.10")}, at=T),
        event("insert", "text-1", {"n": 1}, at=T + 1),
        event("insert", 7, {"n": 2}, at=T + 2),
        event("insert", "gone", {"n": 3}, at=T + 3),
        event("update", "text-1", {"n": 10}, at=T + 4, updateDescription={"updatedFields": {"n": 10}}),
        event("replace", 7, {"n": 20}, at=T + 5),
        event("delete", "gone", at=T + 6),
    )
    assert function.indexed() == {str(oid): {"name": "a", "price": 1.1}, "text-1": {"n": 10}, "n:7": {"n": 20}}
    assert said.pop("LagSeconds") > 0
    assert said == {
        "Read": 7, "Written": 4, "Folded": 3, "Superseded": 0, "Filtered": 0, "DeadLettered": 0, "Control": 0,
        "Parked": 0, "SystemicFaults": 0, "Unreconciled": 0,
    }  # fmt: skip


def test_a_poison_document_becomes_a_dead_letter_and_the_others_are_written(function: SyncFunction) -> None:
    said = function.call(
        event("insert", "first", {"a": {"b": 1}}, at=T),
        event("insert", "poison", {"a": 5}, at=T + 1),
        event("insert", "last", {"a": {"b": 2}}, at=T + 2),
    )
    assert (said["Written"], said["DeadLettered"], said["Parked"]) == (2, 1, 0)
    assert function.indexed().keys() == {"first", "last"}
    assert letters(function).keys() == {"poison"}


def test_what_only_looks_like_extended_json_becomes_a_dead_letter(function: SyncFunction) -> None:
    broken = event("insert", "broken", {"at": 1}, at=T)
    broken["fullDocument"]["at"] = {"$date": "yesterday"}
    no_time = event("insert", "no-time", {"n": 1}, at=T)
    del no_time["clusterTime"]
    no_key = event("insert", "x", {"n": 1}, at=T)
    no_key["documentKey"] = {"_id": {"$oid": "zz"}}
    said = function.call(broken, no_time, no_key, event("insert", "good", {"n": 1}, at=T + 1))
    assert (said["Written"], said["DeadLettered"]) == (1, 3)
    assert letters(function).keys() >= {"broken", "no-time"}
    assert all("secret" not in reason and "yesterday" not in reason for reason in letters(function).values())


def test_a_batch_that_is_delivered_twice_changes_nothing(function: SyncFunction) -> None:
    batch = [
        event("insert", "a", {"n": 1}, at=T),
        event("insert", "b", {"n": 1}, at=T + 1),
        event("delete", "b", at=T + 2),
    ]
    function.call(*batch)
    function.call(event("update", "a", {"n": 2}, at=T + 3))
    said = function.call(*batch)
    assert (said["Superseded"], said["Written"], said["Parked"]) == (1, 1, 0)
    assert function.indexed() == {"a": {"n": 2}}


def test_a_batch_whose_answer_is_lost_is_done_within_the_invocation(function: SyncFunction, between: Relay) -> None:
    function.call(event("insert", "warm", {"n": 0}, at=T))
    between.for_bulks("cut", AWAY, "drop")
    said = function.call(event("insert", "a", {"n": 1}, at=T + 1), event("delete", "warm", at=T + 2))
    assert (said["Written"], said["Parked"]) == (2, 0)
    assert function.indexed() == {"a": {"n": 1}}


def test_an_update_without_its_document_is_looked_up(function: SyncFunction, database: Database) -> None:
    database["orders"].insert_one({"_id": "there", "n": 5})
    function.call(event("insert", "there", {"n": 1}, at=T), event("insert", "gone", {"n": 1}, at=T + 1))
    said = function.call(event("update", "there", at=T + 2), event("update", "gone", at=T + 3))
    assert said["Written"] == 2
    assert function.indexed() == {"there": {"n": 5}}


def test_an_update_without_its_document_says_nothing_when_the_collection_is_gone(function: SyncFunction) -> None:
    function.call(event("insert", "a", {"n": 1}, at=T))
    said = function.call(event("update", "a", at=T + 1), event("update", "a", at=T + 2))
    assert (said["Written"], said["Control"]) == (0, 2)
    assert function.indexed() == {"a": {"n": 1}}


def test_keys_are_parked_without_bodies_when_the_index_is_away_and_replayed_later(
    function: SyncFunction, between: Relay, database: Database
) -> None:
    function.call(event("insert", "deleted-since", {"n": 1}, at=T))
    database["orders"].insert_one({"_id": "changed-since", "n": 2})
    between.plan = lambda _: AWAY
    said = function.call(
        event("insert", "changed-since", {"n": 1, "note": "a body"}, at=T + 1),
        event("update", "deleted-since", {"n": 3}, at=T + 2),
        left_s=2,
    )
    assert (said["Parked"], said["Written"], said["SystemicFaults"]) == (2, 0, 0)
    assert function.parked() == [
        {"ns": function.namespace, "id": '"changed-since"', "v": T + 1},
        {"ns": function.namespace, "id": '"deleted-since"', "v": T + 2},
    ]
    between.plan = lambda _: "pass"
    replayed = replay()
    assert (replayed.messages, replayed.counts.written) == (1, 2)
    assert function.indexed() == {"changed-since": {"n": 2}}
    assert function.queue.waiting() == 0
    function.call(event("insert", "changed-since", {"n": 1}, at=T + 1))  # a late delivery of what was parked
    assert function.indexed() == {"changed-since": {"n": 2}}


def test_a_replay_that_fails_leaves_the_keys_in_the_queue(function: SyncFunction, between: Relay) -> None:
    between.plan = lambda _: AWAY
    function.call(event("insert", "a", {"n": 1}, at=T), left_s=2)
    stop = threading.Event()

    def away(_asked: Asked) -> Said:
        stop.set()
        return AWAY

    between.plan = away
    with pytest.raises(Exception, match="stopped while waiting"):
        replay_parked(clients.settings(), stop=stop)
    assert [each["id"] for each in function.parked()] == ['"a"']


def test_a_message_that_is_not_of_penstock_stays_in_the_queue(function: SyncFunction) -> None:
    function.queue.send(['{"hello": "world"}', '{"penstock": 9, "parked": []}', "text"])
    replayed = replay()
    assert (replayed.messages, replayed.foreign) == (0, 3)
    assert function.queue.waiting() == 3


def test_it_raises_when_the_queue_is_away_too(
    function: SyncFunction, between: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9")
    forget()
    between.plan = lambda _: AWAY
    with pytest.raises(QueueUnavailable):
        function.call(event("insert", "a", {"n": 1}, at=T), left_s=2)


def test_a_defect_of_ours_loses_nothing(function: SyncFunction, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(sync, "_apply", broken)
    assert function.call(event("insert", "a", {"n": 1}, at=T))["Parked"] == 1
    assert [each["id"] for each in function.parked()] == ['"a"']


def test_a_dropped_collection_keeps_its_documents_and_is_marked_for_the_next_load(function: SyncFunction) -> None:
    function.call(event("insert", "a", {"n": 1}, at=T))
    said = function.call(event("drop", None, at=T + 1))
    assert (said["Control"], said["Parked"]) == (1, 0)
    assert function.indexed() == {"a": {"n": 1}}
    state = f"load/{function.namespace}/{function.alias}-g1"
    found = function.way.ask("POST", "/penstock-state/_mget", {"ids": [state]})["docs"][0]
    assert found["_source"]["phase"] == "dropped"


def test_old_documents_of_a_collection_that_is_back_are_reported_until_it_is_loaded(
    function: SyncFunction, database: Database
) -> None:
    assert function.call(event("insert", "old", {"n": 1}, at=T))["Unreconciled"] == 0
    assert function.call(event("drop", None, at=T + 1))["Unreconciled"] == 1
    forget()
    database["orders"].insert_one({"_id": "new", "n": 2})
    assert function.call(event("insert", "new", {"n": 2}, at=T + 2))["Unreconciled"] == 1
    assert function.indexed() == {"old": {"n": 1}, "new": {"n": 2}}
    load()
    function.look_at_every_call()
    assert function.call(event("update", "new", at=T + 3))["Unreconciled"] == 0
    assert function.indexed() == {"new": {"n": 2}}


def test_what_a_rename_put_in_the_place_of_a_collection_is_reported_until_it_is_loaded(
    function: SyncFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    emptied_by_drops(function, monkeypatch)
    db, coll = function.namespace.split(".")
    function.call(event("insert", "old", {"n": 1}, at=T))
    over = event("rename", None, at=T + 1, ns={"db": db, "coll": "others"}, to={"db": db, "coll": coll})
    assert function.call(over)["Unreconciled"] == 1
    assert function.call(event("insert", "new", {"n": 1}, at=T + 2))["Unreconciled"] == 1


def test_a_dropped_collection_is_emptied_where_the_settings_say_so(
    function: SyncFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    emptied_by_drops(function, monkeypatch)
    said = function.call(
        event("insert", "before", {"n": 1}, at=T),
        event("drop", None, at=T + 1),
        event("insert", "after", {"n": 2}, at=T + 2),
    )
    assert (function.indexed(), said["Unreconciled"]) == ({"after": {"n": 2}}, 0)
    function.call(event("insert", "before", {"n": 1}, at=T), event("drop", None, at=T + 1))
    assert function.indexed() == {"after": {"n": 2}}


def emptied_by_drops(function: SyncFunction, monkeypatch: pytest.MonkeyPatch) -> None:
    collections = f'[{{"namespace":"{function.namespace}","index":"{function.alias}","replicas":0,"on_drop":"empty"}}]'
    monkeypatch.setenv("PENSTOCK_COLLECTIONS", collections)
    forget()


def test_renames_and_invalidates_are_control_changes(function: SyncFunction) -> None:
    db = Namespace.named(function.namespace).db
    said = function.call(
        event("insert", "a", {"n": 1}, at=T),
        event("rename", None, at=T + 1, to={"db": db, "coll": "others"}),
        event("invalidate", None, at=T + 1),
        event("dropDatabase", None, at=T + 2),
        event("createIndexes", None, at=T + 3),
    )
    assert (said["Written"], said["Control"], said["Parked"]) == (1, 3, 0)
    assert function.indexed() == {"a": {"n": 1}}


def test_other_collections_and_databases_are_none_of_its_business(function: SyncFunction) -> None:
    db = Namespace.named(function.namespace).db
    said = function.call(
        event("insert", "a", {"n": 1}, at=T, ns={"db": db, "coll": "others"}),
        event("insert", "a", {"n": 1}, at=T, ns={"db": "elsewhere", "coll": "orders"}),
    )
    assert (said["Control"], said["Written"], said["Parked"]) == (2, 0, 0)


def test_an_index_that_was_replaced_since_its_load_takes_nothing(function: SyncFunction) -> None:
    db, state = Namespace.named(function.namespace).db, {"indexes": {f"{function.alias}-g1": "another"}}
    function.call(event("insert", "a", {"n": 1}, at=T))
    function.way.ask("PUT", f"/penstock-state/_doc/pipeline%2F{db}", {"schema": 1, **state})
    forget()
    said = function.call(event("insert", "b", {"n": 1}, at=T + 1))
    assert (said["SystemicFaults"], said["Parked"]) == (1, 1)
    assert function.indexed().keys() == {"a"}
    function.way.ask("DELETE", f"/penstock-state/_doc/pipeline%2F{db}")


def test_what_cursors_of_earlier_settings_left_behind_does_not_count(
    function: SyncFunction, database: Database
) -> None:
    """Such as those of `cursor_per = "collection"`, from before the index was deleted and loaded again."""
    state = {"schema": 1, "indexes": {f"{function.alias}-g1": "the one before"}}
    database["orders"].insert_one({"_id": "a"})
    load()
    function.way.ask("PUT", f"/penstock-state/_doc/pipeline%2F{function.namespace}", state)
    said = function.call(event("insert", "a", {"n": 1}, at=T))
    assert (said["SystemicFaults"], said["Parked"]) == (0, 0)
    function.way.ask("DELETE", f"/penstock-state/_doc/pipeline%2F{function.namespace}")


def test_an_index_that_is_deleted_is_not_made_anew_though_nobody_ever_loaded_it(function: SyncFunction) -> None:
    index = f"{function.alias}-g1"
    function.look_at_every_call()
    function.call(*[event("insert", each, {"n": 1}, at=T) for each in "abc"])
    function.way.ask("DELETE", f"/{index}")
    for _ in "in a warm container", "in a new one":
        said = function.call(event("insert", "d", {"n": 1}, at=T + 1))
        assert (said["SystemicFaults"], said["Parked"], said["Written"]) == (1, 1, 0)
        assert function.way.client.request("GET", f"/{index}").status == 404
        forget()


def test_an_index_that_is_replaced_takes_nothing_though_nobody_ever_loaded_it(function: SyncFunction) -> None:
    index = f"{function.alias}-g1"
    function.call(event("insert", "a", {"n": 1}, at=T))
    before = function.way.ask("GET", f"/{index}")[index]
    function.way.ask("DELETE", f"/{index}")
    function.way.ask("PUT", f"/{index}", {"aliases": before["aliases"], "mappings": before["mappings"]})
    forget()
    assert function.call(event("insert", "b", {"n": 1}, at=T + 1))["SystemicFaults"] == 1
    assert function.indexed() == {}


def test_a_deleted_index_is_back_after_a_load_and_a_replay(function: SyncFunction, database: Database) -> None:
    function.call(event("insert", "a", {"n": 1}, at=T))
    function.way.ask("DELETE", f"/{function.alias}-g1")
    database["orders"].insert_many([{"_id": "a", "n": 1}, {"_id": "b", "n": 2}])
    assert function.call(event("insert", "b", {"n": 2}, at=T + 1))["Parked"] == 1
    load(again=True)
    assert replay().messages == 1
    assert function.call(event("insert", "c", {"n": 3}, at=T + 2))["Written"] == 1
    assert function.indexed() == {"a": {"n": 1}, "b": {"n": 2}, "c": {"n": 3}}


@pytest.mark.parametrize("other", [{"Records": []}, {"events": [{"no": "event"}]}, {"events": 5}, [], None])
def test_it_is_called_by_its_mapping_alone(function: SyncFunction, other: object) -> None:
    with pytest.raises(NotAnEnvelope, match="event source mapping"):
        function.call_raw(other)


def test_an_empty_batch_is_nothing(function: SyncFunction) -> None:
    said = function.call()
    assert (said["Read"], "LagSeconds" in said) == (0, False)


def test_its_time_is_kept(function: SyncFunction, between: Relay) -> None:
    function.call(event("insert", "a", {"n": 1}, at=T))
    between.plan = lambda _: AWAY
    began = time.monotonic()
    function.call(event("insert", "b", {"n": 1}, at=T + 1), left_s=9)
    assert 1 < time.monotonic() - began < 9


def test_status_tells_of_parked_keys_and_of_a_queue_that_is_away(
    function: SyncFunction, between: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    function.call(event("insert", "a", {"n": 1}, at=T))
    between.plan = lambda asked: AWAY if "_bulk" in asked.path else "pass"
    function.call(event("insert", "b", {"n": 1}, at=T + 1), left_s=2)
    found = status(clients.settings())
    assert ([each.state for each in found.collections], found.parked, found.queue_problem) == (["mapped"], 1, "")
    checked = {each.subject: each for each in check(clients.settings())}["parking queue"]
    assert (checked.verdict, checked.detail) == ("warning", "1 message with parked keys")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9")
    found = status(clients.settings())
    assert ([each.state for each in found.collections], found.parked) == (["mapped"], None)
    assert "does not answer" in found.queue_problem
    checked = {each.subject: each for each in check(clients.settings())}["parking queue"]
    assert (checked.verdict, checked.detail) == ("warning", found.queue_problem)


@pytest.fixture
def beside(function: SyncFunction, way: Side) -> Iterator[GenerationRegistry]:
    """A second generation of the collection, which lacks a field."""
    function.look_at_every_call()
    function.call(event("insert", "warm", {"n": 0}, at=T))
    records = GenerationRegistry(StateStore(way.client, way.patience))
    declared = CollectionSettings(namespace=function.namespace, index=function.alias, replicas=0)
    fewer = declared.model_copy(update={"exclude": ("secret",)})
    made = [IndexDefinition.of(each, Transform(each)) for each in (declared, fewer)]
    records.create(
        CollectionRecord(function.namespace, function.alias).added(made[0], "serving").added(made[1], "building")
    )
    yield records
    StateStore(way.client, way.patience).delete(generations_id(function.alias))


def test_every_generation_is_fed_in_its_own_form(function: SyncFunction, beside: GenerationRegistry, way: Side) -> None:
    assert function.call(event("insert", "a", {"n": 1, "secret": "x"}, at=T + 1))["Parked"] == 0
    function.call(event("delete", "warm", at=T + 2))
    assert function.indexed() == {"a": {"n": 1, "secret": "x"}}
    assert way.documents(f"{function.alias}-g2-write") == {"a": {"n": 1}}


def test_a_generation_that_fails_beside_the_one_that_serves_parks_nothing(
    function: SyncFunction, beside: GenerationRegistry, way: Side
) -> None:
    state = {"schema": 2, "indexes": {f"{function.alias}-g2": "another"}}
    pipeline = f"/penstock-state/_doc/pipeline%2Fgeneration%2F{function.alias}-g2"
    way.ask("PUT", pipeline, state)
    said = function.call(event("insert", "a", {"n": 1}, at=T + 1))
    assert (said["Written"], said["Parked"], said["SystemicFaults"]) == (1, 0, 0)
    failed = beside.read([function.alias])[function.alias].numbered(2)
    assert failed is not None
    assert "was deleted, replaced or restored" in failed.failed
    assert way.client.request("GET", f"/{function.alias}-g2/_doc/a").status == 404
    way.ask("DELETE", pipeline)


@pytest.fixture
def with_items(function: SyncFunction, monkeypatch: pytest.MonkeyPatch) -> str:
    """The function feeds a second collection of the database, `items`; its alias."""
    db, alias = Namespace.named(function.namespace).db, f"{function.alias}-items"
    tables = [
        {"namespace": function.namespace, "index": function.alias, "replicas": 0},
        {"namespace": f"{db}.items", "index": alias, "replicas": 0},
    ]
    monkeypatch.setenv("PENSTOCK_COLLECTIONS", json.dumps(tables))
    forget()
    return alias


def test_an_index_that_is_gone_parks_the_changes_of_its_collection_alone(
    function: SyncFunction, with_items: str, way: Side
) -> None:
    db = Namespace.named(function.namespace).db
    items = {"ns": {"db": db, "coll": "items"}}
    function.call(event("insert", "a", {"n": 1}, at=T), event("insert", "b", {"n": 1}, at=T + 1, **items))
    assert way.documents(with_items) == {"b": {"n": 1}}
    way.ask("DELETE", f"/{function.alias}-g1")
    function.look_at_every_call()
    said = function.call(event("insert", "c", {"n": 1}, at=T + 2), event("insert", "d", {"n": 1}, at=T + 3, **items))
    assert (said["Written"], said["Parked"], said["SystemicFaults"]) == (1, 1, 1)
    assert [each["id"] for each in function.parked()] == ['"c"']
    assert way.documents(with_items).keys() == {"b", "d"}


def test_a_dropped_database_concerns_all_of_its_collections(
    function: SyncFunction, with_items: str, between: Relay
) -> None:
    db = Namespace.named(function.namespace).db
    items = {"ns": {"db": db, "coll": "items"}}
    function.call(event("insert", "a", {"n": 1}, at=T), event("insert", "b", {"n": 1}, at=T + 1, **items))
    said = function.call(event("dropDatabase", None, at=T + 2, ns={"db": db}))
    assert (said["Control"], said["Unreconciled"]) == (2, 2)
    assert {asked.path.partition("?")[0] for asked in between.asked if "_bulk" in asked.path} <= {
        f"/{alias}-g1-write/_bulk" for alias in (function.alias, with_items)
    } | {"/penstock-state/_bulk"}
