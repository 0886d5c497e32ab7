"""One index that topics feed: its consumer group, and one pipeline for each term."""

import threading
from dataclasses import dataclass

import structlog

from penstock.delivery.apply import Applier
from penstock.delivery.databases import generations_of
from penstock.delivery.topics.stream import TopicStream
from penstock.errors import LeaseLost, Stopped
from penstock.kafka.member import Member, Term
from penstock.pipeline.pipeline import Pipeline, Ports
from penstock.pipeline.transform import Route
from penstock.planner import Plan
from penstock.runtime.threads import ChildEvent, side_by_side
from penstock.wiring import Wiring
from penstock.worker.recovery.source_rewind import require_same_source
from penstock.worker.reporter import Reporter

log = structlog.get_logger(__name__)

_SILENT_S = 30.0


@dataclass
class TopicFollower:
    """The share of this process in one index. `plan` may be replaced by one that is like it, at any time."""

    plan: Plan
    wiring: Wiring
    reporter: Reporter

    def serve(self, stop: threading.Event) -> None:
        """Take part in the group until `stop` is set; raises what ends it for good."""
        done = ChildEvent(stop)

        def follow() -> None:
            self._follow(done)
            done.set()

        side_by_side(done, follow, lambda: self._report(done))

    def _follow(self, stop: threading.Event) -> None:
        (fed,) = self.plan.collections
        settings = self.wiring.settings
        topics = [each.topic for each in settings.topics_of(str(fed.namespace))]
        with Member(settings.log, f"{settings.log.group}.{fed.index}", topics, stop=stop) as member:
            while not stop.is_set():
                self._enter("standby")
                term = member.next_term()
                try:
                    self._serve(term)
                except LeaseLost as lost:
                    log.warning("partitions lost", pipeline=self.plan.name, reason=str(lost))
                except Stopped:
                    continue
                finally:
                    term.ending.set()
                    term.done.set()

    def _serve(self, term: Term) -> None:
        adapters = self.wiring.adapters(self.plan, term.ending, may_send=term.assert_held)
        require_same_source(adapters)
        (fed,) = self.plan.collections
        generation = generations_of(self.plan, adapters)[fed.namespace]
        topics = self.wiring.settings.topics_of(str(fed.namespace))
        applier = Applier(self.plan, adapters, {fed.namespace: generation}, in_order=term.of_all == 1)
        self._enter("live")
        Pipeline(
            name=self.plan.name,
            ports=Ports(
                lambda: TopicStream(term, topics, fed.namespace, fed.source, adapters),
                adapters.sink,
                adapters.dead_letters,
                term,
            ),
            routes={fed.namespace: Route(generation.write_alias, fed.transform.bodies)},
            rules=adapters.rules(outside_the_stream=True),  # what a record does not carry is read from the source
            metrics=self.wiring.metrics,
            on_control=applier.on_control,
            on_settled=self.reporter.settled,
        ).run(term.ending)

    def _enter(self, state: str) -> None:
        self.reporter.state = "live" if state == "live" else "standby"
        self.wiring.metrics.set("penstock_lease_held", float(state == "live"), pipeline=self.plan.name)

    def _report(self, stop: threading.Event) -> None:
        while not stop.wait(self.wiring.intervals.report_s):
            self.reporter.report(silent_after_s=_SILENT_S)
