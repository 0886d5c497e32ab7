"""What a cursor captures: the collections that go through topics of penstock's own, by all their names."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from penstock.errors import SettingsError
from penstock.kafka.log import name_problem, topic_of
from penstock.model import Change, Names, Namespace
from penstock.mongo.watch import Watch, watches
from penstock.settings import CollectionSettings, Settings
from penstock.worker.collections.drops import affects
from penstock.worker.collections.expansion import exactly, expand, log_problems, matching, patterns_of

Later = Mapping[Namespace, tuple[tuple[str, int], ...]]
"""By their declared names, the names that collections have had since, each with the version of its rename."""


@dataclass(frozen=True)
class CapturedCollection:
    """One collection, and whether its renames are followed."""

    names: Names
    follows: bool
    topic: str

    @property
    def declared(self) -> Namespace:
        """The name that the settings give it."""
        return self.names.declared


@dataclass(frozen=True)
class CursorSettings:
    """One cursor: a database, or `own`, a collection of it. `settings` has only the collections that it captures."""

    settings: Settings
    db: str
    own: str | None = None

    @property
    def name(self) -> str:
        """Its name in logs and metrics."""
        return self.db if self.own is None else f"{self.db}.{self.own}"

    @property
    def has_patterns(self) -> bool:
        """Whether collections may be found later."""
        return bool(patterns_of(self.settings))

    def collections(self, there: Iterable[Namespace], known: Iterable[Namespace], later: Later) -> "Captured":
        """Return what is captured: what is declared, and what patterns match of what there is and of what is known."""
        matches = matching(self.settings, {*there, *known})
        expanded = expand(self.settings, matches)
        found = []
        for each in expanded.settings.collections:
            if self.settings.has_own_topic(each.namespace):
                name = Namespace.named(each.namespace)
                topic = topic_of(self.settings.log.prefix, name)
                found.append(CapturedCollection(Names(name, later.get(name, ())), each.follows, topic))
        return Captured(self, tuple(found), expanded.left_out)


@dataclass(frozen=True)
class Captured:
    """The collections of a cursor in one term; `refused` says why others cannot be captured that match a pattern."""

    cursor: CursorSettings
    collections: tuple[CapturedCollection, ...]
    refused: Mapping[str, str]

    @property
    def topics(self) -> list[str]:
        """The names of their topics."""
        return [each.topic for each in self.collections]

    @property
    def by_name(self) -> dict[Namespace, CapturedCollection]:
        """The collections by their declared names."""
        return {each.declared: each for each in self.collections}

    @property
    def later(self) -> Later:
        """Those that go by other names at the source."""
        return {each.declared: each.names.later for each in self.collections if each.names.later}

    @property
    def watch(self) -> Watch:
        """What the cursor watches."""
        source = self.cursor.settings.source
        beats = Namespace.named(source.heartbeat or "")
        (watch,) = watches([each.declared for each in self.collections], source.cursor_per)
        return replace(
            watch,
            heartbeat=beats.coll if beats.db == watch.db else None,
            renamed=tuple(self.by_name[Namespace(watch.db, coll)].names for coll in watch.colls if self._moved(coll)),
        )

    def affected(self, change: Change) -> list[CapturedCollection]:
        """Return those that a control change takes away, or into which it puts other documents."""
        return [each for each in self.collections if affects(change, each.names.at(change.version))]

    def after(self, change: Change) -> Later:
        """Return the names once a control change has been: a rename that is followed, or the end of such a name."""
        later = dict(self.later)
        for each in self.affected(change):
            names = each.names
            if change.version <= names.since:
                continue
            if self._leads_on(each, change):
                assert change.to is not None
                later[each.declared] = (*names.later, (change.to.coll, change.version))
            elif names.present != each.declared and change.to != names.at(change.version):
                later[each.declared] = (*names.later, (each.declared.coll, change.version))
        return later

    def _leads_on(self, each: CapturedCollection, change: Change) -> bool:
        """Whether it only goes by another name now: one in the same database, and nobody else's."""
        to = change.to
        if (
            not each.follows
            or change.kind != "rename"
            or to is None
            or change.namespace != each.names.at(change.version)
        ):
            return False
        others = [other.names for other in self.collections if other is not each]
        taken = {name for other in others for name in (other.declared, other.present)}
        return to.db == each.declared.db and to not in taken and str(to) != self.cursor.settings.source.heartbeat

    def _moved(self, coll: str) -> bool:
        return bool(self.by_name[Namespace(self.cursor.db, coll)].names.later)


def cursors_of(settings: Settings) -> list[CursorSettings]:
    """Return a cursor for each database, or for each collection. Raises SettingsError with all problems."""
    if not settings.log.own_topics:
        raise SettingsError(
            "[log] own_topics is false, so no collection goes through topics of penstock's own; set it to true"
        )
    own = [each for each in settings.collections if not settings.topics_of(each.namespace)]
    if not own:
        raise SettingsError("every [[collections]] table has a [[topics]] table that brings its changes: none is left")
    problems = []
    captured = settings.model_copy(update={"collections": tuple(own)})
    for each in exactly(captured):
        topic = topic_of(settings.log.prefix, Namespace.named(each.namespace))
        if problem := name_problem(topic):
            problems.append(
                f"[[collections]] {each.namespace}: its topic {topic} {problem}; shorten [log] prefix, or rename the"
                " collection, or keep it in step with `penstock run` and settings of its own"
            )
    problems += log_problems(settings)
    if problems:
        raise SettingsError(*problems)
    return _divided(captured)


def _divided(settings: Settings) -> list[CursorSettings]:
    each_alone = settings.source.cursor_per == "collection"
    by_cursor: dict[tuple[str, str | None], list[CollectionSettings]] = {}
    for each in settings.collections:
        name = Namespace.named(each.namespace)
        by_cursor.setdefault((name.db, name.coll if each_alone else None), []).append(each)
    return [
        CursorSettings(settings.model_copy(update={"collections": tuple(its)}), db, own)
        for (db, own), its in sorted(by_cursor.items(), key=str)
    ]
