"""A new generation beside the one that serves: made by the settings of now, loaded, fed, verified, then served.

    begin      records the generation; its pipeline is anybody's who has the lease, ours or a worker's
    conduct    waits until it is in step, verifies it, moves the read alias

Whatever ends it, nothing is lost by that: begin again, and it goes on where it was. A worker feeds the generation
meanwhile; nobody searches in it before it is verified.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from penstock.change import seconds_of
from penstock.ending import Ending
from penstock.errors import PositionLost, SettingsError, Stopped, SystemicFault
from penstock.metrics import Metrics
from penstock.mongo.connection import cluster_time
from penstock.opensearch.records import Record, Recorded
from penstock.opensearch.scan import count
from penstock.operations.following import Following
from penstock.operations.generations import LOOK_EVERY_S, Generations
from penstock.operations.progress import NoProgress, Progress
from penstock.operations.worker import Joined, joined
from penstock.plans import Plan, Planner
from penstock.settings import Settings
from penstock.side_by_side import side_by_side

Say = Callable[[str], None]

_NEAR_S = 15
"""A position so close behind the source's time is in step; an idle one is saved every ten seconds."""


def reindex(
    settings: Settings,
    namespace: str,
    *,
    stop: threading.Event,
    progress: Progress,
    say: Say,
    force: bool = False,
    accept_dead_letters: bool = False,
) -> None:
    """Make a new generation of a collection by the settings of now, and let it serve once it is verified.

    Goes on with one that was begun. With `force` one is made though the settings are those of the present one; with
    `accept_dead_letters` documents that the new one refused are no reason to leave the old one serving.
    Raises SettingsError, PositionLost, SourceUnavailable, SinkUnavailable, SystemicFault, Stopped.
    """
    planner = Planner(settings)
    with joined(settings, metrics=Metrics()) as site:
        them = Generations(settings, planner.of(namespace), site.client, stop)
        building = _begin(them, force=force, say=say)
        if building is None:
            return
        plan = next(each for each in planner.plans({them.alias: them.record()}) if each.alone == building)
        if plan.problem:
            raise SettingsError(plan.problem)
        _Reindexing(site, them, plan, building, progress, say, accept_dead_letters).run(stop)


def _begin(them: Generations, *, force: bool, say: Say) -> Recorded | None:
    """Record a new generation, or find the one that was begun; None when there is nothing to do."""
    before = them.settled()
    serving, now = before.in_role("serving"), them.declared.recipe
    if before.in_role("building") is None and serving and not serving.recipe.moved_on(now) and not force:
        say(f"{them.name}: nothing to do, {serving.index} is made by these settings; --force makes a new one all the same")
        _tell_kept(them, before, say)
        return None
    record = them.change(lambda record: _with_building(record, them))
    building = record.in_role("building")
    goes_on = before.in_role("building") is not None
    say(f"{them.name}: {'going on with' if goes_on else 'making'} {building.index if building else ''}")
    return building


def _with_building(record: Record, them: Generations) -> Record:
    building, now = record.in_role("building"), them.declared.recipe
    if building:
        if changed := building.recipe.moved_on(now):
            raise SettingsError(
                f"{them.name}: {building.index} is being made, and the settings have moved on since ({_listed(changed)})."
                f" Run `penstock reindex {them.name} --abandon` and begin again, or take the change back."
            )
        return record.changed(building.number, failed="")
    if other := record.in_role("kept") or record.in_role("dropping"):
        raise SettingsError(
            f"{them.name}: {other.index} is still there from the last reindex. Run `penstock reindex {them.name}"
            " --finish` to drop it, or --rollback to let it serve again."
        )
    return record.added(now, "building")


def _tell_kept(them: Generations, record: Record, say: Say) -> None:
    if kept := record.in_role("kept"):
        say(f"{them.name}: {kept.index} is kept and fed: --rollback lets it serve again, --finish drops it")


def _listed(changed: list[str]) -> str:
    return ", ".join(changed)


@dataclass
class _Reindexing:
    """One generation on its way to serve."""

    site: Joined
    them: Generations
    plan: Plan
    building: Recorded
    progress: Progress
    say: Say
    accept_dead_letters: bool

    def run(self, stop: threading.Event) -> None:
        """Feed the generation, unless a worker does, and conduct it until it serves."""
        done = Ending(stop)
        following = self.site.following(self.plan, NoProgress())
        side_by_side(done, lambda: self._feed(following, done), lambda: self._conduct(done))
        if stop.is_set():
            raise Stopped(f"told to stop before {self.building.index} served")

    def _feed(self, following: Following, done: threading.Event) -> None:
        try:
            following.follow(done)
        except (SystemicFault, PositionLost) as error:
            self.them.fail(self.building, str(error))
            raise
        except SettingsError:
            if not self.them.indexes.uuids([self.building.index]):  # the mapping was refused, or the name is taken
                self.them.change(lambda record: record.without(self.building.number))
            raise

    def _conduct(self, done: Ending) -> None:
        self._wait_until_in_step(done)
        self.say(f"{self.them.name}: {self.building.index} is loaded and in step; verifying it")
        self._verify(done)
        self.them.swap(self.building)
        self.say(f"{self.them.name}: {self.building.index} serves {self.them.alias}")
        _tell_kept(self.them, self.them.record(), self.say)
        done.set()

    def _wait_until_in_step(self, done: Ending) -> None:
        total, shown = self._documents(), 0
        self.progress.started(self.building.index, total)
        while not self._is_in_step():
            if done.wait(LOOK_EVERY_S):
                raise Stopped("the reindex ends")
            documents = self._loaded()
            self.progress.advanced(self.building.index, max(0, documents - shown))
            shown = max(documents, shown)
        self.progress.finished(self.building.index)

    def _is_in_step(self) -> bool:
        """Whether all is loaded and the stream is followed closely. Raises SystemicFault when it failed."""
        building = self.them.record().numbered(self.building.number)
        if building is None or building.failed:
            raise SystemicFault(building.failed if building else f"{self.building.index} was given up meanwhile.")
        load = self.them.load(building)
        if load and load["phase"] == "dropped":
            raise SystemicFault(f"{self.them.name} is not there at present: reindex it when it is back.")
        return load is not None and load["phase"] == "live" and self._is_near(building)

    def _is_near(self, building: Recorded) -> bool:
        """By its position, or by what its worker reports: some sources give an idle stream no new position."""
        now_s = seconds_of(self.adapters.ask(cluster_time))
        for state in self.them.pipelines(building):
            position, status = state["position"], state["status"]
            by_position = position is not None and now_s - seconds_of(position["time"]) <= _NEAR_S
            if not by_position and not (status.get("state") == "live" and status["lag_s"] <= _NEAR_S):
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
        how = How(wait_s=_SETTLE_S)
        found = verify(self.adapters, collection, generation, how, stop=done)
        wrong = {kind: found.tally.found[kind] for kind in _WRONG if found.tally.found[kind]}
        if self.accept_dead_letters:
            wrong.pop("dead-lettered", None)
        if wrong or found.dropped:
            raise SystemicFault(_not_equal(self.them, self.building, wrong))
        self.say(f"{self.them.name}: {found.tally.equal:,} documents are equal in source and {self.building.index}")
