"""Which cursors there are, and which generations each of them feeds.

The pipeline of a database (or of a collection, where rights are narrower) feeds the first generation of all its
collections. Each later generation has a pipeline of its own, with a cursor of its own on its collection.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace

from penstock.documents.transform import Transform
from penstock.errors import Outdated, SettingsError
from penstock.model import Names, Namespace
from penstock.mongo.watch import Watch, watches
from penstock.opensearch.index.definition import IndexDefinition
from penstock.opensearch.index.indexes import index_of, write_alias_of
from penstock.opensearch.state.generations import CollectionRecord, GenerationRecord
from penstock.settings import CollectionSettings, ReactionSettings, Settings, SourceSettings


@dataclass(frozen=True)
class FedGeneration:
    """One generation of a collection: how it is fed, and what is recorded of it, once something is.

    `namespace` is its declared name, by which people and records speak of it; `names` has the one at the source. `now`
    is what the settings would make of the collection today.
    """

    namespace: Namespace
    names: Names
    settings: CollectionSettings
    transform: Transform
    recipe: IndexDefinition
    now: IndexDefinition
    recorded: GenerationRecord | None = None

    @property
    def source(self) -> Namespace:
        """The name by which the source knows it now."""
        return self.names.present

    @property
    def number(self) -> int:
        """The generation's number."""
        return self.recorded.number if self.recorded else 1

    def require_name_of(self, record: CollectionRecord | None) -> None:
        """Raise Outdated when the record has another name of it at the source than it was planned with."""
        if (record.names if record else ()) != self.names.later:
            raise Outdated(f"The collection {self.namespace} was renamed at the source in the meantime. Start again.")

    @property
    def index(self) -> str:
        """The name of its index."""
        return index_of(self.settings.alias, self.number)

    @property
    def write_alias(self) -> str:
        """The alias by which it is written, and by which its dead letters go."""
        return write_alias_of(self.index)

    @property
    def serves(self) -> bool:
        """Whether people search in it."""
        return self.recorded is None or self.recorded.role == "serving"

    @property
    def runs_other_code(self) -> bool:
        """Whether documents are made by other code than those before: only the name of a function can be kept."""
        return self.recipe.transform != self.transform.fingerprint


@dataclass(frozen=True)
class Plan:
    """One pipeline: what its cursor watches, and the generations it feeds.

    `alone` is the generation whose own pipeline this is; `problem` says why this process cannot feed it. `deployment`
    is the name that keeps its state apart from that of others.
    """

    watch: Watch
    collections: tuple[FedGeneration, ...]
    alone: GenerationRecord | None = None
    problem: str = ""
    deployment: str | None = None

    @property
    def name(self) -> str:
        """The pipeline's name, in its state, its metrics and its log lines."""
        return pipeline_of(self.alone.index) if self.alone else shared_pipeline(str(self.watch), self.deployment)

    @property
    def serves(self) -> bool:
        """Whether people search in what it feeds."""
        return self.alone.role == "serving" if self.alone else any(each.serves for each in self.collections)

    def is_like(self, other: "Plan") -> bool:
        """Whether the other plan feeds the same in the same way; what people search in makes no difference."""
        return self._fed() == other._fed()

    def _fed(self) -> object:
        return self.name, self.watch, [(each.namespace, each.number, each.recipe) for each in self.collections]


def shared_pipeline(cursor: str, deployment: str | None) -> str:
    """The name of the pipeline of a cursor on a database, or on a collection; no name of either has a slash."""
    return f"{deployment}/{cursor}" if deployment else cursor


def pipeline_of(index: str) -> str:
    """The name of a generation's own pipeline; no database and no collection of one is called so."""
    return f"generation/{index}"


@dataclass(frozen=True)
class DeclaredCollection:
    """A collection as the settings declare it now."""

    namespace: Namespace
    settings: CollectionSettings
    transform: Transform
    recipe: IndexDefinition

    @classmethod
    def by(cls, settings: CollectionSettings) -> "DeclaredCollection":
        """Read its function and its mapping file. Raises SettingsError."""
        transform = Transform(settings)
        return cls(Namespace.named(settings.namespace), settings, transform, IndexDefinition.of(settings, transform))

    def names(self, record: CollectionRecord | None) -> Names:
        """The names that it has had, by its record."""
        return Names(self.namespace, record.names if record else ())

    def generation(self, recorded: GenerationRecord | None, names: Names, *, renew: bool = False) -> FedGeneration:
        """One of its generations; with `renew` its documents are made as declared now. Raises SettingsError."""
        if recorded is None:
            return FedGeneration(self.namespace, names, self.settings, self.transform, self.recipe, self.recipe)
        recipe = recorded.recipe.with_transform_of(self.recipe) if renew else recorded.recipe
        settings = recipe.applied_to(self.settings)
        transform = self.transform if recipe.settings == self.recipe.settings else Transform(settings)
        return FedGeneration(self.namespace, names, settings, transform, recipe, self.recipe, recorded)


