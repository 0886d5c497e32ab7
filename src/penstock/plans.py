"""Which cursors there are, and which generations each of them feeds.

The pipeline of a database (or of a collection, where rights are narrower) feeds the first generation of all its
collections. Each later generation has a pipeline of its own, with a cursor of its own on its collection.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace

from penstock.change import Namespace
from penstock.errors import SettingsError
from penstock.mongo.watch import Watch, watches
from penstock.opensearch.recipe import Recipe
from penstock.opensearch.records import Record, Recorded
from penstock.settings import CollectionSettings, Settings
from penstock.transform import Transform


@dataclass(frozen=True)
class Collection:
    """One generation of a collection: how it is fed, and what is recorded of it, once something is.

    `now` is what the settings would make of the collection today.
    """

    namespace: Namespace
    settings: CollectionSettings
    transform: Transform
    recipe: Recipe
    now: Recipe
    recorded: Recorded | None = None

    @property
    def number(self) -> int:
        """The generation's number."""
        return self.recorded.number if self.recorded else 1

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

    `alone` is the generation whose own pipeline this is; `problem` says why this process cannot feed it.
    """

    watch: Watch
    collections: tuple[Collection, ...]
    alone: Recorded | None = None
    problem: str = ""

    @property
    def name(self) -> str:
        """The pipeline's name, in its state, its metrics and its log lines."""
        return pipeline_of(self.alone.index) if self.alone else str(self.watch)

    @property
    def serves(self) -> bool:
        """Whether people search in what it feeds."""
        return self.alone.role == "serving" if self.alone else any(each.serves for each in self.collections)

    def is_like(self, other: "Plan") -> bool:
        """Whether the other plan feeds the same in the same way; what people search in makes no difference."""
        return self._fed() == other._fed()

    def _fed(self) -> object:
        return self.name, self.watch, [(each.namespace, each.number, each.recipe) for each in self.collections]


def pipeline_of(index: str) -> str:
    """The name of a generation's own pipeline; no database and no collection of one is called so."""
    return f"generation/{index}"


@dataclass(frozen=True)
class Declared:
    """A collection as the settings declare it now."""

    namespace: Namespace
    settings: CollectionSettings
    transform: Transform
    recipe: Recipe

    @classmethod
    def by(cls, settings: CollectionSettings) -> "Declared":
        """Read its function and its mapping file. Raises SettingsError."""
        transform = Transform(settings)
        return cls(Namespace.named(settings.namespace), settings, transform, Recipe.of(settings, transform))

    def generation(self, recorded: Recorded | None, *, renew: bool = False) -> Collection:
        """One of its generations; with `renew` its documents are made as declared now. Raises SettingsError."""
        if recorded is None:
            return Collection(self.namespace, self.settings, self.transform, self.recipe, self.recipe)
        recipe = recorded.recipe.with_transform_of(self.recipe) if renew else recorded.recipe
        settings = recipe.applied_to(self.settings)
        transform = self.transform if recipe.settings == self.recipe.settings else Transform(settings)
        return Collection(self.namespace, settings, transform, recipe, self.recipe, recorded)


class Planner:
    """Divides the generations of the declared collections among pipelines. Reads functions and files once.

    Raises SettingsError with all problems.
    """

    def __init__(self, settings: Settings) -> None:
        self._cursor_per = settings.source.cursor_per
        self._heartbeat = Namespace.named(settings.source.heartbeat or "")
        self.declared: list[Declared] = []
        problems: list[str] = []
        for each in settings.collections:
            try:
                self.declared.append(Declared.by(each))
            except SettingsError as error:
                problems += error.problems
        if problems:
            raise SettingsError(*problems)

    def of(self, namespace: str) -> Declared:
        """A declared collection."""
        return next(each for each in self.declared if each.settings.namespace == namespace)

    @property
    def aliases(self) -> list[str]:
        """The read aliases, by which records are found."""
        return [each.settings.alias for each in self.declared]

    def plans(self, records: Mapping[str, Record], *, renewed: Container[Namespace] = ()) -> list[Plan]:
        """The pipelines by these records. Raises SettingsError.

        A collection of `renewed` with a single generation gets its documents as declared now.
        """
        first: dict[Namespace, Collection] = {}
        alone: list[Plan] = []
        for each in self.declared:
            record = records.get(each.settings.alias)
            fed = record.fed if record else (None,)
            for recorded in fed:
                if recorded and recorded.failed:
                    continue
                renew = len(fed) == 1 and each.namespace in renewed
                if recorded is None or recorded.number == 1:
                    first[each.namespace] = each.generation(recorded, renew=renew)
                else:
                    alone.append(self._alone(each, recorded, renew=renew))
        shared = (
            Plan(watch, tuple(first[Namespace(watch.db, coll)] for coll in watch.colls))
            for watch in self._watches(first)
        )
        return [*shared, *alone]

    def _watches(self, namespaces: Iterable[Namespace]) -> list[Watch]:
        beats = self._heartbeat
        found = watches(namespaces, self._cursor_per)
        return [replace(each, heartbeat=beats.coll if each.db == beats.db else None) for each in found]

    def _alone(self, declared: Declared, recorded: Recorded, *, renew: bool) -> Plan:
        (watch,) = self._watches([declared.namespace])
        try:
            generation = declared.generation(recorded, renew=renew)
        except SettingsError as error:
            return Plan(watch, (), recorded, problem=str(error))
        if recorded.role == "building" and generation.runs_other_code:
            return Plan(watch, (), recorded, problem=f"{recorded.index} {_OTHER_CODE}")
        return Plan(watch, (generation,), recorded)


_OTHER_CODE = "is made with other code than this process runs; start it again with the new code to let it take over"


def plans(settings: Settings) -> list[Plan]:
    """The pipelines where nothing is recorded yet. Raises SettingsError with all problems."""
    return Planner(settings).plans({})
