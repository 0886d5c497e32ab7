"""One pipeline under its lease: waits for the lease, loads what has to be loaded, follows the stream.

    follow       until it is stopped; as standby before, and again whenever the lease is lost
    load_once    the loads alone, for `penstock load`

A term is the time under one lease. In it run side by side: the stream, the loads, and the renewal of the lease.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

import structlog

from penstock.errors import IndexTakenAway, LeaseLost, Outdated, SourceUnavailable, Stopped
from penstock.model import Counts, Namespace, Position
from penstock.mongo.heartbeat import beat
from penstock.observe.metrics import Metrics
from penstock.opensearch.state.pipeline_state import PipelineState
from penstock.opensearch.state.store import StateDocument
from penstock.pipeline.pipeline import Pipeline, Ports
from penstock.pipeline.transform import Route, Routes
from penstock.planner import Plan
from penstock.ports import Sink
from penstock.runtime.backoff import Backoff
from penstock.runtime.intervals import INTERVALS, Intervals
from penstock.runtime.threads import ChildEvent, side_by_side
from penstock.wiring import Adapters
from penstock.worker.collections.lifecycle import Lifecycle
from penstock.worker.field_counts import FieldCounts
from penstock.worker.holder import Holder
from penstock.worker.load_gate import LoadGate
from penstock.worker.loader import Loader, SharesLoads
from penstock.worker.pipeline_sampler import pipeline_sampler
from penstock.worker.progress import LoadResult, Progress
from penstock.worker.recovery.position_loss import healing, unhealed, watch
from penstock.worker.recovery.source_rewind import RewindGuard
from penstock.worker.reporter import Reporter
from penstock.worker.startup import Startup, start

log = structlog.get_logger(__name__)

_SILENT_S = 30.0


@dataclass
class _Term:
    """The time under one lease; `ending` is set when it ends."""

    ending: threading.Event
    adapters: Adapters
    state: PipelineState


@dataclass(frozen=True)
class _Work:
    """What is done in a term, once it has started."""

    startup: Startup
    routes: Routes
    sink: Sink
    lifecycle: Lifecycle
    loader: Loader


@dataclass
class Follower:
    """The life of one pipeline in this process. `plan` may be replaced by one that is like it, at any time."""

    plan: Plan
    make_adapters: Callable[[threading.Event], Adapters]
    lease_s: float
    metrics: Metrics
    reporter: Reporter
    progress: Progress
    intervals: Intervals = INTERVALS
    sharing: SharesLoads | None = None

    def follow(self, stop: threading.Event) -> None:
        """Serve until `stop` is set, or until the plan is outdated; raises what ends a pipeline for good.

        Where losses are healed, one ends a term only, and the next begins with the heal.
        """
        pause = Backoff(stop, first_s=0.1, most_s=60.0)
        while not stop.is_set():
            try:
                with self._term(stop) as term, healing(self.plan, term.adapters, term.state, pause):
                    side_by_side(term.ending, lambda: self._renew(term), lambda: self._serve(term, pause.reset))
            except Outdated:
                return
            except LeaseLost:
                continue

    def serve(self, stop: threading.Event) -> None:
        """Follow, and report how it goes."""
        done = ChildEvent(stop)

        def follow() -> None:
            self.follow(stop)
            done.set()

        side_by_side(done, follow, lambda: self.report(done))

    def load_once(
        self, stop: threading.Event, only: frozenset[str], *, again: bool, standby: bool = False
    ) -> list[LoadResult]:
        """Load those of `only` that have to be, with `again` all of them. Return a result for each one loaded.

        Where another process has the lease, `standby` waits for it.
        """
        chosen = frozenset(each.namespace for each in self.plan.collections if str(each.namespace) in only)
        results: list[LoadResult] = []

        def load(term: _Term) -> None:
            loader = self._start(term, again=chosen if again else frozenset()).loader
            results.extend(loader.load_all(self.progress, only=chosen))
            term.ending.set()

        if chosen:
            with self._term(stop, standby=standby) as term:
                side_by_side(term.ending, lambda: self._renew(term), lambda: load(term))
        return results

    def report(self, stop: threading.Event) -> None:
        """Report to metrics and health from time to time, until `stop` is set."""
        while not stop.wait(self.intervals.report_s):
            self.reporter.report(silent_after_s=_SILENT_S)

    @contextmanager
    def _term(self, stop: threading.Event, *, standby: bool = True) -> Iterator[_Term]:
        ending = ChildEvent(stop)
        adapters = self.make_adapters(ending)
        state = adapters.state()
        self._enter("standby")
        holder = Holder(self.plan, adapters)

        def look(document: StateDocument) -> None:
            holder.look(document)
            self.reporter.unfed = holder.unfed

        state.acquire(standby=standby, on_holder=look)
        self.reporter.unfed = frozenset()
        self._enter("loading")
        try:
            yield _Term(ending, adapters, state)
        except Outdated:
            raise
        except LeaseLost as lost:
            log.warning("lease lost", pipeline=self.plan.name, reason=str(lost))
            raise
        finally:
            ending.set()
            self._enter("standby")
            with suppress(Stopped, IndexTakenAway):  # if it cannot be released, a standby waits until it runs out
                state.release()

    def _start(self, term: _Term, *, again: frozenset[Namespace] = frozenset()) -> _Work:
        """Make sure of everything that a term needs; may take longer than a lease, which is renewed meanwhile."""
        plan, adapters = self.plan, term.adapters
        startup = start(plan, adapters, term.state, again=again)
        routes = {
            each.namespace: Route(startup.generations[each.namespace].write_alias, each.transform.bodies)
            for each in plan.collections
        }
        sink = RewindGuard(adapters.sink, adapters, startup.generations.values())
        self.reporter.lost = unhealed(term.state, startup.loads)
        self.reporter.loads = {str(name): load for name, load in startup.loads.items()}
        gate = LoadGate(term.ending)
        lifecycle = Lifecycle(plan, adapters, startup, sink, gate, term.ending)
        loader = Loader(plan, adapters, startup, routes, lifecycle, gate, self.metrics, term.ending, self.sharing)
        return _Work(startup, routes, sink, lifecycle, loader)

    def _enter(self, state: Literal["standby", "loading", "live"]) -> None:
        self.metrics.set("penstock_lease_held", float(state != "standby"), pipeline=self.plan.name)
        self.reporter.state = state

    def _serve(self, term: _Term, is_live: Callable[[], None]) -> None:
        work = self._start(term)
        field_counts = FieldCounts(term.adapters, [each.index for each in work.startup.generations.values()])
        sampler = pipeline_sampler(self.plan, term.adapters, self.reporter)

        def on_loaded() -> None:
            self._enter("live")
            self.reporter.lost = ""
            is_live()

        side_by_side(
            term.ending,
            lambda: self._stream(term, work),
            lambda: work.loader.keep_loaded(self.progress, on_loaded=on_loaded),
            lambda: watch(self.plan, term.adapters, work.startup.generations, term.ending),
            lambda: self._beat(term),
            lambda: field_counts.keep_counting(term.ending),
            lambda: sampler.keep_taking(term.ending),
            lambda: sampler.keep_writing(term.ending),
        )

    def _stream(self, term: _Term, work: _Work) -> None:
        def settled(position: Position, counts: Counts) -> None:
            self.reporter.settled(position, counts)
            work.lifecycle.settled(position, counts)

        pipeline = Pipeline(
            name=self.plan.name,
            ports=Ports(term.adapters.stream, work.sink, term.adapters.dead_letters, term.state),
            routes=work.routes,
            rules=term.adapters.rules(),
            metrics=self.metrics,
            on_control=work.lifecycle.on_control,
            on_settled=settled,
            on_written=self.reporter.wrote,
        )
        pipeline.run(term.ending)

    def _beat(self, term: _Term) -> None:
        """Write the heartbeat, where the cursor sees one; it helps an idle stream, so its failure stops nothing."""
        seen = self.plan.watch
        while seen.heartbeat and not term.ending.is_set():
            try:
                term.state.assert_held()
                term.adapters.ask(beat, Namespace(seen.db, seen.heartbeat))
            except SourceUnavailable as error:
                log.warning("heartbeat refused", pipeline=self.plan.name, cause=str(error))
            term.ending.wait(term.adapters.heartbeat_s)

    def _renew(self, term: _Term) -> None:
        """Every write of the state renews the lease; this one also keeps what `status` shows."""
        while not term.ending.wait(self.lease_s / self.intervals.renewals_per_lease):
            term.state.save_status(self.reporter.status())