class Planner:
    """Divides the generations of the declared collections among pipelines. Reads functions and files once.

    `known` are those that were read before. Raises SettingsError with all problems.
    """

    def __init__(self, settings: Settings, known: Iterable[DeclaredCollection] = ()) -> None:
        before = {each.namespace: each for each in known}
        self._cursor_per = settings.pipeline_per
        self._deployment = settings.pipeline.name
        self._heartbeat = Namespace.named(settings.source.heartbeat or "")
        self.declared: list[DeclaredCollection] = []
        problems: list[str] = []
        for each in settings.collections:
            try:
                name = Namespace.named(each.namespace)
                self.declared.append(before[name] if name in before else DeclaredCollection.by(each))
            except SettingsError as error:
                problems += error.problems
        if problems:
            raise SettingsError(*problems)

    def of(self, namespace: str) -> DeclaredCollection:
        """A declared collection."""
        return next(each for each in self.declared if each.settings.namespace == namespace)

    @property
    def aliases(self) -> list[str]:
        """The read aliases, by which records are found."""
        return [each.settings.alias for each in self.declared]

    def plans(self, records: Mapping[str, CollectionRecord], *, renewed: Container[Namespace] = ()) -> list[Plan]:
        """The pipelines by these records. Raises SettingsError.

        A collection of `renewed` with a single generation gets its documents as declared now.
        """
        first: dict[Namespace, FedGeneration] = {}
        alone: list[Plan] = []
        self._refuse_shared(records)
        for each in self.declared:
            record = records.get(each.settings.alias)
            names = each.names(record)
            fed = record.fed if record else (None,)
            for recorded in fed:
                if recorded and recorded.failed:
                    continue
                renew = len(fed) == 1 and each.namespace in renewed
                if recorded is None or recorded.number == 1:
                    first[each.namespace] = each.generation(recorded, names, renew=renew)
                else:
                    alone.append(self._alone(each, recorded, names, renew=renew))
        shared = (
            Plan(watch, tuple(first[Namespace(watch.db, coll)] for coll in watch.colls), deployment=self._deployment)
            for watch in self._watches(each.names for each in first.values())
        )
        return [*shared, *alone]

    def _refuse_shared(self, records: Mapping[str, CollectionRecord]) -> None:
        """Two tables must not stand for one collection because one of them followed a rename. Raises SettingsError."""
        declared = {each.namespace for each in self.declared}
        for each in self.declared:
            names = each.names(records.get(each.settings.alias))
            if names.later and names.present in declared - {each.namespace}:
                raise SettingsError(
                    f"[[collections]] {each.namespace}: the collection was renamed to {names.present}, which now has a"
                    " table of its own: remove one of the two tables"
                )

    def _watches(self, collections: Iterable[Names]) -> list[Watch]:
        names, beats = {each.declared: each for each in collections}, self._heartbeat
        return [
            replace(
                each,
                heartbeat=beats.coll if each.db == beats.db else None,
                renamed=tuple(names[its] for coll in each.colls if names[its := Namespace(each.db, coll)].later),
            )
            for each in watches(names, self._cursor_per)
        ]

    def _alone(self, declared: DeclaredCollection, recorded: GenerationRecord, names: Names, *, renew: bool) -> Plan:
        (watch,) = self._watches([names])
        try:
            generation = declared.generation(recorded, names, renew=renew)
        except SettingsError as error:
            return Plan(watch, (), recorded, problem=str(error))
        if recorded.role == "building" and generation.runs_other_code:
            return Plan(watch, (), recorded, problem=f"{recorded.index} {_OTHER_CODE}")
        return Plan(watch, (generation,), recorded)


_OTHER_CODE = "was built with other code than this process runs; restart the process with the new code"


def plans(settings: Settings) -> list[Plan]:
    """The pipelines where nothing is recorded yet. Raises SettingsError with all problems."""
    return Planner(settings).plans({})


def present_names(settings: Settings, records: Mapping[str, CollectionRecord]) -> dict[Namespace, Namespace]:
    """By its declared name, the one by which the source knows each collection now; the records go by alias."""
    declared = {each.alias: Namespace.named(each.namespace) for each in settings.collections}
    names = {alias: Names(name, records[alias].names if alias in records else ()) for alias, name in declared.items()}
    return {each.declared: each.present for each in names.values()}


def reaction_watch(reaction: ReactionSettings, source: SourceSettings) -> Watch:
    """What the cursor of a reaction watches: its collections by their names, and the heartbeat of their database.

    Raises SettingsError for a reaction that needs several.
    """
    watched = reaction_watches(reaction, source)
    if len(watched) > 1:
        raise SettingsError(
            f"[[reactions]] {reaction.name} has several collections, each with a mapping of its own; a worker follows"
            " one change stream: give each collection a reaction of its own"
        )
    return watched[0]


def reaction_watches(reaction: ReactionSettings, source: SourceSettings) -> list[Watch]:
    """What a worker or the mappings of a reaction watch."""
    beats = Namespace.named(source.heartbeat or "")
    return [
        replace(
            watch,
            heartbeat=beats.coll if beats.db == watch.db and watch.target(None) is None else None,
            before_images=reaction.before,
        )
        for watch in watches(map(Namespace.named, reaction.collections), source.cursor_per)
    ]
