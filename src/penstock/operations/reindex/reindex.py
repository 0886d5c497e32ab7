"""A new generation next to the one that serves: made by the current settings, loaded, fed, verified, then served.

    begin      records the generation; its pipeline is anybody's who has the lease, ours or a worker's
    conduct    waits until it is in step, verifies it, moves the read alias

Whatever ends it, nothing is lost by that: begin again, and it goes on where it was. A worker feeds the generation
meanwhile; nobody searches in it before it is verified.
"""

import threading
import time
from dataclasses import dataclass, field

import structlog

from penstock.errors import NotEqual, Outdated, PositionLost, SettingsError, Stopped, SystemicFault
from penstock.model import seconds_of
from penstock.mongo.collections import estimated_count
from penstock.mongo.connection import cluster_time
from penstock.observe.metrics import Metrics
from penstock.opensearch.read.scan import count
from penstock.opensearch.state.generations import CollectionRecord, GenerationRecord
from penstock.operations.reindex.generations import Generations
from penstock.operations.reindex.takeover import Say, pipelines_warning, require_pipelines_named, take_over
from penstock.operations.verify import FindingKind, VerifyFinding, VerifyListener, VerifyOptions, causes, verify
from penstock.planner import Plan, Planner
from penstock.runtime.intervals import INTERVALS, Intervals
from penstock.runtime.threads import ChildEvent, side_by_side
from penstock.settings import Settings
from penstock.wiring import Adapters
from penstock.worker.follower import Follower
from penstock.worker.progress import NoProgress, Progress
from penstock.worker.worker import WorkerConnections, connected

_WRONG: tuple[FindingKind, ...] = ("missing", "different", "too many", "dead-lettered")
"""What keeps a generation from serving. A document that somebody writes just now (moving) does not."""

_SHOWN = 5

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ReindexOptions:
    """How a generation is made. A difference may take `wait_s` to go away while writes go on.

    With `force` one is made though the settings are those of the present one; with `accept_dead_letters` documents that
    the new one refused are no reason to leave the old one serving. `replaces` is the index that is to serve no longer:
    when another one serves already, nothing is left to do, so that the same may be asked for twice.
    """

    wait_s: float
    force: bool = False
    accept_dead_letters: bool = False
    replaces: str = ""


def reindex(
    settings: Settings,
    namespace: str,
    *,
    stop: threading.Event,
    progress: Progress,
    say: Say,
    options: ReindexOptions,
    intervals: Intervals = INTERVALS,
) -> None:
    """Make a new generation of a collection by the current settings, and let it serve once it is verified.

    Goes on with one that was begun.

    Raises SettingsError, NotEqual, PositionLost, SourceUnavailable, SinkUnavailable, SystemicFault, Stopped.
    """
    planner = Planner(settings)
    with connected(settings, metrics=Metrics(), stop=stop, intervals=intervals) as connections:
        them = Generations(settings, planner.of(namespace), connections.wiring.client, stop, intervals)
        record = _begin(them, options, say)
        while record and (building := record.in_role("building")):
            plan = next(each for each in planner.plans({them.alias: record}) if each.alone == building)
            if plan.problem:
                raise SettingsError(plan.problem)
            try:
                _Reindexing(connections, them, plan, building, progress, say, options).run(stop)
            except Outdated as outdated:
                log.info("the reindex begins again", collection=them.name, reason=str(outdated))
                record = them.record()
            else:
                return


def _begin(them: Generations, options: ReindexOptions, say: Say) -> CollectionRecord | None:
    """Record a new generation, or find the one that was begun; None when there is nothing to do."""
    before, now = them.settled(), them.declared.recipe
    begun, serving = before.in_role("building"), before.in_role("serving")
    if serving and not begun and options.replaces not in ("", serving.index):
        say(f"{them.name}: {them.alias} points to {serving.index} already")
        _report_kept(them, before, say)
        return None
    if not begun and serving and not serving.recipe.moved_on(now) and not options.force:
        say(f"{them.name}: nothing to do: {serving.index} has these settings (build a new one with --force)")
        _report_kept(them, before, say)
        return None
    if serving and not begun:
        require_pipelines_named(them, serving)
    record = them.change(lambda record: _with_building(record, them))
    if building := record.in_role("building"):
        say(f"{them.name}: {'resuming' if begun else 'building'} {building.index}")
    return record


def _with_building(record: CollectionRecord, them: Generations) -> CollectionRecord:
    building, now = record.in_role("building"), them.declared.recipe
    if building:
        if changed := building.recipe.moved_on(now):
            raise SettingsError(
                f"{them.name}: the settings have changed since {building.index} was started"
                f" ({', '.join(changed)}). Run `penstock reindex {them.name} --abandon` and start again, or undo the"
                " change."
            )
        return record.changed(building.number, failed="")
    if other := record.in_role("kept") or record.in_role("dropping"):
        raise SettingsError(
            f"{them.name}: {other.index} still exists from the last reindex. Run `penstock reindex {them.name}"
            " --finish` to delete it, or --rollback to return to it."
        )
    return record.added(now, "building")


def _report_kept(them: Generations, record: CollectionRecord, say: Say) -> None:
    if kept := record.in_role("kept"):
        say(f"{them.name}: {kept.index} is kept up to date: --rollback returns to it, --finish deletes it")
        if not them.is_mapped and all(each["released"] for each in them.pipelines(kept)):
            say(f"{them.name}: no worker is running; start `penstock run` to keep both indexes up to date")


