"""The pipelines of a worker: begun as generations appear, ended as they are dropped, told apart when they fail.

What people search in keeps the worker from going on without it: the failure of its pipeline ends the worker. The
failure of any other generation is recorded, and the rest goes on.
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field

import structlog

from penstock.errors import PenstockError, PositionLost, Stopped, SystemicFault
from penstock.observe.health import Health
from penstock.observe.metrics import Metrics
from penstock.opensearch.state.generations import CollectionRecord, GenerationRegistry
from penstock.planner import Plan, Planner, pipeline_of
from penstock.runtime.intervals import INTERVALS, Intervals
from penstock.runtime.threads import ChildEvent
from penstock.worker.follower import Follower

log = structlog.get_logger(__name__)

_MOST = 1000
"""Pipelines that a worker can have at once; a bound for the threads, of which there are only as many as pipelines."""


@dataclass
class _Member:
    """A pipeline that runs; `ending` ends it."""

    following: Follower
    ending: ChildEvent
    done: Future[None]

    @property
    def plan(self) -> Plan:
        """What it feeds, as it was known last."""
        return self.following.plan


@dataclass
class Supervisor:
    """Runs the pipelines that the records ask for; `planner` is of the collections that there are by now."""

    planner: Callable[[], Planner]
    records: GenerationRegistry
    make_following: Callable[[Plan], Follower]
    metrics: Metrics
    health: Health | None = None
    intervals: Intervals = INTERVALS
    _members: dict[str, _Member] = field(default_factory=dict)
    _resting: dict[str, float] = field(default_factory=dict)
    _seen: tuple[Planner, Mapping[str, CollectionRecord]] | None = None
    _plans: list[Plan] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop` is set. Raises what ended a pipeline in which people search, after all have ended."""
        self._wake = ChildEvent(stop)
        with ThreadPoolExecutor(_MOST, thread_name_prefix="penstock") as threads:
            try:
                while not stop.is_set():
                    self._wake.clear()
                    self._arrange(stop, threads)
                    self._wake.wait(self.intervals.generations_s)
                    self._see_who_ended()
            finally:
                for each in self._members.values():
                    each.ending.set()
        self._see_who_ended()

    def _arrange(self, stop: threading.Event, threads: ThreadPoolExecutor) -> None:
        """End what is no longer asked for, begin what is; a pipeline that feeds something else now ends first."""
        wanted = {plan.name: plan for plan in self._look()}
        for name, member in self._members.items():
            if name not in wanted or not wanted[name].is_like(member.plan):
                member.ending.set()
            else:
                member.following.plan = wanted[name]  # on record, or searched, by now: its next term begins with that
        for name, plan in wanted.items():
            if name not in self._members and not self._rests(name):
                self._begin(plan, stop, threads)

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
        """A generation that failed is told of until it is dropped, or fed again."""
        there = {pipeline_of(each.index) for record in records.values() for each in record.generations}
        for name in self._resting.keys() - there - {plan.name for plan in self._plans}:
            del self._resting[name]
            self.metrics.set("penstock_generation_failed", 0, pipeline=name)
            if self.health:
                self.health.forget(name)

    def _begin(self, plan: Plan, stop: threading.Event, threads: ThreadPoolExecutor) -> None:
        if plan.problem:
            self._rest(plan, plan.problem)
            return
        self.metrics.set("penstock_generation_failed", 0, pipeline=plan.name)
        ending = ChildEvent(stop)
        following = self.make_following(plan)
        done = threads.submit(copy_context().run, self._follow, following, ending)
        self._members[plan.name] = _Member(following, ending, done)

    def _follow(self, following: Follower, ending: ChildEvent) -> None:
        try:
            following.serve(ending)
        finally:
            self._wake.set()

    def _see_who_ended(self) -> None:
        for name, member in list(self._members.items()):
            if member.done.done():
                del self._members[name]
                error = member.done.exception()
                if isinstance(error, PenstockError) and not isinstance(error, Stopped):
                    self._failed(member.plan, error)
                elif error and not isinstance(error, Stopped):
                    raise error
                elif self.health and name not in {plan.name for plan in self._plans}:
                    self.health.forget(name)

    def _failed(self, plan: Plan, error: PenstockError) -> None:
        """Pass on what ends a pipeline in which people search; of another one record it, or try again later."""
        if plan.serves:
            if self.health:
                self.health.stopped(plan.name, str(error))
            raise error
        for each in plan.collections if isinstance(error, SystemicFault | PositionLost) else ():
            self.records.fail(each.settings.alias, each.number, str(error))
        self._rest(plan, str(error))

    def _rest(self, plan: Plan, reason: str) -> None:
        self._resting[plan.name] = time.monotonic() + self.intervals.failed_generation_s
        self.metrics.set("penstock_generation_failed", 1, pipeline=plan.name)
        if self.health:
            self.health.failed(plan.name, reason)
        log.error("a generation is not fed; the others go on", pipeline=plan.name, reason=reason)
