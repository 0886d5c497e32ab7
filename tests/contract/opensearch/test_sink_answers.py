"""The real sink under every answer that a cluster gives: waiting, splitting, refusing, and what it must never do."""

import json
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from penstock.errors import IndexTakenAway, LeaseLost, ReadAgain, SinkUnavailable, Stopped, SystemicFault
from penstock.model import SUPERSEDED, WRITTEN, Outcome, Refusal, Write
from penstock.opensearch.http.error_table import DROPPED, judge_item
from penstock.runtime.backoff import Backoff
from testkit.opensearch_bodies import FIELDS, RECORDED, Server, provoke_wrong_values
from testkit.sink_access import Asked, Relay, Said, Side, eventually, once_it_waits, relay, side

REQUESTS = json.loads(RECORDED.read_text())["requests"]
OVERLOADED = Said(429, json.dumps(REQUESTS["circuit breaker"]["body"]).encode())
READ_ONLY = Said(403, json.dumps(REQUESTS["cluster read-only"]["body"]).encode())
BAD_REQUEST = Said(400, json.dumps(REQUESTS["id of 513 bytes"]["body"]).encode())
TOO_LARGE = Said(413, b'{"Message":"Request size exceeded 10485760 bytes"}')
AWAY = Said(503, b"<html>upstream is away</html>")
REASONS = ("overloaded", "blocked", "closed", "unavailable", "lost")


def writes(alias: str, count: int = 4, version: int = 1) -> list[Write]:
    return [Write(alias, f"id-{number}", version, b'{"n":1}') for number in range(count)]


class TestWaiting:
    @pytest.mark.parametrize("block", ["read_only_allow_delete", "write"])
    def test_a_blocked_index_is_waited_for(self, way: Side, index_prefix: str, block: str) -> None:
        made = way.generation(f"{index_prefix}a")
        way.ask("PUT", f"/{made.index}/_settings", {f"index.blocks.{block}": True})
        free = {f"index.blocks.{block}": None}
        with once_it_waits(way, lambda: way.ask("PUT", f"/{made.index}/_settings", free)):
            assert way.sink.write(writes(made.write_alias)) == [WRITTEN] * 4
        assert way.metrics.value("penstock_waits_total", reason="blocked") > 0
        assert not way.waiting()

    def test_a_closed_index_is_waited_for(self, way: Side, index_prefix: str) -> None:
        made = way.generation(f"{index_prefix}a")
        way.ask("POST", f"/{made.index}/_close")
        with once_it_waits(way, lambda: way.ask("POST", f"/{made.index}/_open")):
            assert way.sink.write(writes(made.write_alias)) == [WRITTEN] * 4
        assert way.metrics.value("penstock_waits_total", reason="closed") > 0

    def test_an_index_without_its_primary_is_waited_for(self, sink_url: str, index_prefix: str) -> None:
        with side(sink_url, timeout_s=2) as way:
            nowhere = {"index.routing.allocation.require._name": "nowhere"}
            body = {"settings": nowhere, "aliases": {f"{index_prefix}write": {}}}
            way.ask("PUT", f"/{index_prefix}a?wait_for_active_shards=0", body)
            here = dict.fromkeys(nowhere)
            with once_it_waits(way, lambda: way.ask("PUT", f"/{index_prefix}a/_settings", here)):
                assert way.sink.write(writes(f"{index_prefix}write")) == [WRITTEN] * 4
            assert way.metrics.value("penstock_waits_total", reason="unavailable") > 0

    @pytest.mark.parametrize(
        ("step", "reason"),
        [(OVERLOADED, "overloaded"), (READ_ONLY, "blocked"), (AWAY, "unavailable"), ("drop", "lost"), ("cut", "lost")],
    )
    def test_a_request_that_only_has_to_wait_is_sent_again(
        self, between: Relay, relayed: Side, index_prefix: str, step: Said | str, reason: str
    ) -> None:
        alias = relayed.generation(f"{index_prefix}a").write_alias
        between.for_bulks(step, step)
        assert relayed.sink.write(writes(alias)) == [WRITTEN] * 4
        assert relayed.metrics.value("penstock_waits_total", reason=reason) == 2
        assert len(between.bulks()) == 3
        assert not relayed.waiting()

    def test_only_the_writes_that_have_to_wait_are_sent_again(
        self, between: Relay, relayed: Side, index_prefix: str
    ) -> None:
        alias = relayed.generation(f"{index_prefix}a").write_alias
        full = {"type": "rejected_execution_exception", "reason": "full"}
        done, item = {"status": 201}, {"status": 429, "error": full}
        items = [{"index": {"_id": f"id-{n}", **each}} for n, each in enumerate([done, item, done, item])]
        between.for_bulks(Said(200, json.dumps({"errors": True, "items": items}).encode()))
        assert relayed.sink.write(writes(alias)) == [WRITTEN] * 4
        assert [each["index"]["_id"] for each in between.bulks()[1].lines[::2]] == ["id-1", "id-3"]

    def test_a_cluster_that_is_away_is_waited_for_until_told_to_stop(self) -> None:
        with side("http://127.0.0.1:9") as way:
            with once_it_waits(way, way.stop.set), pytest.raises(Stopped):
                way.sink.write(writes("a"))
            assert not way.waiting()

    @pytest.mark.parametrize(
        "answer",
        [
            Said(200, b'{"errors":false,"items":[{"index":{"status":201}}]}'),
            Said(200, b'{"errors":false,"items":[{"index":{"status":201}},{"index":{}},3,4]}'),
            Said(
                200,
                b'{"errors":true,"items":[%b,{"index":{"status":400}}]}' % b",".join([b'{"index":{"status":201}}'] * 4),
            ),
            Said(200, b'{"errors":false,"items":[%b]}' % b",".join([b'{"index":{"_id":"other","status":201}}'] * 4)),
            Said(200, b'{"errors":false}'),
            Said(200, b'{"errors":false,"items":[{"index":{"status":201}},{"ind'),
            Said(200, b"welcome"),
        ],
    )
    def test_an_answer_that_does_not_speak_of_every_write_is_no_success(
        self, between: Relay, relayed: Side, index_prefix: str, answer: Said
    ) -> None:
        alias = relayed.generation(f"{index_prefix}a").write_alias
        between.for_bulks(answer)
        assert relayed.sink.write(writes(alias)) == [WRITTEN] * 4
        assert relayed.metrics.value("penstock_waits_total", reason="lost") == 1
        assert len(relayed.documents(alias)) == 4


