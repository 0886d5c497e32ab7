"""The sync function when servers hang, are slow or lose answers: it parks in time, and says no more than it should."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from penstock.delivery.parked_keys import changes_of
from penstock.errors import Stopped
from penstock.lambdas import sync
from penstock.worker.collections.drops import indexed
from testkit.sink_access import Asked, Plan, Relay, Said, Side
from testkit.sync_function import SyncFunction, T, event, forget, sync_function
from testkit.tcp_proxy import Proxy
from testkit.workspace import until


class HangingProxy(Proxy):
    """Keeps its connections, and passes nothing on while it hangs."""

    hangs = False

    def _forward(self, origin: socket.socket, target: socket.socket) -> None:
        with origin, target, suppress(OSError):
            while received := origin.recv(65536):
                if not self.hangs:
                    target.sendall(received)


@pytest.fixture
def source(source_client: MongoClient) -> Iterator[HangingProxy]:
    address = source_client.primary or source_client.address
    assert address is not None
    with HangingProxy(address) as proxy:
        yield proxy


@pytest.fixture
def function(
    monkeypatch: pytest.MonkeyPatch,
    way: Side,
    between: Relay,
    source: HangingProxy,
    database: Database,
    index_prefix: str,
    aws_url: str,
) -> Iterator[SyncFunction]:
    with sync_function(
        monkeypatch,
        way,
        queues_url=aws_url,
        source_uri=f"mongodb://127.0.0.1:{source.port}/?directConnection=true",
        sink_url=between.url,
        namespace=f"{database.name}.orders",
        alias=f"{index_prefix}orders",
        PENSTOCK_SINK_MAX_REQUEST_WRITES="1",
    ) as made:
        made.call(event("insert", "warm", {"n": 0}, at=T))
        yield made


def slowly(seconds: float) -> Plan:
    def plan(asked: Asked) -> str:
        if "/_bulk" in asked.path:
            time.sleep(seconds)
        return "pass"

    return plan


def test_many_slow_answers_do_not_outlast_the_invocation(function: SyncFunction, between: Relay) -> None:
    between.plan = slowly(1.5)
    others = set(threading.enumerate())
    began = time.monotonic()
    said = function.call(*[event("insert", n, {"n": n}, at=T + n) for n in range(1, 9)], left_s=9)
    assert time.monotonic() - began < 9
    sent = len(between.bulks())
    assert (said["Parked"], said["Written"]) == (8, 0)
    assert len(function.parked()) == 8
    its = [each for each in threading.enumerate() if each.name.startswith("invocation") and each not in others]
    until(lambda: not any(each.is_alive() for each in its), "its thread has ended")
    assert len(between.bulks()) == sent, "nothing is sent later"


def test_lost_answers_to_what_was_looked_up_do_not_outlast_the_invocation(
    function: SyncFunction, between: Relay, database: Database
) -> None:
    database["orders"].insert_one({"_id": "a", "n": 5})
    between.plan = lambda asked: "drop" if "/_bulk" in asked.path else "pass"
    before, began = len(between.bulks()), time.monotonic()
    assert function.call(event("update", "a", at=T + 1), left_s=8)["Parked"] == 1
    assert time.monotonic() - began < 8
    assert 1 < len(between.bulks()) - before < 30  # with waits between


def test_a_source_that_hangs_does_not_outlast_the_invocation(function: SyncFunction, source: HangingProxy) -> None:
    function.call(event("update", "warm", at=T + 1))
    source.hangs = True
    began = time.monotonic()
    said = function.call(event("update", "a", at=T + 2), left_s=8)
    assert time.monotonic() - began < 8
    source.cut()
    assert (said["Parked"], [each["id"] for each in function.parked()]) == (1, ['"a"'])


def test_what_was_left_behind_writes_nothing_later(
    function: SyncFunction, between: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container that goes on after a pause must not bring back what was deleted meanwhile."""
    paused, ended = threading.Event(), threading.Event()
    whole = sync._apply

    def after_a_pause(*arguments: object) -> object:
        try:
            paused.wait()
            return whole(*arguments)
        finally:
            ended.set()

    monkeypatch.setattr(sync, "_apply", after_a_pause)
    before = len(between.bulks())
    assert function.call(event("insert", "late", {"n": 1}, at=T + 1), left_s=3)["Parked"] == 1
    paused.set()
    assert ended.wait(20)
    assert len(between.bulks()) == before


