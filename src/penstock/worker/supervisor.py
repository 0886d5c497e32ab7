"""The pipelines of a worker: started as generations appear, ended as they are dropped, judged when they fail.

What people search in keeps the worker from going on without it: the failure of its pipeline ends the worker. The
failure of any other generation is recorded, and the rest goes on.
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from penstock.errors import PenstockError, PositionLost, Stopped, SystemicFault
from penstock.observe.health import Health
from penstock.observe.metrics import Metrics
from penstock.opensearch.state.generations import CollectionRecord, GenerationRegistry
from penstock.planner import Plan, Planner, pipeline_of
from penstock.runtime.intervals import INTERVALS, Intervals
from penstock.runtime.threads import ChildEvent
from penstock.worker.reporter import Reporter

log = structlog.get_logger(__name__)

_MAX_PIPELINES = 1000
"""Pipelines that a worker can have at once: a bound for its threads, of which it starts one for each pipeline."""


class Serves(Protocol):
    """What runs one pipeline. `plan` may be replaced by one that is like it, at any time."""

    plan: Plan
    reporter: Reporter

    def serve(self, stop: threading.Event, /) -> None:
        """Serve until `stop` is set, or the plan is outdated. Raises what ends the pipeline for good."""


@dataclass
class _Running:
    """A pipeline that runs; `ending` ends it."""

    follower: Serves
    ending: ChildEvent
    done: Future[None]

    @property
    def plan(self) -> Plan:
        """What it feeds, as it was known last."""
        return self.follower.plan


@dataclass
class Supervisor:
    """Runs the pipelines that the records ask for; `planner` returns the one of the collections that there are."""

    planner: Callable[[], Planner]
    records: GenerationRegistry
    make_follower: Callable[[Plan], Serves]
    metrics: Metrics
    health: Health | None = None
    intervals: Intervals = INTERVALS
    _running: dict[str, _Running] = field(default_factory=dict)
    _resting: dict[str, float] = field(default_factory=dict)
    _seen: tuple[Planner, Mapping[str, CollectionRecord]] | None = None
    _plans: list[Plan] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop` is set. Raises what ended a pipeline in which people search, after all have ended."""
        self._wake = ChildEvent(stop)
        with ThreadPoolExecutor(_MAX_PIPELINES, thread_name_prefix="penstock") as threads:
            try:
                while not stop.is_set():
                    self._wake.clear()
                    self._arrange(stop, threads)
                    self._wake.wait(self.intervals.generations_s)
                    self._take_ended()
            finally:
                for each in self._running.values():
                    each.ending.set()
        self._take_ended()

    def states(self) -> dict[str, str]:
        """The state of each pipeline that runs; several threads may ask."""
        return {name: each.follower.reporter.state for name, each in list(self._running.items())}

    def shares(self) -> dict[str, Mapping[str, Any]]:
        """What this process has of the log, for each pipeline that has a share of it; several threads may ask."""
        reporters = {name: each.follower.reporter for name, each in list(self._running.items())}
        return {name: share for name, each in reporters.items() if (share := each.share_report()) is not None}

    def _arrange(self, stop: threading.Event, threads: ThreadPoolExecutor) -> None:
        """End what is no longer asked for, start what is; a pipeline that feeds something else now ends first."""
        wanted = {plan.name: plan for plan in self._look()}
        for name, running in self._running.items():
            if name not in wanted or not wanted[name].is_like(running.plan):
                running.ending.set()
            else:
                running.follower.plan = wanted[name]  # on record now, or searched: its next term begins with that
        for name, plan in wanted.items():
            if name not in self._running and not self._rests(name):
                self._start(plan, stop, threads)

    def _rests(self, name: str) -> bool:
        return name in self._resting and time.monotonic() < self._resting[name]

    def _look(self) -> list[Plan]:
        planner = self.planner()
        records = self.records.read(planner.aliases)
        if self._seen != (planner, records):
            self._seen, self._plans = (planner, records), planner.plans(records)
            self._forget_dropped(records)
        return self._plans

    def _forget_dropped(self, records: Mapping[str, CollectionRecord]) -> None:
        """Report a generation that failed until it is dropped, or fed again."""
        there = {pipeline_of(each.index) for record in records.values() for each in record.generations}
        for name in self._resting.keys() - there - {plan.name for plan in self._plans}:
            del self._resting[name]
            self._forget(name)

    def _start(self, plan: Plan, stop: threading.Event, threads: ThreadPoolExecutor) -> None:
        if plan.problem:
            self._rest(plan, plan.problem)
            return
        self.metrics.set("penstock_generation_failed", 0, pipeline=plan.name)
        ending = ChildEvent(stop)
        follower = self.make_follower(plan)
        done = threads.submit(copy_context().run, self._serve, follower, ending)
        self._running[plan.name] = _Running(follower, ending, done)

    def _serve(self, follower: Serves, ending: ChildEvent) -> None:
        try:
            follower.serve(ending)
        finally:
            self._wake.set()

    def _take_ended(self) -> None:
        for name, running in list(self._running.items()):
            if running.done.done():
                del self._running[name]
                error = running.done.exception()
                if isinstance(error, PenstockError) and not isinstance(error, Stopped):
                    self._failed(running.plan, error)
                elif error and not isinstance(error, Stopped):
                    raise error
                elif name not in {plan.name for plan in self._plans}:
                    self._forget(name)

    def _failed(self, plan: Plan, error: PenstockError) -> None:
        """Pass on what ends a pipeline in which people search; of another one record it, or try again later."""
        if plan.serves:
            if self.health:
                self.health.stopped(plan.name, str(error))
            raise error
        for each in plan.collections if isinstance(error, SystemicFault | PositionLost) else ():
            self.records.fail(each.settings.alias, each.number, str(error))
        self._rest(plan, str(error))

    def _forget(self, name: str) -> None:
        """Report nothing more of a pipeline that is over."""
        self.metrics.forget("pipeline", name)
        if self.health:
            self.health.forget(name)

    def _rest(self, plan: Plan, reason: str) -> None:
        self._resting[plan.name] = time.monotonic() + self.intervals.failed_generation_s
        self.metrics.set("penstock_generation_failed", 1, pipeline=plan.name)
        if self.health:
            self.health.failed(plan.name, reason)
        log.error("a generation is not fed; the others go on", pipeline=plan.name, reason=reason)