def document_requests(between: Relay) -> list[Asked]:
    """The bulk requests that carry a document; others only ask whether the index takes writes."""
    return [each for each in between.bulks() if b'"id-' in each.body]


class TestWhatIsReadOutsideTheStream:
    """With `send_before`, nothing is sent after a wait: what was read meanwhile may have been deleted."""

    @pytest.mark.parametrize("step", ["cut", "drop", AWAY, OVERLOADED, READ_ONLY, Said(200, b"{}")])
    def test_after_a_wait_the_documents_are_to_be_read_again(
        self, between: Relay, relayed: Side, index_prefix: str, step: Said | str
    ) -> None:
        alias = relayed.generation(f"{index_prefix}a").write_alias
        between.for_bulks(step)
        with pytest.raises(ReadAgain, match="did not take all of them at once"):
            relayed.sink.write(writes(alias), send_before=time.monotonic() + 60)
        assert len(document_requests(between)) == 1
        assert sum(relayed.metrics.value("penstock_waits_total", reason=reason) for reason in REASONS) == 1
        assert not relayed.waiting()

    def test_one_item_that_has_to_wait_is_not_sent_again_either(
        self, between: Relay, relayed: Side, index_prefix: str
    ) -> None:
        alias = relayed.generation(f"{index_prefix}a").write_alias
        full = {"type": "rejected_execution_exception", "reason": "full"}
        items = [{"index": {"_id": f"id-{n}", "status": 201}} for n in range(3)]
        items.append({"index": {"_id": "id-3", "status": 429, "error": full}})
        between.for_bulks(Said(200, json.dumps({"errors": True, "items": items}).encode()))
        with pytest.raises(ReadAgain):
            relayed.sink.write(writes(alias), send_before=time.monotonic() + 60)
        assert len(document_requests(between)) == 1

    @pytest.mark.parametrize("block", ["read_only_allow_delete", "write"])
    def test_it_waits_until_the_index_takes_writes(self, way: Side, index_prefix: str, block: str) -> None:
        made = way.generation(f"{index_prefix}a")
        way.ask("PUT", f"/{made.index}/_settings", {f"index.blocks.{block}": True})
        free = {f"index.blocks.{block}": None}

        def unblock() -> None:
            eventually(lambda: way.metrics.value("penstock_waits_total", reason="blocked") > 2)
            way.ask("PUT", f"/{made.index}/_settings", free)

        with once_it_waits(way, unblock), pytest.raises(ReadAgain):
            way.sink.write(writes(made.write_alias), send_before=time.monotonic() + 60)
        assert way.sink.write(writes(made.write_alias), send_before=time.monotonic() + 60) == [WRITTEN] * 4

    def test_a_closed_index_is_waited_for_too(self, way: Side, index_prefix: str) -> None:
        made = way.generation(f"{index_prefix}a")
        way.ask("POST", f"/{made.index}/_close")
        with once_it_waits(way, lambda: way.ask("POST", f"/{made.index}/_open")), pytest.raises(ReadAgain):
            way.sink.write(writes(made.write_alias), send_before=time.monotonic() + 60)

    def test_an_index_that_disappears_meanwhile_stops_the_pipeline(self, way: Side, index_prefix: str) -> None:
        made = way.generation(f"{index_prefix}a")
        way.ask("PUT", f"/{made.index}/_settings", {"index.blocks.write": True})
        with once_it_waits(way, lambda: way.ask("DELETE", f"/{made.index}")), pytest.raises(IndexTakenAway):
            way.sink.write(writes(made.write_alias), send_before=time.monotonic() + 60)

    def test_the_waits_of_a_row_grow_until_what_was_refused_is_taken(
        self, between: Relay, relayed: Side, index_prefix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        alias = relayed.generation(f"{index_prefix}a").write_alias
        waits: list[int] = []
        wait = Backoff.wait
        monkeypatch.setattr(Backoff, "wait", lambda self: (waits.append(self.attempts), wait(self))[1])
        between.plan = lambda asked: AWAY if b'"id-0"' in asked.body else "pass"

        def refused() -> None:
            with pytest.raises(ReadAgain):
                relayed.sink.write(writes(alias), send_before=time.monotonic() + 60)

        def others_taken() -> None:
            others = [each._replace(id=f"other-{each.id}") for each in writes(alias)]
            assert relayed.sink.write(others, send_before=time.monotonic() + 60) == [WRITTEN] * 4

        for step in (refused, others_taken, refused, others_taken, refused):
            step()
        assert waits == [0, 1, 2]
        between.plan = lambda _: "pass"
        assert relayed.sink.write(writes(alias), send_before=time.monotonic() + 60) == [WRITTEN] * 4
        between.plan = lambda asked: AWAY if b'"id-0"' in asked.body else "pass"
        refused()
        assert waits == [0, 1, 2, 0]

    def test_one_of_several_requests_asks_for_all(self, between: Relay, index_prefix: str) -> None:
        together = threading.Barrier(4, timeout=60)

        def plan(asked: Asked) -> Said | str:
            if b'"id-' in asked.body:
                together.wait()
                return AWAY
            return "pass"

        with side(between.url, requests_in_flight=4) as way, ThreadPoolExecutor(4) as pool:
            alias = way.generation(f"{index_prefix}a").write_alias
            between.plan = plan
            until = time.monotonic() + 60
            asked = [pool.submit(way.sink.write, writes(alias), send_before=until) for _ in range(4)]
            assert all(isinstance(each.exception(), ReadAgain) for each in asked)
        assert not together.broken
        assert len(document_requests(between)) == 4
        assert 1 <= len(between.bulks()) - 4 < 4

    def test_a_rejection_that_lasts_asks_to_read_again_at_its_time(
        self, between: Relay, relayed: Side, index_prefix: str
    ) -> None:
        alias = relayed.generation(f"{index_prefix}a").write_alias
        between.plan = lambda _: OVERLOADED
        with pytest.raises(ReadAgain):
            relayed.sink.write(writes(alias), send_before=time.monotonic() + 2)
        assert len(between.bulks()) >= 2
        assert len(document_requests(between)) == 1
        assert not relayed.waiting()

    def test_a_server_that_is_away_is_asked_until_its_time(self) -> None:
        with side("http://127.0.0.1:9") as way:
            with pytest.raises(ReadAgain):
                way.sink.write(writes("a"), send_before=time.monotonic() + 1)
            assert way.metrics.value("penstock_waits_total", reason="lost") >= 1

    def test_the_wait_ends_when_told_to_stop(self) -> None:
        with side("http://127.0.0.1:9") as way:
            with once_it_waits(way, way.stop.set), pytest.raises(Stopped):
                way.sink.write(writes("a"), send_before=time.monotonic() + 60)
            assert not way.waiting()

    def test_the_wait_ends_with_the_lease(self, between: Relay, relayed: Side, index_prefix: str) -> None:
        alias = relayed.generation(f"{index_prefix}a").write_alias
        held = iter([True])

        def may_send() -> None:
            if not next(held, False):
                raise LeaseLost("taken over")

        relayed.sink.may_send = may_send
        between.plan = lambda _: AWAY
        with pytest.raises(LeaseLost):
            relayed.sink.write(writes(alias), send_before=time.monotonic() + 60)
        assert len(between.bulks()) == 1


class TestSplitting:
    def test_a_request_too_large_for_the_server_is_split(
        self, between: Relay, relayed: Side, index_prefix: str
    ) -> None:
        alias = relayed.generation(f"{index_prefix}a").write_alias
        between.plan = lambda asked: TOO_LARGE if len(asked.body) > 500 and "_bulk" in asked.path else "pass"
        assert relayed.sink.write(writes(alias, 16)) == [WRITTEN] * 16
        assert len(relayed.documents(alias)) == 16

    def test_a_document_too_large_for_the_server_is_refused(
        self, between: Relay, relayed: Side, index_prefix: str
    ) -> None:
        alias = relayed.generation(f"{index_prefix}a").write_alias
        between.plan = lambda asked: TOO_LARGE if len(asked.body) > 500 and "_bulk" in asked.path else "pass"
        large = Write(alias, "large", 1, json.dumps({"text": "x" * 500}).encode())
        outcomes = relayed.sink.write([*writes(alias, 3), large, *writes(alias, 2, version=2)])
        assert outcomes.pop(3) == Refusal(413, "larger than the server accepts in one request")
        assert outcomes == [WRITTEN] * 5

    def test_a_request_refused_as_a_whole_is_halved_until_the_bad_write_stands_alone(
        self, between: Relay, relayed: Side, index_prefix: str
    ) -> None:
        alias = relayed.generation(f"{index_prefix}a").write_alias
        between.plan = lambda asked: BAD_REQUEST if b"poison" in asked.body else "pass"
        asked = writes(alias, 50)
        asked[17] = Write(alias, "poison", 1, b"{}")
        outcomes = relayed.sink.write(asked)
        assert isinstance(outcomes.pop(17), Refusal)
        assert outcomes == [WRITTEN] * 49
        assert len(between.bulks()) <= 14

    def test_requests_are_bounded_by_bytes_and_by_count(self, between: Relay, index_prefix: str) -> None:
        with side(between.url, max_request_bytes=64 * 1024, max_request_writes=40) as way:
            alias = way.generation(f"{index_prefix}a").write_alias
            large = [Write(alias, f"large-{n}", 1, json.dumps({"text": "x" * 10_000}).encode()) for n in range(20)]
            assert way.sink.write(large + writes(alias, 100)) == [WRITTEN] * 120
        sizes = [(len(each.body), len(each.lines) // 2) for each in between.bulks()]
        assert all(size <= 64 * 1024 and count <= 40 for size, count in sizes)
        assert [count for _, count in sizes] == [6, 6, 6, 40, 40, 22]

    def test_a_document_above_the_bound_goes_alone(self, between: Relay, index_prefix: str) -> None:
        with side(between.url, max_request_bytes=64 * 1024) as way:
            alias = way.generation(f"{index_prefix}a").write_alias
            large = Write(alias, "large", 1, json.dumps({"text": "x" * 100_000}).encode())
            assert way.sink.write([*writes(alias, 2), large, *writes(alias, 2)]) == [WRITTEN] * 5
        assert [len(each.lines) // 2 for each in between.bulks()] == [2, 1, 2]


class TestRequests:
    def test_writes_of_one_alias_go_to_its_own_path_and_of_several_to_one_for_all(
        self, between: Relay, relayed: Side, index_prefix: str
    ) -> None:
        one = relayed.generation(f"{index_prefix}one").write_alias
        two = relayed.generation(f"{index_prefix}two", namespace="shop.two").write_alias
        relayed.sink.write(writes(one))
        relayed.sink.write(writes(one) + writes(two))
        assert [each.path.partition("?")[0] for each in between.bulks()] == [f"/{one}/_bulk", "/_bulk"]

    def test_every_write_requires_the_alias_and_carries_its_version(
        self, between: Relay, relayed: Side, index_prefix: str
    ) -> None:
        alias = relayed.generation(f"{index_prefix}a").write_alias
        relayed.sink.write([*writes(alias, 1, version=7), Write(alias, "gone", 7, None)])
        told = {"version": 7, "version_type": "external_gte", "require_alias": True}
        lines = between.bulks()[0].lines
        assert [lines[0], lines[2]] == [{"index": {"_id": "id-0", **told}}, {"delete": {"_id": "gone", **told}}]

    def test_a_proxy_that_drops_the_parameters_changes_nothing(
        self, sink_url: str, between: Relay, relayed: Side, index_prefix: str
    ) -> None:
        alias = relayed.generation(f"{index_prefix}a").write_alias

        def without_parameters(asked: Asked) -> Said | str:
            if "filter_path" not in asked.path:
                return "pass"
            with side(sink_url) as direct:
                answer = direct.client.request(asked.method, asked.path.partition("?")[0], asked.body)
            return Said(answer.status, answer.raw)

        between.plan = without_parameters
        outcomes = relayed.sink.write([*writes(alias, 2), Write(alias, "gone", 1, None)])
        outcomes += relayed.sink.write(writes(alias, 2, version=0))
        assert outcomes == [WRITTEN] * 3 + [SUPERSEDED] * 2

    def test_requests_are_compressed_when_asked(self, between: Relay, index_prefix: str) -> None:
        with side(between.url, gzip=True) as way:
            alias = way.generation(f"{index_prefix}a").write_alias
            assert way.sink.write(writes(alias, 100)) == [WRITTEN] * 100
        (asked,) = between.bulks()
        assert asked.headers["content-encoding"] == "gzip"
        assert len(asked.body) < 2000


class TestIndexTakenAway:
    """An index that disappears is never made again by a write: its position would be lost without a word."""

    @pytest.mark.parametrize(
        "kinds", [("index",), ("delete",), ("index", "delete")], ids=["indexes", "deletes only", "both"]
    )
    def test_a_deleted_index_stops_the_pipeline_and_stays_deleted(
        self, way: Side, index_prefix: str, kinds: tuple[str, ...]
    ) -> None:
        made = way.generation(f"{index_prefix}a")
        way.ask("DELETE", f"/{made.index}")
        asked = [Write(made.write_alias, kind, 1, b"{}" if kind == "index" else None) for kind in kinds]
        with pytest.raises(SystemicFault, match="Another tool deleted or replaced it"):
            way.sink.write(asked)
        assert way.client.request("GET", f"/{made.write_alias}").status == 404

    def test_deletes_to_one_of_several_aliases_do_not_make_its_index(self, way: Side, index_prefix: str) -> None:
        there = way.generation(f"{index_prefix}there").write_alias
        gone = f"{index_prefix}gone-write"
        with pytest.raises(SystemicFault, match="Another tool deleted or replaced it"):
            way.sink.write([*writes(there), Write(gone, "a", 1, None)])
        assert way.client.request("GET", f"/{gone}").status == 404

    def test_deletes_alone_are_written_when_the_index_is_there(self, way: Side, index_prefix: str) -> None:
        one = way.generation(f"{index_prefix}one").write_alias
        two = way.generation(f"{index_prefix}two", namespace="shop.two").write_alias
        way.sink.write(writes(one) + writes(two))
        gone = [write._replace(body=None, version=2) for write in writes(one) + writes(two)]
        assert way.sink.write(gone[:4]) == [WRITTEN] * 4
        assert way.sink.write(gone) == [WRITTEN] * 8
        assert way.documents(one) == way.documents(two) == {}

    def test_a_concrete_index_in_place_of_the_alias_stops_the_pipeline(self, way: Side, index_prefix: str) -> None:
        way.ask("PUT", f"/{index_prefix}a-g1-write")
        with pytest.raises(SystemicFault):
            way.sink.write(writes(f"{index_prefix}a-g1-write"))

    def test_an_alias_of_two_indexes_stops_the_pipeline(self, way: Side, index_prefix: str) -> None:
        for name in ("one", "two"):
            way.ask("PUT", f"/{index_prefix}{name}", {"aliases": {f"{index_prefix}both": {}}})
        with pytest.raises(SystemicFault, match="no write index"):
            way.sink.write(writes(f"{index_prefix}both"))

    def test_a_document_with_the_words_of_the_error_is_only_refused(self, way: Side, index_prefix: str) -> None:
        made = way.generation(f"{index_prefix}a")
        way.ask("PUT", f"/{made.index}/_mapping", {"properties": {"n": {"type": "long", "ignore_malformed": False}}})
        words = "no write index is defined for alias [shop]"
        (refused,) = way.sink.write([Write(made.write_alias, "1", 1, json.dumps({"n": words}).encode())])
        assert isinstance(refused, Refusal)
        assert refused.reason.startswith("mapper_parsing_exception")


class TestMaySend:
    @pytest.mark.parametrize("step", [OVERLOADED, "drop", TOO_LARGE], ids=["repeated", "unclear", "split"])
    def test_it_is_asked_before_each_request_of_a_call(
        self, between: Relay, relayed: Side, index_prefix: str, step: Said | str
    ) -> None:
        alias = relayed.generation(f"{index_prefix}a").write_alias
        between.for_bulks(step)

        def only_once() -> None:
            if between.bulks():
                raise LeaseLost("it is another worker's")

        relayed.sink.may_send = only_once
        with pytest.raises(LeaseLost):
            relayed.sink.write(writes(alias))
        assert len(between.bulks()) == 1


class TestRequestsInFlight:
    def test_many_callers_have_no_more_requests_under_way_than_the_settings_allow(
        self, sink_url: str, index_prefix: str
    ) -> None:
        under_way, most, lock = [0], [0], threading.Lock()
        two, third = threading.Barrier(2), threading.Event()

        def plan(asked: Asked) -> str:
            if "/_bulk" in asked.path:
                with lock:
                    under_way[0] += 1
                    most[0] = max(most[0], under_way[0])
                if under_way[0] > 2:
                    third.set()
                two.wait(20)  # broken, and an error, when two are never under way together
                third.wait(0.1)  # the time in which a third one would have come
                with lock:
                    under_way[0] -= 1
            return "pass"

        with relay(sink_url) as between, side(between.url, requests_in_flight=2) as way:
            alias = way.generation(f"{index_prefix}a").write_alias
            between.plan = plan
            with ThreadPoolExecutor(6) as pool:
                outcomes = list(pool.map(lambda _: way.sink.write(writes(alias)), range(6)))
        assert outcomes == [[WRITTEN] * 4] * 6
        assert most == [2]

    def test_whether_a_request_may_still_be_sent_is_asked_when_there_is_room_for_it(
        self, sink_url: str, index_prefix: str
    ) -> None:
        in_time = 0.3
        with relay(sink_url) as between, side(between.url, requests_in_flight=1) as way, ThreadPoolExecutor() as pool:
            alias = way.generation(f"{index_prefix}a").write_alias
            second: list[Future[list[Outcome]]] = []

            def plan(asked: Asked) -> str:
                if "/_bulk" in asked.path and not second:
                    until = time.monotonic() + in_time
                    second.append(pool.submit(way.sink.write, writes(alias), send_before=until))
                    eventually(lambda: time.monotonic() > until)
                return "pass"

            between.plan = plan
            assert way.sink.write(writes(alias)) == [WRITTEN] * 4
            with pytest.raises(ReadAgain):
                second[0].result(20)
            assert len(between.bulks()) == 1


class TestRefusals:
    def test_no_value_of_a_document_stands_in_the_reason(self, sink_url: str, index_prefix: str) -> None:
        secret = "s3cr et'x\"y]z"
        recorded = json.loads(RECORDED.read_text())["items"]
        found = provoke_wrong_values(Server(sink_url, index_prefix), secret)
        for name, item in found.items():
            refusal = judge_item(item["status"], item.get("error"))
            assert isinstance(refusal, Refusal), name
            assert refusal.status == recorded[name]["status"], name
            for part in ("s3cr", "et'", "y]z", "115, 51, 99"):
                assert part not in refusal.reason, (name, refusal)
            assert refusal.reason.startswith(recorded[name]["error"]["type"]), name
            field = name.partition(":")[0]
            assert field in refusal.reason or field in ("a_binary", "a_completion"), refusal
        assert len(found) == len(FIELDS)

    def test_one_refused_document_does_not_keep_its_neighbours_back(self, way: Side, index_prefix: str) -> None:
        alias = way.generation(f"{index_prefix}a").write_alias
        way.sink.write([Write(alias, "first", 1, b'{"o":{"a":1}}')])
        outcomes = way.sink.write([*writes(alias, 1), Write(alias, "bad", 1, b'{"o":5}'), *writes(alias, 1)])
        assert outcomes[0] == outcomes[2] == WRITTEN
        assert isinstance(outcomes[1], Refusal)
        assert "object mapping for [o]" in outcomes[1].reason

    @pytest.mark.parametrize(
        ("step", "message"),
        [
            (Said(403, b'{"message":"User: anonymous is not authorized to perform: es:ESHttpPost"}'), "not authorized"),
            (Said(401, b"Unauthorized"), "credentials"),
            (Said(404, b"<html>not here</html>"), "address"),
            (Said(301, b""), "address"),
            (Said(200, json.dumps({"errors": True, "items": [{"index": {"_id": "id-0", "status": 403, "error": {
                "type": "security_exception", "reason": "no permissions for [indices:data/write/index]"}}}]}).encode()),
             "no permissions"),
        ],
    )  # fmt: skip
    def test_what_no_waiting_mends_says_what_to_do(
        self, between: Relay, relayed: Side, index_prefix: str, step: Said, message: str
    ) -> None:
        alias = relayed.generation(f"{index_prefix}a").write_alias
        between.for_bulks(step)
        with pytest.raises(SinkUnavailable, match=message):
            relayed.sink.write(writes(alias, 1))

    def test_bulk_requests_are_counted_by_their_answer(self, between: Relay, relayed: Side, index_prefix: str) -> None:
        alias = relayed.generation(f"{index_prefix}a").write_alias
        between.for_bulks("drop", OVERLOADED)
        relayed.sink.write(writes(alias))
        counted = {s: relayed.metrics.value("penstock_bulk_requests_total", status=s) for s in ("lost", "429", "200")}
        assert counted == {"lost": 1, "429": 1, "200": 1}
        assert relayed.metrics.value("penstock_bulk_bytes_total") == sum(len(each.body) for each in between.bulks())


def test_writers_in_several_threads_wait_and_go_on_together(between: Relay, relayed: Side, index_prefix: str) -> None:
    alias = relayed.generation(f"{index_prefix}a").write_alias
    between.plan = lambda _: OVERLOADED
    outcomes: list[Any] = []
    threads = [
        threading.Thread(target=lambda v=version: outcomes.extend(relayed.sink.write(writes(alias, version=v))))
        for version in (1, 2, 3)
    ]
    for thread in threads:
        thread.start()
    eventually(lambda: relayed.metrics.value("penstock_waits_total", reason="overloaded") >= 6)
    assert relayed.waiting()
    between.plan = lambda _: "pass"
    for thread in threads:
        thread.join()
    assert len(outcomes) == 12
    assert not relayed.waiting()


class TestAnswersBelongToTheDocumentsTheyName:
    """OpenSearch answers in another order than it was asked in when an ingest pipeline fails, or drops documents."""

    @pytest.fixture
    def piped(self, way: Side, index_prefix: str) -> Iterator[str]:
        """The write alias of an index whose pipeline wants a date in `when`, and drops what says `skip`."""
        made = way.generation(f"{index_prefix}a")
        processors = [
            {"date": {"field": "when", "formats": ["ISO8601"]}},
            {"drop": {"if": "ctx.skip == true"}},
        ]
        way.ask("PUT", f"/_ingest/pipeline/{made.index}", {"processors": processors})
        way.ask("PUT", f"/{made.index}/_settings", {"index.default_pipeline": made.index})
        yield made.write_alias
        way.ask("PUT", f"/{made.index}/_settings", {"index.default_pipeline": "_none"})
        way.ask("DELETE", f"/_ingest/pipeline/{made.index}")

    def test_each_outcome_is_that_of_its_document(self, way: Side, piped: str) -> None:
        outcomes = way.sink.write(
            [
                Write(piped, "1", 1, b'{"when":"not a date"}'),
                Write(piped, "2", 1, b'{"when":"2024-01-01T00:00:00Z","skip":true}'),
                Write(piped, "3", 1, b'{"when":"2024-01-02T00:00:00Z"}'),
                Write(piped, "4", 1, None),
            ]
        )
        refused, dropped, *written = outcomes
        assert isinstance(refused, Refusal)
        assert refused.reason.startswith("illegal_argument_exception; ")
        assert dropped == Refusal(200, DROPPED)
        assert written == [WRITTEN, WRITTEN]
        assert set(way.documents(piped)) == {"3"}

    @pytest.mark.parametrize(
        "processor",
        [
            {"date": {"field": "when", "formats": ["ISO8601"]}},
            {"convert": {"field": "when", "type": "integer"}},
        ],
    )
    def test_a_processor_s_words_are_left_out(self, way: Side, piped: str, processor: dict[str, Any]) -> None:
        pipeline = piped.removesuffix("-write")
        way.ask("PUT", f"/_ingest/pipeline/{pipeline}", {"processors": [processor]})
        (outcome,) = way.sink.write([Write(piped, "1", 1, b'{"when":"card 4111-1111"}')])
        assert isinstance(outcome, Refusal)
        assert "4111" not in outcome.reason
        assert re.match(r"\w+_exception", outcome.reason)

    @pytest.mark.parametrize(
        "processor", [{"fail": {"message": "no {{when}}", "if": "ctx.when != 'now'"}}, {"sort": {"field": "mixed"}}]
    )
    def test_what_a_processor_fails_on_is_refused_though_it_is_a_500(
        self, way: Side, piped: str, processor: dict[str, Any]
    ) -> None:
        """Waiting does not help: it is about the document, and each time the same."""
        way.ask("PUT", f"/_ingest/pipeline/{piped.removesuffix('-write')}", {"processors": [processor]})
        bodies = [b'{"when":"4111-1111","mixed":[1,"a"]}', b'{"when":"now","mixed":[1,2]}']
        refused, written = way.sink.write([Write(piped, str(n), 1, body) for n, body in enumerate(bodies)])
        assert isinstance(refused, Refusal)
        assert refused.status == 500
        assert re.match(r"(fail_processor|class_cast)_exception", refused.reason)
        assert "4111" not in refused.reason
        assert written == WRITTEN

    def test_an_id_of_two_aliases_gets_the_answer_of_its_index(self, way: Side, piped: str, index_prefix: str) -> None:
        other = way.generation(f"{index_prefix}b").write_alias
        both = [Write(alias, str(n), 1, b'{"when":"none"}') for n in range(3) for alias in (piped, other)]
        outcomes = way.sink.write(both)
        assert [isinstance(each, Refusal) for each in outcomes] == [True, False] * 3
        assert set(way.documents(other)) == {"0", "1", "2"}

    def test_a_dropped_update_is_no_write(self, way: Side, piped: str) -> None:
        assert way.sink.write([Write(piped, "2", 1, b'{"when":"2024-01-01T00:00:00Z"}')]) == [WRITTEN]
        assert way.sink.write([Write(piped, "2", 2, b'{"when":"2024-01-01T00:00:00Z","skip":true}')]) == [
            Refusal(200, DROPPED)
        ]
