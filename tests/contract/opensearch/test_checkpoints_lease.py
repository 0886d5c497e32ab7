"""The lease and the state documents on the real server: standby, takeover, lost answers, a blocked cluster."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from penstock.errors import LeaseLost, SettingsError, Stopped, SystemicFault
from penstock.model import Position
from penstock.opensearch.state.load_state import LoadState
from penstock.opensearch.state.pipeline_state import PipelineState
from penstock.opensearch.state.store import SCHEMA, Conflict, StateStore
from penstock.runtime.clock import passed_s
from testkit.sink_access import Relay, Side, eventually, once_it_waits

HERE = Position("here", 1)
THERE = Position("there", 2)

OpenState = Callable[..., PipelineState]


@pytest.fixture
def store(way: Side, index_prefix: str) -> StateStore:
    return StateStore(way.client, way.patience, index=f"{index_prefix}state")


@pytest.fixture
def worker(store: StateStore) -> OpenState:
    def make(owner: str = "one", lease_s: float = 0.5, stop: threading.Event | None = None) -> PipelineState:
        return PipelineState(store, "shop", owner=owner, lease_s=lease_s, stop=stop)

    return make


class Standby:
    """A worker that waits for the lease in a thread of its own."""

    def __init__(self, state: PipelineState) -> None:
        self.state = state
        self.acquired = threading.Event()
        self._ended: list[str] = []
        self._thread = threading.Thread(target=self._wait)
        self._thread.start()

    def _wait(self) -> None:
        try:
            self.state.acquire()
            self.acquired.set()
        except Stopped:
            self._ended.append("stopped")

    def join(self) -> list[str]:
        self._thread.join()
        return self._ended


class TestLease:
    def test_a_standby_waits_as_long_as_the_lease_is_renewed(self, worker: OpenState) -> None:
        holder = worker("one", 1.5)
        holder.acquire()
        standby = Standby(worker("two", 1.5))
        end = time.monotonic() + 3
        while time.monotonic() < end:
            holder.renew()
            assert not standby.acquired.wait(0.1)
        assert standby.acquired.wait(60)
        with pytest.raises(LeaseLost):
            holder.renew()
        standby.join()

    def test_a_released_lease_is_taken_over_at_once(self, worker: OpenState) -> None:
        holder = worker("one", lease_s=60)
        holder.acquire()
        holder.save(HERE)
        holder.release()
        following = worker("two", lease_s=60)
        began = time.monotonic()
        following.acquire()
        assert time.monotonic() - began < 5
        assert following.load() == HERE
        assert following.document["epoch"] == 2

    def test_the_longer_of_two_lease_times_counts(self, worker: OpenState) -> None:
        worker("one", lease_s=1.5).acquire()
        began = time.monotonic()
        worker("two", lease_s=0.1).acquire()
        assert time.monotonic() - began >= 1.4

    def test_one_of_many_workers_takes_a_free_lease(self, worker: OpenState) -> None:
        stop = threading.Event()
        standbys = [Standby(worker(f"w{number}", 60, stop)) for number in range(5)]
        eventually(lambda: any(each.acquired.is_set() for each in standbys))
        stop.set()
        assert sum(each.join() == ["stopped"] for each in standbys) == 4

    def test_a_standby_that_is_told_to_stop_ends(self, worker: OpenState) -> None:
        worker("one", lease_s=60).acquire()
        stop = threading.Event()
        standby = Standby(worker("two", 60, stop))
        stop.set()
        assert standby.join() == ["stopped"]

    def test_a_lease_that_was_not_renewed_in_time_is_not_held(self, worker: OpenState) -> None:
        state = worker(lease_s=2)
        state.acquire()
        assert state.held()
        state.assert_held()
        eventually(lambda: not state.held())
        with pytest.raises(LeaseLost, match="not renewed"):
            state.assert_held()
        state.renew()
        assert state.held()

    @pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="only Linux tells how long it slept")
    def test_a_lease_runs_out_while_the_machine_sleeps(
        self, worker: OpenState, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Others have that time; the clock that stands still meanwhile says nothing of it."""
        state, awake = worker(lease_s=60), time.clock_gettime
        state.acquire()
        state.assert_held()
        monkeypatch.setattr(time, "clock_gettime", lambda clock: awake(clock) + 61)
        with pytest.raises(LeaseLost, match="was not renewed for 60 s"):
            state.assert_held()
        state.renew()
        state.assert_held()

    def test_nothing_can_be_saved_before_the_lease_is_taken_or_after_it_is_released(self, worker: OpenState) -> None:
        state = worker()
        with pytest.raises(LeaseLost):
            state.save(HERE)
        state.acquire()
        state.release()
        state.release()
        assert not state.held()
        with pytest.raises(LeaseLost):
            state.load()

    def test_releasing_a_lost_lease_changes_nothing(self, worker: OpenState) -> None:
        old = worker("one", lease_s=0.1)
        old.acquire()
        following = worker("two", lease_s=0.1)
        following.acquire()
        old.release()
        following.renew()

    def test_two_workers_of_one_name_are_told_apart(self, worker: OpenState) -> None:
        old = worker("same", lease_s=0.1)
        old.acquire()
        worker("same", lease_s=0.1).acquire()
        with pytest.raises(LeaseLost):
            old.renew()

    def test_the_renewing_thread_and_the_saving_one_go_together(self, worker: OpenState) -> None:
        state = worker(lease_s=5)
        state.acquire()
        threads = [threading.Thread(target=lambda: [state.renew() for _ in range(20)]) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(20):
            state.save(Position(f"token {number}", number))
        for thread in threads:
            thread.join()
        assert state.load() == Position("token 19", 19)
        assert state.document["beat"] == 80

    def test_what_is_saved_beside_the_position_stays(self, worker: OpenState) -> None:
        state = worker(lease_s=0.1)
        state.acquire()
        state.save_source({"identity": "rs0/1"}, {"orders-g1": "uuid"})
        state.save_status({"lag_s": 1.5})
        state.save(HERE)
        following = worker("two", lease_s=0.1)
        following.acquire()
        kept = following.document
        assert (kept["source"], kept["indexes"], kept["status"]) == (
            {"identity": "rs0/1"},
            {"orders-g1": "uuid"},
            {"lag_s": 1.5},
        )


class TestLostAnswers:
    @pytest.fixture
    def relayed_store(self, relayed: Side, index_prefix: str) -> StateStore:
        return StateStore(relayed.client, relayed.patience, index=f"{index_prefix}state")

    @pytest.mark.parametrize("step", ["cut", "drop"])
    def test_a_save_whose_answer_was_lost_is_recognised_as_ours(
        self, between: Relay, relayed_store: StateStore, step: str
    ) -> None:
        state = PipelineState(relayed_store, "shop", owner="one", lease_s=30)
        between.for_bulks(step)
        state.acquire()
        between.for_bulks(step)
        state.save(HERE)
        between.for_bulks(step)
        state.renew()
        assert state.load() == HERE
        assert (state.document["epoch"], state.document["beat"]) == (1, 2)

    def test_a_lost_answer_does_not_hide_a_takeover(
        self, between: Relay, relayed_store: StateStore, store: StateStore
    ) -> None:
        state = PipelineState(relayed_store, "shop", owner="one", lease_s=0.1)
        state.acquire()
        PipelineState(store, "shop", owner="two", lease_s=0.1).acquire()
        between.for_bulks("cut")
        with pytest.raises(LeaseLost):
            state.save(HERE)

    def test_an_unreadable_answer_is_asked_for_again(self, between: Relay, relayed_store: StateStore) -> None:
        state = PipelineState(relayed_store, "shop", owner="one", lease_s=30)
        state.acquire()
        left = ["cut", "drop"]
        between.plan = lambda asked: left.pop() if left and "_mget" in asked.path else "pass"
        assert relayed_store.get(["pipeline/shop"])["pipeline/shop"].document["owner"] == state.owner


class TestStateStore:
    def test_nothing_is_found_before_anything_is_kept(self, store: StateStore) -> None:
        assert store.get(["a", "b"]) == {}

    def test_a_document_is_replaced_only_as_it_was_read(self, store: StateStore) -> None:
        first = store.put("a/ü ?", {"n": 1}, None)
        assert store.get(["a/ü ?", "b"]) == {"a/ü ?": first._replace(sent_at=None)}
        second = store.put("a/ü ?", {"n": 2}, first)
        with pytest.raises(Conflict):
            store.put("a/ü ?", {"n": 3}, first)
        with pytest.raises(Conflict):
            store.put("a/ü ?", {"n": 3}, None)
        assert store.get(["a/ü ?"])["a/ü ?"].document == second.document == {"schema": SCHEMA, "n": 2}

    def test_state_of_a_newer_form_is_refused(self, way: Side, store: StateStore, worker: OpenState) -> None:
        store.put("other", {}, None)
        lines = b'{"index":{"_id":"pipeline/shop"}}\n{"schema":99}\n'
        way.ask("POST", f"/{store.index}/_bulk", lines)
        with pytest.raises(SettingsError, match="has the format 99"):
            worker().acquire()

    def test_a_blocked_state_index_is_waited_for(self, way: Side, store: StateStore, worker: OpenState) -> None:
        state = worker(lease_s=0.3)
        state.acquire()
        way.ask("PUT", f"/{store.index}/_settings", {"index.blocks.write": True})

        def free_once_the_lease_is_unsure() -> None:
            eventually(lambda: not state.held())
            way.ask("PUT", f"/{store.index}/_settings", {"index.blocks.write": None})

        with once_it_waits(way, free_once_the_lease_is_unsure):
            state.save(THERE)
        assert state.load() == THERE

    def test_a_write_counts_from_the_attempt_that_was_taken(self, way: Side, store: StateStore) -> None:
        first = store.put("a", {"n": 1}, None)
        way.ask("PUT", f"/{store.index}/_settings", {"index.blocks.write": True})
        blocked_until: list[float] = []

        def free() -> None:
            blocked_until.append(passed_s())
            way.ask("PUT", f"/{store.index}/_settings", {"index.blocks.write": None})

        with once_it_waits(way, free):
            second = store.put("a", {"n": 2}, first)
        assert second.sent_at >= blocked_until[0]

    def test_a_closed_state_index_is_waited_for_when_read(
        self, way: Side, store: StateStore, worker: OpenState
    ) -> None:
        worker(lease_s=30).acquire()
        way.ask("POST", f"/{store.index}-v1/_close")
        with once_it_waits(way, lambda: way.ask("POST", f"/{store.index}-v1/_open")):
            assert set(store.get(["pipeline/shop"])) == {"pipeline/shop"}

    def test_a_deleted_state_index_is_not_made_anew_by_a_save(
        self, way: Side, store: StateStore, worker: OpenState
    ) -> None:
        state = worker(lease_s=30)
        state.acquire()
        way.ask("DELETE", f"/{store.index}-v1")
        with pytest.raises(SystemicFault, match="Another tool deleted or replaced it"):
            state.save(HERE)
        assert way.client.request("GET", f"/{store.index}").status == 404

    def test_status_is_not_searched_into_the_mapping(self, way: Side, store: StateStore) -> None:
        store.put("a", {"status": {f"field {number}": number for number in range(3000)}}, None)
        mapping: Any = way.ask("GET", f"/{store.index}/_mapping")
        assert set(mapping[f"{store.index}-v1"]["mappings"]["properties"]) == {"schema", "kind", "name"}


class TestLoadState:
    @pytest.fixture
    def load(self, store: StateStore) -> LoadState:
        return LoadState(store, "shop.orders", "orders-g1", owner="one").open()

    def reopened(self, store: StateStore) -> LoadState:
        return LoadState(store, "shop.orders", "orders-g1", owner="two").open()

    def test_progress_and_phase_are_found_again(self, store: StateStore, load: LoadState) -> None:
        assert load.phase == "loading"
        load.save_progress(HERE, {"read": 10, "written": 9})
        load.enter("live")
        again = self.reopened(store)
        assert (again.phase, again.load(), again.counts) == ("live", HERE, {"read": 10, "written": 9})

    @pytest.mark.parametrize("phase", ["loading", "reconciling"])
    def test_loading_anew_begins_without_a_position(self, store: StateStore, load: LoadState, phase: Any) -> None:
        load.save_progress(HERE, {"read": 10})
        load.enter(phase)
        again = self.reopened(store)
        assert (again.phase, again.load(), again.counts) == (phase, None, {})

    def test_a_dropped_collection_keeps_its_position(self, store: StateStore, load: LoadState) -> None:
        load.save(HERE)
        load.enter("dropped")
        assert self.reopened(store).load() == HERE

    def test_a_load_that_was_not_opened_saves_nothing(self, store: StateStore) -> None:
        with pytest.raises(LeaseLost):
            LoadState(store, "shop.orders", "orders-g1", owner="one").save(HERE)

    def test_two_threads_may_save_at_once(self, load: LoadState) -> None:
        threads = [threading.Thread(target=lambda: [load.save(HERE) for _ in range(10)]) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        load.save(THERE)
        assert load.load() == THERE


def test_who_does_not_want_to_stand_by_is_told_of_a_worker_that_lives(worker: OpenState) -> None:
    first, renewed, over = worker("one", lease_s=30), threading.Event(), threading.Event()
    first.acquire()

    def renew() -> None:
        while not over.wait(0.05):
            first.renew()
            renewed.set()

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        assert renewed.wait(10)
        with pytest.raises(LeaseLost, match=r"Another worker .* is running pipeline shop"):
            worker("two").acquire(standby=False)
    finally:
        over.set()
        thread.join()


def test_who_does_not_want_to_stand_by_takes_over_from_a_dead_worker(worker: OpenState) -> None:
    worker("one").acquire()
    second = worker("two", lease_s=2)
    second.acquire(standby=False)
    assert second.held()