@dataclass
class _Reindexing:
    """One generation on its way to serve."""

    connections: WorkerConnections
    them: Generations
    plan: Plan
    building: GenerationRecord
    progress: Progress
    say: Say
    options: ReindexOptions
    adapters: Adapters = field(init=False)
    has_switched: bool = field(default=False, init=False)

    def run(self, stop: threading.Event) -> None:
        """Feed the generation, unless a worker does, and conduct it until it serves."""
        done = ChildEvent(stop)
        self.adapters = self.connections.wiring.adapters(self.plan, done)
        follower = self.connections.follower(self.plan, NoProgress())
        side_by_side(done, lambda: self._feed(follower, done), lambda: self._conduct(done))
        if not self.has_switched:
            raise Stopped(f"stopped before {self.them.alias} was moved to {self.building.index}")

    def _feed(self, follower: Follower, done: threading.Event) -> None:
        try:
            follower.follow(done)
        except (SystemicFault, PositionLost) as error:
            self.connections.wiring.records(done).fail(self.them.alias, self.building.number, str(error))
            raise
        except SettingsError:
            if not self.them.indexes.uuids([self.building.index]):  # the mapping was refused, or the name is taken
                self.them.change(lambda record: record.without(self.building.number))
            raise

    def _conduct(self, done: ChildEvent) -> None:
        self._wait_until_in_step(done)
        self.say(f"{self.them.name}: {self.building.index} is loaded and in step; verifying it")
        self._verify(done)
        take_over(self.them, self.them.record().in_role("serving"), self.building, self.say)
        self.has_switched = True
        self.say(f"{self.them.name}: {self.them.alias} points to {self.building.index}")
        _report_kept(self.them, self.them.record(), self.say)
        done.set()

    def _wait_until_in_step(self, done: ChildEvent) -> None:
        """Wait until the generation holds what the collection does, but for what is under way.

        With a mapping, its sync function feeds the generation after us: until its containers know of it, we do.
        """
        total, shown = self.adapters.ask(estimated_count, self.plan.collections[0].source), 0
        self.progress.started(self.them.name, total)
        intervals = self.connections.wiring.intervals
        known_at = time.monotonic() + (intervals.targets_s + intervals.in_step_s if self.them.is_mapped else 0.0)
        while not self._is_in_step() or time.monotonic() < known_at:
            if done.wait(intervals.reindex_s):
                raise Stopped("the reindex ends")
            documents = self._loaded()
            self.progress.advanced(self.them.name, max(0, documents - shown))
            shown = max(documents, shown)
        self.progress.finished(self.them.name)

    def _is_in_step(self) -> bool:
        """Whether all is loaded and the stream is followed closely. Raises SystemicFault when it failed, Outdated."""
        record = self.them.record()
        building = record.numbered(self.building.number)
        if building is None or building.failed:
            raise SystemicFault(building.failed if building else f"{self.building.index} was abandoned meanwhile.")
        self.plan.collections[0].require_name_of(record)
        load = self.them.load(building)
        if load and load["phase"] == "dropped":
            raise SystemicFault(f"The collection {self.them.name} does not exist: reindex it when it is back.")
        return load is not None and load["phase"] == "live" and self._is_near(building)

    def _is_near(self, building: GenerationRecord) -> bool:
        """By its position, or by what its worker reports: some sources give an idle stream no new position."""
        now_s, near_s = seconds_of(self.adapters.ask(cluster_time)), self.connections.wiring.intervals.in_step_s
        for state in self.them.pipelines(building):
            position, status = state["position"], state["status"]
            by_position = position is not None and now_s - seconds_of(position["time"]) <= near_s
            if not by_position and not (status.get("state") == "live" and status["lag_s"] <= near_s):
                return False
        return True

    def _loaded(self) -> int:
        """How many documents the new index holds; 0 while it is not there."""
        index = self.building.index
        if not self.them.indexes.uuids([index]):
            return 0
        return count(self.adapters.client, self.adapters.patience, index)

    def _verify(self, done: threading.Event) -> None:
        """Prove that the new index holds what it should. Raises SystemicFault when it does not."""
        (collection,) = self.plan.collections
        generation = self.them.indexes.ensure_generation(collection.settings, number=collection.number, serving=False)
        telling = VerifyListener(self.progress)
        found = verify(
            self.adapters, collection, generation, VerifyOptions(wait_s=self.options.wait_s), stop=done, telling=telling
        )
        collection.require_name_of(self.them.record())
        kinds = [kind for kind in _WRONG if kind != "dead-lettered" or not self.options.accept_dead_letters]
        wrong = [f"{found.tally.found[kind]:,} {kind}" for kind in kinds if found.tally.found[kind]]
        if wrong or found.dropped:
            raise NotEqual(self._not_equal(wrong, [each for each in found.tally.kept if each.kind in kinds]))
        self.say(f"{self.them.name}: {found.tally.equal:,} documents in {self.building.index} equal their source")

    def _not_equal(self, wrong: list[str], findings: list[VerifyFinding]) -> str:
        what, ids = ", ".join(wrong) or "the collection does not exist", [each.id for each in findings]
        which = f" ({', '.join(ids[:_SHOWN])}{', ...' if len(ids) > _SHOWN else ''})" if ids else ""
        if fields := sorted({name for each in findings for name in each.fields}):
            which += f"; fields that differ: {', '.join(fields)}"
        for cause in (*causes(findings), *pipelines_warning(self.them, self.building)):
            which += f"; {cause}"
        refused = ", or give --accept-dead-letters to switch without those" if "dead-lettered" in what else ""
        return (
            f"{self.them.name}: {self.building.index} does not hold what it should: {what}{which}."
            f" {self.them.alias} still points to the old index. Fix the cause and run `penstock reindex"
            f" {self.them.name}` again{refused}; or delete the new index with --abandon."
        )
