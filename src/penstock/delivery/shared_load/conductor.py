"""One load under the lease of its pipeline: cut into ranges that others take too, and waited for.

The plan is in the load's document, so the next process that has the lease goes on with it.
"""

import math
import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

import structlog

from penstock.delivery.shared_load.member import LoadMember
from penstock.delivery.shared_load.task import Task, group_of
from penstock.errors import Stopped
from penstock.kafka.log import tasks_topic_of
from penstock.kafka.tasks import Tasks
from penstock.model import Counts
from penstock.mongo.collections import estimated_count, types_of_ends
from penstock.mongo.id_ranges import brackets_between, slices
from penstock.mongo.lookup import bounds
from penstock.mongo.retrying import ask
from penstock.opensearch.state.load_state import LoadState
from penstock.opensearch.state.shared_load import LoadPlan, LoadShare, LoadShares
from penstock.planner import FedGeneration, Plan
from penstock.runtime.threads import ChildEvent, side_by_side
from penstock.wiring import Wiring
from penstock.worker.progress import Progress

log = structlog.get_logger(__name__)

_MOST_RANGES = 10_000
_LOST_LOOK_S = 10.0
_SAID_WITHIN_S = 3.0
"""How long after the last commit its member may take to write how many documents it were."""


@dataclass(frozen=True)
class Conductor:
    """Implements `penstock.worker.loader.SharesLoads`. `takes_part`: this process reads ranges too."""

    wiring: Wiring
    takes_part: bool

    def shares(self, collection: FedGeneration) -> bool:
        """Whether topics feed it: then there is a Kafka, and processes that take part."""
        return self.wiring.settings.has_topics(str(collection.namespace))

    def copy(
        self, plan: Plan, collection: FedGeneration, load: LoadState, progress: Progress, stop: threading.Event
    ) -> Counts:
        """See `penstock.worker.loader.SharesLoads`."""
        settings = self.wiring.settings.log
        topic, group = tasks_topic_of(settings.prefix, collection.index), group_of(settings.group, collection.index)
        with Tasks(settings, topic, group) as tasks:
            while True:
                planned = load.plan
                if planned is None or not planned.is_written or tasks.are_lost(planned.partitions):
                    planned = self._planned(collection, load, tasks, topic, stop)
                shown = Shown(progress, str(collection.namespace))
                conducted = _Conducted(self.wiring, collection, load, planned, tasks, shown)
                if self.takes_part and planned.ranges:
                    member = LoadMember(plan, collection, planned, self.wiring)
                    counts = conducted.with_member(member, stop)
                else:
                    counts = conducted.wait(stop)
                if counts is not None:
                    return counts
                log.warning("the ranges of a load are gone, it begins again", topic=topic)

    def _planned(
        self, collection: FedGeneration, load: LoadState, tasks: Tasks, topic: str, stop: threading.Event
    ) -> LoadPlan:
        """Cut the collection into ranges, and write them as tasks."""
        connection, source, size = self.wiring.connection, collection.source, self.wiring.settings.pipeline.load_range
        plan = LoadPlan(secrets.token_hex(8), topic, begun_at=time.time())
        load.save_plan(plan)  # others see that there will be one
        count = ask(connection, stop, estimated_count, source)
        wanted = min(math.ceil(count / size), _MOST_RANGES)
        brackets = brackets_between(*ask(connection, stop, types_of_ends, source))
        parts = slices(brackets, ask(connection, stop, bounds, source, wanted - 1))
        ranges = [Task(plan.id, number, part).encoded() for number, part in enumerate(parts, 1)]
        written = tasks.write(ranges, filler=Task(plan.id, 0, None).encoded() if load.phase == "reconciling" else None)
        plan = replace(plan, is_written=True, partitions=written, documents=count)
        load.save_plan(plan)
        log.info("load planned", collection=str(collection.namespace), ranges=len(parts), topic=topic)
        return plan


@dataclass
class Shown:
    """How far the progress of a load is shown. What all processes have read may seem less for a moment."""

    progress: Progress
    name: str
    documents: int = 0

    def show(self, shares: Iterable[LoadShare]) -> None:
        """Show how many documents were read, by all together."""
        documents = sum(each.documents for each in shares)
        self.progress.advanced(self.name, max(0, documents - self.documents))
        self.documents = max(self.documents, documents)


@dataclass
class _Conducted:
    """A planned load; used by one thread."""

    wiring: Wiring
    collection: FedGeneration
    load: LoadState
    plan: LoadPlan
    tasks: Tasks
    shown: Shown

    def with_member(self, member: LoadMember, stop: threading.Event) -> Counts | None:
        """Wait, and take part meanwhile."""
        done = ChildEvent(stop)
        found: list[Counts | None] = []

        def wait() -> None:
            found.append(self.wait(done))
            done.set()

        side_by_side(done, wait, lambda: member.take_part(done))
        if not found:
            raise Stopped(f"stopped before {self.collection.namespace} was loaded")
        return found[0]

    def wait(self, stop: threading.Event) -> Counts | None:
        """Return what became of the documents once all ranges are done; None when the tasks are lost.

        Raises Stopped, LeaseLost, SourceUnavailable.
        """
        name, index = str(self.collection.namespace), self.collection.index
        shares = LoadShares(self.wiring.store(stop), name, index, self.plan)
        looked_at = time.monotonic()
        all_done_at: float | None = None
        while True:
            said = shares.read()
            counts = counts_of(said)
            self.shown.show(said)
            self.load.save_counts({each: getattr(counts, each) for each in Counts.__slots__})
            now = time.monotonic()
            if self.tasks.done(self.plan.partitions) == self.plan.ranges:
                all_done_at = all_done_at or now
                if ranges_done(said) == self.plan.ranges or now > all_done_at + _SAID_WITHIN_S:
                    return counts
            elif now > looked_at + _LOST_LOOK_S:
                looked_at = now
                if self.tasks.are_lost(self.plan.partitions):
                    return None
            if stop.wait(self.wiring.intervals.shared_load_s):
                raise Stopped(f"stopped before {name} was loaded")


def counts_of(shares: Iterable[LoadShare]) -> Counts:
    """Return what became of the documents of the ranges that are done, by all processes."""
    total = Counts()
    for each in shares:
        total.add(Counts(**each.counts))
    return total


def ranges_done(shares: Iterable[LoadShare]) -> int:
    """Return how many ranges the members say are done."""
    return sum(each.done for each in shares)
