"""The replay of parked keys: odd ids, collections that went or came back, and messages that are not for us."""

import json
from typing import Any

import pytest
from pymongo.database import Database

from penstock.delivery.apply import Applier
from penstock.documents.document_id import document_id
from penstock.errors import QueueUnavailable, SettingsError, SystemicFault
from penstock.lambdas import clients
from penstock.model import WRITTEN, Write
from penstock.mongo.connection import cluster_time
from penstock.mongo.identity import SourceIdentity
from penstock.opensearch.state.pipeline_state import PipelineState
from penstock.opensearch.state.store import StateStore
from testkit.bson_values import IDS
from testkit.sink_access import Asked, Relay, Side
from testkit.sync_function import AWAY, SyncFunction, T, event, forget, replay


@pytest.fixture
def function(function: SyncFunction) -> SyncFunction:
    function.call(event("insert", "warm", {"n": -1}, at=T))
    return function


def park(function: SyncFunction, between: Relay, *events: dict[str, Any]) -> None:
    between.plan = lambda _: AWAY
    assert function.call(*events, left_s=2)["Parked"] == len(events)
    between.plan = lambda _: "pass"


@pytest.mark.parametrize("parked", [False, True])
def test_documents_of_every_type_of_id_are_found_again(
    function: SyncFunction, between: Relay, database: Database, *, parked: bool
) -> None:
    database["orders"].insert_many([{"_id": each, "n": n} for n, each in enumerate(IDS)])
    updates = [event("update", each, at=T + 1 + n) for n, each in enumerate(IDS)]
    if parked:
        park(function, between, *updates)
        counts = replay().counts
        assert (counts.read, counts.written) == (len(IDS), len(IDS))
    else:
        assert function.call(*updates)["Written"] == len(IDS)
    found = {text: held["n"] for text, held in function.indexed().items()}
    assert found == {"warm": -1, **{document_id(each): n for n, each in enumerate(IDS)}}


def test_what_was_looked_up_carries_the_time_of_its_reading(
    function: SyncFunction, between: Relay, database: Database
) -> None:
    """A state newer than its change must not be taken back by a change between the two."""
    database["orders"].insert_one({"_id": "a", "n": 5})
    function.call(event("update", "a", at=T + 1))
    park(function, between, event("update", "b", at=T + 1))
    replay()
    said = function.call(event("insert", "a", {"n": 4}, at=T + 2), event("insert", "b", {"n": 4}, at=T + 2))
    assert (said["Superseded"], function.indexed()) == (2, {"warm": {"n": -1}, "a": {"n": 5}})


@pytest.mark.parametrize("parked", [False, True])
def test_what_is_deleted_while_its_state_is_in_flight_does_not_come_back(
    function: SyncFunction, between: Relay, way: Side, database: Database, *, parked: bool
) -> None:
    """The index has forgotten the delete when the state arrives."""
    database["orders"].insert_one({"_id": "a", "n": 5})
    if parked:
        park(function, between, event("update", "a", at=T + 1))
    index, in_flight = f"{function.alias}-g1", iter([True])

    def plan(asked: Asked) -> str:
        if index in asked.path and b'{"index":{"_id":"a"' in asked.body and next(in_flight, False):
            database["orders"].delete_one({"_id": "a"})
            assert way.sink.write([Write(f"{index}-write", "a", cluster_time(database.client), None)]) == [WRITTEN]
            for what in ("_close", "_open"):
                way.ask("POST", f"/{index}/{what}")
        return "pass"

    between.plan = plan
    if parked:
        assert replay().counts.written == 1
    else:
        assert function.call(event("update", "a", at=T + 1))["Written"] == 1
    assert next(in_flight, None) is None
    assert function.indexed() == {"warm": {"n": -1}}


def test_what_was_parked_of_a_collection_that_is_gone_changes_nothing(function: SyncFunction, between: Relay) -> None:
    park(function, between, event("insert", "warm", {"n": 1}, at=T + 1))
    counts = replay().counts
    assert (counts.control, counts.written, function.queue.waiting()) == (1, 0, 0)
    assert function.indexed() == {"warm": {"n": -1}}


