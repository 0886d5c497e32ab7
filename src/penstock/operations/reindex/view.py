"""How the generations of a collection stand, and what can be done with them next; nothing is changed by looking."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

from penstock.opensearch.index.definition import IndexDefinition
from penstock.opensearch.state.generations import CollectionRecord, GenerationRecord, Role
from penstock.opensearch.state.ids import load_id
from penstock.operations.inspect.views import Inspection
from penstock.planner import Planner
from penstock.settings import Settings

ReindexStep = Literal["build", "rollback", "finish", "abandon"]


@dataclass(frozen=True)
class ChangedSetting:
    """A setting that shapes an index: as the one that serves was made by, and as it is now."""

    name: str
    before: Any
    now: Any


@dataclass(frozen=True)
class GenerationView:
    """One generation. `load` is how far its load is, empty while none has begun; `failed` why it is not fed."""

    index: str
    role: Role
    load: str
    documents: int | None
    dead_letters: int
    failed: str


@dataclass(frozen=True)
class ReindexView:
    """One collection. `changed` is what the settings say otherwise than when the serving index was made.

    `unnamed` are changes that are no setting, such as the code of a function. `steps` can be taken now.
    """

    namespace: str
    alias: str
    generations: tuple[GenerationView, ...]
    changed: tuple[ChangedSetting, ...]
    unnamed: tuple[str, ...]
    steps: tuple[ReindexStep, ...]

    def in_role(self, *roles: Role) -> GenerationView | None:
        """The generation that has one of these roles."""
        return next((each for each in self.generations if each.role in roles), None)


def reindex_view(settings: Settings, namespace: str) -> ReindexView:
    """Look at one declared collection. Raises SettingsError, SinkUnavailable."""
    declared = Planner(settings).of(namespace)
    with closing(Inspection(settings)) as seen:
        record = seen.records.get(declared.settings.alias)
        if record is None:
            return ReindexView(namespace, declared.settings.alias, (), (), (), ())
        loads = seen.index.states([load_id(namespace, each.index) for each in record.generations])
        letters = seen.index.letters.counts_of([each.write_alias for each in record.generations])
        views = tuple(
            _generation(each, loads, seen, letters[each.write_alias], namespace) for each in record.generations
        )
    serving = record.in_role("serving")
    changed, unnamed = _changed(serving.recipe, declared.recipe) if serving else ((), ())
    return ReindexView(
        namespace, record.alias, views, changed, unnamed, _steps(record, is_new=bool(changed or unnamed))
    )


def moved_on(settings: Settings) -> dict[str, tuple[list[str], list[str]]]:
    """By declared collection: what the settings say otherwise than its index, and the roles of its generations."""
    planner = Planner(settings)
    with closing(Inspection(settings)) as seen:
        records = seen.records
    found = {}
    for each in planner.declared:
        record = records.get(each.settings.alias)
        serving = record.in_role("serving") if record else None
        roles: list[str] = [generation.role for generation in record.generations] if record else []
        found[str(each.namespace)] = (serving.recipe.moved_on(each.recipe) if serving else [], roles)
    return found


def _generation(
    generation: GenerationRecord, loads: Mapping[str, Mapping[str, Any]], seen: Inspection, letters: int, namespace: str
) -> GenerationView:
    load = loads.get(load_id(namespace, generation.index))
    behind = seen.index.behind(generation.write_alias)
    return GenerationView(
        generation.index,
        generation.role,
        load["phase"] if load else "",
        behind.documents if behind else None,
        letters,
        generation.failed,
    )


def _changed(before: IndexDefinition, now: IndexDefinition) -> tuple[tuple[ChangedSetting, ...], tuple[str, ...]]:
    names = before.moved_on(now)
    known = before.settings.keys() | now.settings.keys()
    changed = (
        ChangedSetting(each, before.settings.get(each), now.settings.get(each)) for each in names if each in known
    )
    return tuple(changed), tuple(each for each in names if each not in known)


def _steps(record: CollectionRecord, *, is_new: bool) -> tuple[ReindexStep, ...]:
    if record.in_role("building"):
        return ("build", "abandon")
    if record.in_role("kept"):
        return ("rollback", "finish")
    if record.in_role("dropping"):
        return ("finish",)
    return ("build",) if is_new else ()
