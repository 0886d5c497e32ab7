"""The promises of `penstock.ports.Checkpoints`: in memory, in a pipeline's state, in a load's state."""

from collections.abc import Iterator

import pytest

from penstock.errors import LeaseLost
from penstock.memory.sink import MemoryCheckpoints
from penstock.model import Position
from penstock.opensearch.state.load_state import LoadState
from penstock.opensearch.state.pipeline_state import PipelineState
from penstock.opensearch.state.store import StateStore
from penstock.ports import Checkpoints
from testkit.sink_access import side

FIRST = Position('{"_data":"82\\u0000é"}', (2**31 - 1) << 32 | 7)
SECOND = Position("later", FIRST.time + 1)


class CheckpointsContract:
    """Run on each kind of checkpoints; `taken_over` answers those of the next worker."""

    checkpoints: Checkpoints

    def taken_over(self) -> Checkpoints:
        raise NotImplementedError

    def test_there_is_no_position_at_first(self) -> None:
        assert self.checkpoints.load() is None

    def test_the_position_saved_last_is_loaded(self) -> None:
        self.checkpoints.save(FIRST)
        assert self.checkpoints.load() == FIRST
        self.checkpoints.save(SECOND)
        assert self.checkpoints.load() == SECOND

    def test_the_next_worker_goes_on_from_the_saved_position(self) -> None:
        self.checkpoints.save(FIRST)
        following = self.taken_over()
        assert following.load() == FIRST
        following.save(SECOND)
        assert following.load() == SECOND

    def test_a_save_under_an_old_lease_fails_and_changes_nothing(self) -> None:
        self.checkpoints.save(FIRST)
        following = self.taken_over()
        with pytest.raises(LeaseLost):
            self.checkpoints.save(SECOND)
        following.save(FIRST)
        assert following.load() == FIRST


class TestMemoryCheckpoints(CheckpointsContract):
    @pytest.fixture(autouse=True)
    def opened(self) -> None:
        self.memory = MemoryCheckpoints()
        self.checkpoints = self.memory

    def taken_over(self) -> Checkpoints:
        return self.memory.taken_over()


class TestPipelineState(CheckpointsContract):
    @pytest.fixture(autouse=True)
    def opened(self, sink_url: str, index_prefix: str) -> Iterator[None]:
        with side(sink_url) as way:
            self.store = StateStore(way.client, way.patience, index=f"{index_prefix}state")
            self.checkpoints = self.acquired()
            yield

    def acquired(self) -> PipelineState:
        state = PipelineState(self.store, "shop", owner="worker", lease_s=0.2)
        state.acquire()
        return state

    def taken_over(self) -> Checkpoints:
        return self.acquired()


class TestLoadState(CheckpointsContract):
    @pytest.fixture(autouse=True)
    def opened(self, sink_url: str, index_prefix: str) -> Iterator[None]:
        with side(sink_url) as way:
            self.store = StateStore(way.client, way.patience, index=f"{index_prefix}state")
            self.checkpoints = self.taken_over()
            yield

    def taken_over(self) -> Checkpoints:
        return LoadState(self.store, "shop.orders", "orders-g1", owner="worker").open()
