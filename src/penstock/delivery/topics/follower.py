"""One index that topics feed: its consumer group, and one pipeline for each term.

TopicFollower   topics that others fill
OwnFollower     a topic of penstock's own: the same, and the keeper beside it
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from penstock.delivery.apply import Applier
from penstock.delivery.databases import generations_of
from penstock.delivery.topics import others, own
from penstock.delivery.topics.stream import Reader, TopicStream
from penstock.errors import IndexTakenAway, LeaseLost, PositionLost, Stopped
from penstock.kafka.log import Mark, topic_of
from penstock.kafka.member import Member, Term
from penstock.kafka.passed_mark import PassedMark
from penstock.kafka.positions import Partition, Places, by_topic
from penstock.kafka.topic_facts import TopicFacts
from penstock.model import Change
from penstock.opensearch.index.indexes import Generation
from penstock.opensearch.state.group_start import GroupStart
from penstock.pipeline.pipeline import Pipeline, Ports
from penstock.pipeline.transform import Route
from penstock.planner import Plan
from penstock.runtime.backoff import Backoff
from penstock.runtime.threads import ChildEvent, side_by_side
from penstock.wiring import Adapters, Wiring
from penstock.worker.follower import Follower
from penstock.worker.recovery.source_rewind import RewindGuard, RewindWatch, require_same_source
from penstock.worker.reporter import Reporter
from penstock.worker.startup import ensure

log = structlog.get_logger(__name__)

_SILENT_S = 30.0


@dataclass
class _Share:
    """What a process does in one term: where it begins, who reads the records, where they go."""

    adapters: Adapters
    start: Places
    reader: Callable[[], Reader]
    generation: Generation
    on_control: Callable[[Change], None]
    skipped: Mapping[Partition, int] = field(default_factory=dict)
    on_end: Callable[[], None] = lambda: None


@dataclass
class TopicFollower:
    """The share of this process in one index. `plan` may be replaced by one that is like it, at any time."""

    plan: Plan
    wiring: Wiring
    reporter: Reporter
    _member: Member | None = None

    def serve(self, stop: threading.Event) -> None:
        """Take part in the group until `stop` is set; raises what ends it for good."""
        done = ChildEvent(stop)

        def follow() -> None:
            self._follow(done)
            done.set()

        side_by_side(done, follow, lambda: self._report(done))

    def _follow(self, stop: threading.Event) -> None:
        log_settings, (fed,) = self.wiring.settings.log, self.plan.collections
        with Member(log_settings, f"{log_settings.group}.{fed.index}", self._topics(), stop=stop) as member:
            self._member = member
            while not stop.is_set():
                self.reporter.state = "standby"
                term = member.next_term()
                try:
                    self._serve(term, self._share(term))
                except LeaseLost as lost:
                    log.warning("partitions lost", pipeline=self.plan.name, reason=str(lost))
                except Stopped:
                    continue
                finally:
                    term.ending.set()
                    term.done.set()

    def _topics(self) -> list[str]:
        (fed,) = self.plan.collections
        return [each.topic for each in self.wiring.settings.topics_of(str(fed.namespace))]

    def _share(self, term: Term) -> _Share:
        adapters, (fed,) = self._adapters(term), self.plan.collections
        require_same_source(adapters)
        generation = generations_of(self.plan, adapters)[fed.namespace]
        applier = Applier(self.plan, adapters, {fed.namespace: generation}, in_order=term.of_all == 1)
        topics = self.wiring.settings.topics_of(str(fed.namespace))
        group = GroupStart(adapters.store, adapters.group)
        start = others.starts(term, group, TopicFacts(self.wiring.settings.log, term.ending))
        return _Share(
            adapters,
            start,
            lambda: others.OthersRecords(topics, fed.namespace, fed.source, adapters),
            generation,
            applier.on_control,
            on_end=lambda: others.note_end(term, group),
        )

    def _adapters(self, term: Term) -> Adapters:
        return self.wiring.adapters(self.plan, term.ending, may_send=term.assert_held)

    def _serve(self, term: Term, share: _Share) -> None:
        adapters, (fed,) = share.adapters, self.plan.collections
        self.reporter.state = "live"
        watch = RewindWatch(RewindGuard(adapters.sink, adapters, [share.generation]), self.wiring.intervals.report_s)
        pipeline = Pipeline(
            name=self.plan.name,
            ports=Ports(
                lambda: TopicStream(term, share.start, share.reader(), share.skipped),
                watch,
                adapters.dead_letters,
                term,
            ),
            routes={fed.namespace: Route(share.generation.write_alias, fed.transform.bodies)},
            rules=adapters.rules(outside_the_stream=True),  # what a record does not carry is read from the source
            metrics=self.wiring.metrics,
            on_control=share.on_control,
            on_settled=self.reporter.settled,
            on_written=self.reporter.wrote,
        )

        def run() -> None:
            try:
                pipeline.run(term.ending)
            finally:
                term.ending.set()

        try:
            side_by_side(term.ending, run, lambda: watch.keep_looking(term.ending))
        finally:
            share.on_end()

    def _report(self, stop: threading.Event) -> None:
        while not stop.wait(self.wiring.intervals.report_s):
            self.reporter.share = by_topic(self._member.share) if self._member else {}
            self.reporter.report(silent_after_s=_SILENT_S)


@dataclass
class OwnFollower(TopicFollower):
    """The share of this process in an index that a topic of penstock's own feeds, and maybe its keeper.

    One process keeps the index: it loads it, does what drops and renames ask for, and heals it (`worker.follower`). A
    term begins once there is a keeper's position that belongs to the index.
    """

    keeper: Follower = field(kw_only=True)
    newest: Callable[[], Mark | None] = field(kw_only=True)

    def serve(self, stop: threading.Event) -> None:
        """Take part in the group, and keep the index where no other process does."""
        done = ChildEvent(stop)

        def keep() -> None:
            self.keeper.plan = self.plan
            self.keeper.follow(done)
            done.set()  # the plan is outdated

        side_by_side(done, keep, lambda: self._take_part(done), lambda: self._report(done))

    def _take_part(self, stop: threading.Event) -> None:
        """Follow; what the keeper heals is waited for."""
        pause = Backoff(stop, first_s=0.1, most_s=10.0)
        while not stop.is_set():
            try:
                self._follow(stop)
            except (PositionLost, IndexTakenAway) as loss:
                if self.wiring.settings.pipeline.on_position_lost != "reload":
                    raise
                log.warning("waiting until the index is healed", pipeline=self.plan.name, cause=str(loss))
                pause.wait()

    def _topics(self) -> list[str]:
        (fed,) = self.plan.collections
        return [topic_of(self.wiring.settings.log.prefix, fed.namespace)]

    def _share(self, term: Term) -> _Share:
        adapters, (fed,) = self._adapters(term), self.plan.collections
        kept, generation = self._kept(adapters, term)
        start, skipped = own.starts(term, kept, TopicFacts(self.wiring.settings.log, term.ending))

        def reader() -> own.OwnRecords:
            return own.OwnRecords(fed.namespace, adapters, skipped, self.newest)

        return _Share(adapters, start, reader, generation, _nothing_is_brought, skipped)

    def _kept(self, adapters: Adapters, term: Term) -> tuple[PassedMark, Generation]:
        """Return the keeper's position, and the index that it belongs to, once there is one. Raises Stopped."""
        (fed,), pause = self.plan.collections, Backoff(term.ending, most_s=1.0)
        while True:
            state = adapters.pipeline_state(self.plan.name)
            if state and state["position"] and fed.index in state["indexes"]:
                generation = ensure(fed, adapters.indexes)
                passed = PassedMark.of(state["position"]["token"])
                if passed and generation.uuid == state["indexes"][fed.index]:
                    return passed, generation
            pause.wait()


def _nothing_is_brought(change: Change) -> None:
    raise AssertionError(f"a record stands for a {change.kind}: the marks bring these")
