"""The reactions of a worker: each in a thread of its own, under a lease of its own, with a cursor of its own.

A reaction that fails ends neither the worker nor another one. What a later attempt may mend is tried again after a
while; what only people can mend stops it until the worker starts again.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from penstock.errors import LeaseLost, PenstockError, PositionLost, SettingsError, Stopped, SystemicFault
from penstock.model import Position, version_of
from penstock.mongo.connection import no_before_images, server
from penstock.mongo.identity import SourceIdentity
from penstock.mongo.position import position_at
from penstock.observe.health import Health
from penstock.opensearch.dead_letters.search import REACTION_LETTER_INDEX, LetterSearch
from penstock.opensearch.http.waiting import FailFast
from penstock.opensearch.state.samples import Row, SampleRing
from penstock.opensearch.state.store import StateDocument, StateStore
from penstock.reactions.delivery import Delivery, DeliveryRules
from penstock.reactions.event import EventMaker
from penstock.reactions.target import Target
from penstock.reactions.targets import target_of
from penstock.reactions.where import Condition, condition_of
from penstock.runtime.threads import ChildEvent, side_by_side
from penstock.settings import ReactionSettings, Settings
from penstock.wiring import ReactionAdapters, Wiring
from penstock.worker.index_progress import IndexProgress
from penstock.worker.sampler import Sampler

log = structlog.get_logger(__name__)

_FOR_GOOD = (PositionLost, SettingsError, SystemicFault)
"""Errors that nothing but a change by people ends."""


@dataclass(frozen=True)
class Prepared:
    """A reaction whose condition and target could be made of its settings."""

    settings: ReactionSettings
    condition: Condition
    target: Target


def prepared(settings: Settings, stop: threading.Event) -> list[Prepared]:
    """Make what the reactions need, before anything is connected to. Raises SettingsError with all problems."""
    ready, problems = [], []
    for each in settings.reactions:
        try:
            ready.append(Prepared(each, condition_of(each.where), target_of(each, stop)))
        except SettingsError as error:
            problems += [f"[[reactions]] {each.name}: {problem}" for problem in error.problems]
    if problems:
        raise SettingsError(*problems)
    return ready


@dataclass
class ReactionRunner:
    """The life of one reaction in this process."""

    reaction: Prepared
    wiring: Wiring
    health: Health | None = None
    _state: str = "standby"
    _reason: str = ""
    _from_now: bool = False
    """Whether the next term forgets the saved position, which is lost."""
    _delivery: Delivery | None = None
    _reporting: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> str:
        """The reaction's name."""
        return self.reaction.settings.name

    @property
    def state_id(self) -> str:
        """The id of its state, by which its worker, its metrics and its dead letters go too."""
        return self.wiring.reaction_id(self.reaction.settings)

    @property
    def state(self) -> str:
        """Standby, live, failed or stopped."""
        return self._state

    def keep_running(self, stop: threading.Event) -> None:
        """Run terms until `stop` is set, or until the reaction has stopped for good."""
        done = ChildEvent(stop)

        def run() -> None:
            self._run(done)
            self._delivery = None
            self._report()
            done.set()

        self.wiring.metrics.begin("reaction", self.name)
        with closing(self.reaction.target):
            side_by_side(done, run, lambda: self._keep_reporting(done))

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self._term(stop)
            except LeaseLost as lost:
                log.warning("lease lost", reaction=self.name, reason=str(lost))
            except Stopped:
                return
            except PenstockError as error:
                self._enter(_state_after(error), str(error))
                log.warning("a reaction has ended; the rest goes on", reaction=self.name, reason=str(error))
                if self._state == "stopped":
                    return
                stop.wait(self.wiring.intervals.failed_generation_s)

    def _term(self, stop: threading.Event) -> None:
        with self._leased(stop) as (adapters, ending):
            sampler = self._sampler(adapters)
            side_by_side(
                ending,
                lambda: self._renew(adapters, ending),
                lambda: self._serve(adapters, ending),
                lambda: sampler.keep_taking(ending),
                lambda: sampler.keep_writing(ending),
            )

    @contextmanager
    def _leased(self, stop: threading.Event) -> Iterator[tuple[ReactionAdapters, ChildEvent]]:
        ending = ChildEvent(stop)
        adapters = self.wiring.reaction(self.reaction.settings, ending)
        self._delivery = None  # of the term before: what it has not given is another worker's
        self._enter("standby")
        adapters.state.acquire(on_holder=self._look_at_holder)
        self._enter("live")
        try:
            yield adapters, ending
        except (LeaseLost, Stopped):
            raise
        except PenstockError as error:
            self._enter(_state_after(error), str(error))
            with suppress(LeaseLost, Stopped):
                adapters.state.save_status(self._status())
            raise
        finally:
            ending.set()
            self._set_lease_held(0)
            self.wiring.metrics.set("penstock_reaction_waiting", 0, reaction=self.name)
            with suppress(Stopped):
                adapters.state.release()

    def _look_at_holder(self, document: StateDocument) -> None:
        """Raise SettingsError when the holder of the lease has other collections: it is another deployment's."""
        others = document.get("collections", [])
        if others and not set(others) & set(self.reaction.settings.collections):
            raise SettingsError(
                f"Reaction {self.name}: another worker ({document['owner']}) holds its lease for {', '.join(others)}."
                " Rename one of the two reactions, or give each deployment a [pipeline] name of its own."
            )

    def _serve(self, adapters: ReactionAdapters, ending: ChildEvent) -> None:
        self._require_source(adapters)
        if self._from_now or adapters.state.load() is None:
            self._take_position(adapters)
        delivery = self._delivery = self._make_delivery(adapters, ending)
        try:
            delivery.run(ending)
        except PositionLost as lost:
            self.wiring.metrics.count("penstock_positions_lost_total", pipeline=adapters.state_id, reason="history")
            if self.reaction.settings.on_position_lost == "stop":
                raise PositionLost(
                    f"Reaction {self.name}: {lost.cause}",
                    'They cannot be reacted to any more. To go on from now, set on_position_lost = "now" and start'
                    " again; and make the change log's retention longer than the longest time a target may be down.",
                ) from lost
            log.warning("changes were lost; the reaction goes on from now", reaction=self.name, reason=lost.cause)
            self._from_now = True  # the next term takes a position
            ending.set()

    def _require_source(self, adapters: ReactionAdapters) -> None:
        """Raise SystemicFault when the position is of another source, SettingsError when it has no before-images."""
        now, known = adapters.source_identity(), SourceIdentity.kept(adapters.state.document["source"])
        if known:
            known.require_same(now, f"The position of reaction {self.name}")
        adapters.state.save_source(now.stored(), {})
        if self.reaction.settings.before and (reason := no_before_images(adapters.ask(server))):
            raise SettingsError(f"[[reactions]] {self.name}: {reason}; remove it")

    def _take_position(self, adapters: ReactionAdapters) -> None:
        start = self.reaction.settings.start
        if start == "now" or self._from_now:
            with closing(adapters.stream()) as stream:
                position: Position = stream.position_now()
        else:
            position = position_at(version_of(int(start.timestamp()), 0))
        adapters.state.save(position)
        self._from_now = False
        log.info("a reaction begins", reaction=self.name, cluster_time=position.time)

    def _make_delivery(self, adapters: ReactionAdapters, ending: threading.Event) -> Delivery:
        settings, pipeline, intervals = self.reaction.settings, self.wiring.settings.pipeline, self.wiring.intervals
        maker = EventMaker.of(
            settings, self.reaction.condition, deployment=pipeline.name, collections=settings.collections
        )
        rules = DeliveryRules.of(
            settings,
            pipeline,
            checkpoint_every_s=pipeline.checkpoint_every_s,
            idle_save_s=intervals.idle_save_s,
            longest_pause_s=intervals.target_pause_s,
        )
        return Delivery(
            self.name,
            adapters.state_id,
            adapters.stream,
            maker,
            self.reaction.target,
            adapters.letters,
            adapters.state,
            rules,
            self.wiring.metrics,
            may_send=adapters.state.assert_held,
            index_has=self._index_progress(ending).has if settings.after_index else lambda _: True,
        )

    def _sampler(self, adapters: ReactionAdapters) -> Sampler:
        """Keep the history of the reaction for the term that has begun."""
        client, state = self.wiring.client, adapters.state
        patience = FailFast(client.url)
        ring = SampleRing(
            StateStore(client, patience), self.state_id, epoch=state.document["epoch"], may_write=state.held
        )
        letters = LetterSearch(client, patience, index=REACTION_LETTER_INDEX)
        sampled: Counter[str] = Counter()

        def take() -> Row:
            nonlocal sampled
            delivery = self._delivery
            outcomes = Counter(delivery.outcomes) if delivery else Counter[str]()
            since = {name: outcomes[name] - sampled[name] for name in ("accepted", "dead_lettered", "filtered")}
            sampled = outcomes
            status = self._status()
            return {"lag_s": status["lag_s"], "pending": status["pending"], **since}

        return Sampler(ring, take, lambda: {"letters": letters.count_of(self.state_id)}, self.wiring.intervals)

    def _index_progress(self, ending: threading.Event) -> IndexProgress:
        its = self.reaction.settings.collections
        aliases = {each.alias for each in self.wiring.settings.collections if each.namespace in its}
        return IndexProgress(self.wiring, frozenset(aliases), ending)

    def _renew(self, adapters: ReactionAdapters, ending: threading.Event) -> None:
        every_s = self.wiring.settings.pipeline.lease_s / self.wiring.intervals.renewals_per_lease
        while not ending.wait(every_s):
            adapters.state.save_status(self._status())

    def _enter(self, state: str, reason: str = "") -> None:
        self._state, self._reason = state, reason
        self._set_lease_held(float(state == "live"))
        self._report()

    def _set_lease_held(self, held: float) -> None:
        self.wiring.metrics.set("penstock_lease_held", held, pipeline=self.state_id)

    def _keep_reporting(self, stop: threading.Event) -> None:
        while not stop.wait(self.wiring.intervals.report_s):
            self._report()

    def _report(self) -> None:
        with self._reporting:  # so that an older status never comes after a newer one
            status, metrics = self._status(), self.wiring.metrics
            if self.health:
                self.health.reaction(self.name, status)
            metrics.set("penstock_reaction_pending", status["pending"], reaction=self.name)
            metrics.set("penstock_reaction_lag_seconds", status["lag_s"], reaction=self.name)
            metrics.set(
                "penstock_reaction_stopped", float(status["state"] in ("stopped", "failed")), reaction=self.name
            )

    def _status(self) -> dict[str, Any]:
        """Return what the state document keeps for `status`."""
        delivery = self._delivery
        return {
            "state": self._state,
            "lag_s": round(delivery.lag_s, 3) if delivery else 0.0,
            "pending": delivery.pending if delivery else 0,
            "waiting": delivery.waits_for if delivery else "",
            "reason": self._reason,
            "reported_at": time.time(),
        }


def _state_after(error: PenstockError) -> str:
    """Return `stopped` where only people can help, `failed` where another attempt may."""
    return "stopped" if isinstance(error, _FOR_GOOD) else "failed"
