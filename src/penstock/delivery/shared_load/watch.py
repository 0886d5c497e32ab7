"""In each process of `penstock apply`: takes part in the loads that are under way, and sees them to their end.

Who planned a load may be gone. So every process tries to get the lease under which it is conducted.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import structlog

from penstock.delivery.shared_load.conductor import Conductor, ranges_done
from penstock.delivery.shared_load.member import LoadMember
from penstock.errors import LeaseLost, Outdated
from penstock.opensearch.state.ids import load_id
from penstock.opensearch.state.shared_load import LoadPlan, LoadShares, unfinished
from penstock.opensearch.state.store import StateDocument, StateStore
from penstock.planner import FedGeneration, Plan, Planner
from penstock.runtime.threads import ChildEvent, side_by_side
from penstock.wiring import Wiring
from penstock.worker.progress import NoProgress
from penstock.worker.worker import WorkerConnections

log = structlog.get_logger(__name__)

_MOST_LOADS = 100


class UnderWay(NamedTuple):
    """A load that is under way, with the plan of the pipeline that conducts it."""

    pipeline: Plan
    collection: FedGeneration
    load: LoadPlan

    def document(self, store: StateStore) -> StateDocument | None:
        """Return the load's document as it is now; the load is over, or planned again, once `unfinished` says so."""
        state_id = load_id(self.collection.namespace, self.collection.index)
        stored = store.get([state_id]).get(state_id)
        return stored.document if stored else None


def under_way(planner: Planner, wiring: Wiring, stop: threading.Event) -> list[UnderWay]:
    """Return the loads that somebody has begun to plan and that are not at their end."""
    plans = planner.plans(wiring.records(stop).read(planner.aliases))
    fed = {load_id(each.namespace, each.index): (plan, each) for plan in plans for each in plan.collections}
    stored = wiring.store(stop).get(fed)
    found = ((fed[state_id], unfinished(each.document)) for state_id, each in stored.items())
    return [UnderWay(plan, each, load) for (plan, each), load in found if load]


@dataclass
class LoadWatch:
    """`planner` returns the one of `penstock load`: the same pipelines have the same leases."""

    planner: Callable[[], Planner]
    wiring: Wiring
    _running: dict[tuple[str, str], Future[None]] = field(default_factory=dict)

    def keep_looking(self, stop: threading.Event) -> None:
        """Take part in what there is, until `stop` is set. Raises what ends a load for good."""
        ending = ChildEvent(stop)
        with ThreadPoolExecutor(_MOST_LOADS, thread_name_prefix="penstock-load") as threads:
            try:
                while not stop.wait(self.wiring.intervals.collections_s):
                    for key in [key for key, each in self._running.items() if each.done()]:
                        self._running.pop(key).result()
                    for each in under_way(self.planner(), self.wiring, stop):
                        key = each.load.id, each.load.topic
                        if key not in self._running:
                            self._running[key] = threads.submit(copy_context().run, self._serve, each, ending)
            finally:
                ending.set()

    def _serve(self, this: UnderWay, stop: threading.Event) -> None:
        done = ChildEvent(stop)
        tasks = [self._look, self._take_part]
        if not self.wiring.settings.has_own_topic(str(this.collection.namespace)):  # it has a keeper, who does that
            tasks.append(self._conduct)
        side_by_side(done, *(partial(each, this, done) for each in tasks))

    def _take_part(self, this: UnderWay, done: threading.Event) -> None:
        if this.load.is_written:
            LoadMember(this.pipeline, this.collection, this.load, self.wiring).take_part(done)

    def _conduct(self, this: UnderWay, done: threading.Event) -> None:
        """Get the lease whenever nobody has it, and see the load to its end."""
        only = frozenset({str(this.collection.namespace)})
        connections = WorkerConnections(self.wiring, None)
        while not done.is_set():
            follower = connections.follower(
                this.pipeline, NoProgress(), sharing=Conductor(self.wiring, takes_part=False)
            )
            try:
                follower.load_once(done, only, again=False, standby=True)
            except (LeaseLost, Outdated) as reason:
                log.debug("another process conducts the load", collection=sorted(only), reason=str(reason))
            done.wait(self.wiring.intervals.standby_s)

    def _look(self, this: UnderWay, done: threading.Event) -> None:
        """Report the progress, and set `done` once the load is over, or is planned again."""
        name, index, metrics = str(this.collection.namespace), this.collection.index, self.wiring.metrics
        store = self.wiring.store(done)
        shares = LoadShares(store, name, index, this.load)
        metrics.set("penstock_load_ranges", this.load.ranges, pipeline=this.pipeline.name)
        while not done.wait(self.wiring.intervals.shared_load_s):
            metrics.set("penstock_load_ranges_done", ranges_done(shares.read()), pipeline=this.pipeline.name)
            if unfinished(this.document(store)) != this.load:
                done.set()