def test_a_parked_drop_keeps_what_came_after_it(
    function: SyncFunction, between: Relay, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = json.loads(clients.settings().model_dump_json())["collections"][0]
    monkeypatch.setenv("PENSTOCK_COLLECTIONS", json.dumps([{**collection, "on_drop": "empty"}]))
    forget()
    park(function, between, event("insert", "old", {"n": 1}, at=T + 1), event("drop", None, at=T + 2))
    database["orders"].insert_one({"_id": "new", "n": 2})
    function.call(event("insert", "new", {"n": 2}, at=T + 3))
    assert replay().counts.control == 1
    assert function.indexed() == {"new": {"n": 2}}
    forget()
    said = function.call(event("update", "new", at=T + 4))
    assert said["Unreconciled"] == 1, "a queue keeps no order: what is older than the drop may still come"


def test_a_poison_document_is_a_dead_letter_of_the_replay_too(
    function: SyncFunction, between: Relay, database: Database
) -> None:
    function.call(event("insert", "shape", {"a": {"b": 1}}, at=T))
    database["orders"].insert_many([{"_id": "poison", "a": 5}, {"_id": "good", "a": {"b": 2}}])
    park(function, between, event("update", "poison", at=T + 1), event("update", "good", at=T + 2))
    counts = replay().counts
    assert (counts.dead_lettered, counts.written, function.queue.waiting()) == (1, 1, 0)
    assert "good" in function.indexed()


def test_messages_for_others_stay_and_do_not_stop_the_rest(function: SyncFunction, database: Database) -> None:
    database["orders"].insert_one({"_id": "a", "n": 5})

    def text(**held: Any) -> str:
        return json.dumps({"penstock": 1, "parked": [{"ns": function.namespace, "id": '"a"', "v": 1, **held}]})

    foreign = [text(ns=5), text(id='{"$oid":"zz"}'), text(id='{"$date":"x"}'), text(ns="elsewhere.orders")]
    function.queue.send([*foreign, text()])
    with pytest.raises(SettingsError, match=r"parked keys of elsewhere\.orders, which is not a declared"):
        replay()
    assert function.indexed()["a"] == {"n": 5}
    assert sorted(each.text for each in function.queue.receive()) == sorted(foreign)  # at once


def test_a_message_is_deleted_only_after_it_was_applied(
    function: SyncFunction, between: Relay, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database["orders"].insert_one({"_id": "a", "n": 5})
    park(function, between, event("update", "a", at=T + 1))
    with monkeypatch.context() as patched:
        patched.setattr(Applier, "apply", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            replay()
    assert [each["id"] for each in function.parked()] == ['"a"']
    with monkeypatch.context() as patched:
        patched.setattr("penstock.aws.queue.Queue.delete", _refuse)
        with pytest.raises(QueueUnavailable):
            replay()
    assert function.indexed()["a"] == {"n": 5}
    assert replay().messages == 1


def test_a_source_that_is_another_one_is_not_asked_what_a_document_is_now(
    function: SyncFunction, between: Relay, way: Side, database: Database
) -> None:
    database["orders"].insert_one({"_id": "a", "n": 5})
    park(function, between, event("update", "a", at=T + 1))
    state = PipelineState(StateStore(way.client, way.patience), database.name, owner="a load", lease_s=60)
    state.acquire()
    state.save_source(SourceIdentity("rs0", hosts=frozenset({"elsewhere:27017"})).stored(), {})
    state.release()
    with pytest.raises(SystemicFault, match=r"belongs to the source rs0 \(elsewhere:27017\), but another one answers"):
        replay()
    said = function.call(event("insert", "b", {"n": 1}, at=T + 2), event("update", "a", at=T + 3))
    assert (said["SystemicFaults"], said["Parked"], said["Written"]) == (1, 2, 0), said
    assert function.call(event("insert", "c", {"n": 2}, at=T + 4))["Written"] == 1, "what it carries needs no source"
    assert function.indexed() == {"warm": {"n": -1}, "c": {"n": 2}}
    assert function.queue.waiting() == 2


def _refuse(*_: object) -> None:
    raise QueueUnavailable("The queue does not answer.")