def test_a_defect_is_told_without_its_own_words(
    function: SyncFunction, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = "".join(["a bo", "dy"])  # not in the source line that a traceback shows

    def broken(*_: object) -> None:
        raise ValueError(words)

    monkeypatch.setattr(sync, "_apply", broken)
    function.call(event("insert", "a", {"note": words}, at=T + 1))
    told = "".join(capfd.readouterr())
    assert "ValueError" in told
    assert "in broken" in told
    assert words not in told


def test_an_index_that_is_replaced_under_a_warm_container_takes_nothing(function: SyncFunction, way: Side) -> None:
    db, index = function.namespace.split(".")[0], f"{function.alias}-g1"
    before = way.ask("GET", f"/{index}")[index]
    known = {index: before["settings"]["index"]["uuid"]}
    way.ask("PUT", f"/penstock-state/_doc/pipeline%2F{db}", {"schema": 1, "indexes": known})
    way.ask("DELETE", f"/{index}")
    assert function.call(event("insert", "a", {"n": 1}, at=T + 1))["SystemicFaults"] == 1
    way.ask("PUT", f"/{index}", {"aliases": before["aliases"], "mappings": before["mappings"]})
    said = function.call(event("insert", "a", {"n": 1}, at=T + 1))
    assert (said["SystemicFaults"], said["Parked"], function.indexed()) == (1, 1, {})
    known[index] = way.ask("GET", f"/{index}")[index]["settings"]["index"]["uuid"]  # as after a load
    way.ask("PUT", f"/penstock-state/_doc/pipeline%2F{db}", {"schema": 1, "indexes": known})
    assert function.call(event("insert", "a", {"n": 1}, at=T + 1))["Written"] == 1
    way.ask("DELETE", f"/penstock-state/_doc/pipeline%2F{db}")


def test_a_warm_container_looks_at_its_indexes_from_time_to_time(function: SyncFunction, way: Side) -> None:
    db, state = function.namespace.split(".")[0], {"indexes": {f"{function.alias}-g1": "another"}}
    way.ask("PUT", f"/penstock-state/_doc/pipeline%2F{db}", {"schema": 1, **state})
    assert function.call(event("insert", "a", {"n": 1}, at=T + 1))["Written"] == 1
    function.look_at_every_call()
    assert function.call(event("insert", "b", {"n": 1}, at=T + 2))["SystemicFaults"] == 1
    way.ask("DELETE", f"/penstock-state/_doc/pipeline%2F{db}")


def test_what_other_threads_say_has_the_request_id(function: SyncFunction, capfd: pytest.CaptureFixture[str]) -> None:
    function.call(event("insert", "a", {"a": {"b": 1}}, at=T + 1), event("insert", "poison", {"a": "a body"}, at=T + 2))
    told = [line for line in "".join(capfd.readouterr()).splitlines() if "dead letter" in line]
    assert len(told) == 1
    assert "request-1" in told[0]
    assert "a body" not in told[0]


def test_a_large_batch_is_applied_and_parked_whole(
    function: SyncFunction, between: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PENSTOCK_SINK_MAX_REQUEST_WRITES")
    monkeypatch.setenv("PENSTOCK_SINK_TIMEOUT_S", "60")
    forget()
    batch = [event("insert", f"{n:060}", {"n": n, "note": "x" * 300}, at=T + n) for n in range(10_000)]
    assert function.call(*batch, left_s=300)["Written"] == 10_000
    monkeypatch.setenv("PENSTOCK_SINK_TIMEOUT_S", "2")
    forget()
    between.plan = lambda _: Said(503, b"{}")
    assert function.call(*batch, left_s=6)["Parked"] == 10_000
    texts = [each.text for _ in range(3) for each in function.queue.receive(hidden_s=60)]
    assert max(map(len, texts)) < 256 * 1024
    assert sum(len(changes_of(text)) for text in texts) == 10_000


def test_emptying_a_large_index_ends_when_it_is_told_to(function: SyncFunction, way: Side) -> None:
    function.call(*[event("insert", n, {"n": n}, at=T + n) for n in range(1, 4)])
    pages = indexed(way.client, way.patience, f"{function.alias}-g1")
    assert len(next(pages)) == 4
    way.stop.set()
    with pytest.raises(Stopped):
        list(indexed(way.client, way.patience, f"{function.alias}-g1"))
