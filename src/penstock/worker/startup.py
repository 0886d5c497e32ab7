"""The start of a term: the generations exist and are on record, no index was replaced, and there is a position.

The position is taken and saved before the first document of any load is read, so that load and stream meet without a
gap. A collection that the saved position does not belong to (new in the settings, or back in them) is loaded again.
"""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import structlog

from penstock.errors import Outdated, SystemicFault
from penstock.model import Namespace
from penstock.opensearch.index.definition import IndexDefinition
from penstock.opensearch.index.indexes import AliasLost, Generation, Indexes, index_of
from penstock.opensearch.state.generations import CollectionRecord
from penstock.opensearch.state.load_state import LoadState
from penstock.opensearch.state.pipeline_state import PipelineState
from penstock.planner import FedGeneration, Plan
from penstock.wiring import Adapters
from penstock.worker.holder import require_alone
from penstock.worker.recovery.position_loss import check_indexes
from penstock.worker.recovery.source_rewind import check_source

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Startup:
    """What a term begins with: the generation and the load state of each collection."""

    generations: Mapping[Namespace, Generation]
    loads: Mapping[Namespace, LoadState]


def start(
    plan: Plan, adapters: Adapters, state: PipelineState, *, again: frozenset[Namespace] = frozenset()
) -> Startup:
    """Make sure of everything before the first read. The collections of `again` are loaded again, whatever is known.

    When that is all of them, a new position is taken, so that a lost one or another source is forgotten.
    Raises SettingsError, PositionLost, SystemicFault, SourceUnavailable, SinkUnavailable.
    """
    _check_records(plan, adapters)
    everything = again >= {each.namespace for each in plan.collections}
    source = (adapters.source_identity() if everything else check_source(plan, adapters, state)).stored()
    require_alone(plan, adapters)
    generations = {each.namespace: _ensured(each, adapters) for each in plan.collections}
    check_indexes(plan, adapters, state, generations, again=again)
    origin = {"source": source} if plan.alone else {"source": source, "pipeline": plan.name}
    known: Mapping[str, str] = {} if everything or state.load() is None else state.document["indexes"]
    if not any(generation.index in known for generation in generations.values()):
        # Should it end here: no index belongs to the new position.
        state.save_source({**state.document["source"], **source}, {})
        _take_position(adapters, state)
    loads = {}
    for each in plan.collections:
        name, generation = each.namespace, generations[each.namespace]
        load = loads[name] = adapters.load_state(each, generation).open()
        is_new = load.phase == "loading" and load.load() is None and load.plan is None
        is_fresh = is_new and (generation.created or generation.uuid in adapters.made)
        is_known = known.get(generation.index) == generation.uuid and name not in again
        if not is_known and not is_fresh:
            log.info("will be loaded again", collection=str(name), index=generation.index)
            load.enter("reconciling")
    for each in plan.collections:
        record = _record(each, adapters, _recipe(each, state, loads[each.namespace]), origin)
        if each.serves and (changed := record.moved_on(each.now)):
            _warn_moved_on(each, changed)
    state.save_source(source, {generation.index: generation.uuid for generation in generations.values()})
    return Startup(generations, loads)


def ensure(each: FedGeneration, indexes: Indexes) -> Generation:
    """Find or create a generation's index, as it was recorded to be made."""
    if each.recorded is None:
        _check_nothing_later_serves(each, indexes)
    mapping = each.recipe.settings["mapping_file"]
    return indexes.ensure_generation(each.settings, number=each.number, mapping=mapping, serving=each.serves)


def _ensured(each: FedGeneration, adapters: Adapters) -> Generation:
    """The same, also of one that lost its write alias, where `position_loss.check_indexes` gives it back."""
    try:
        return ensure(each, adapters.indexes)
    except AliasLost as error:
        if not adapters.reloads:
            raise
        return error.generation


def _check_nothing_later_serves(each: FedGeneration, indexes: Indexes) -> None:
    """Without a record the first generation is fed. People must not search in another one that nobody feeds."""
    alias = each.settings.alias
    serving = indexes.behind(alias)
    if serving not in (None, alias, index_of(alias, 1)) and serving.startswith(f"{alias}-g"):
        raise SystemicFault(
            f"The alias {alias} of {each.namespace} points to {serving}, but penstock's record of that index is gone:"
            " penstock-state was deleted or replaced. Restore penstock-state from a snapshot; or delete"
            f" {serving}, then penstock creates and loads {index_of(alias, 1)}."
        )


def _check_records(plan: Plan, adapters: Adapters) -> None:
    """Raise Outdated when this is no longer what should be fed. Dropping a generation relies on this look."""
    records = adapters.records.read(each.settings.alias for each in plan.collections)
    for each in plan.collections:
        record = records.get(each.settings.alias)
        now = record.numbered(each.number) if record else None
        before = each.recorded
        each.require_name_of(record)
        if (before and before.recipe) != (now and now.recipe) or (record and now is None):
            raise Outdated(f"The generations of {each.namespace} have changed in the meantime. Start again.")


def _record(
    each: FedGeneration, adapters: Adapters, recipe: IndexDefinition, origin: Mapping[str, Any]
) -> CollectionRecord:
    """Return the record of a collection: made with its first generation, changed when it is loaded in another form."""
    alias = each.settings.alias
    if each.recorded is None:
        return adapters.records.create(CollectionRecord(str(each.namespace), alias, **origin).added(recipe, "serving"))
    return adapters.records.change(alias, lambda record: replace(record, **origin).changed(each.number, recipe=recipe))


def _recipe(each: FedGeneration, state: PipelineState, load: LoadState) -> IndexDefinition:
    """How a generation is made. The fingerprint of one that is older than records was kept in the pipeline state."""
    before = state.document["source"].get("fingerprints", {}).get(str(each.namespace))
    is_older = each.recorded is None and before and load.phase == "live"
    return replace(each.recipe, transform=before) if is_older else each.recipe


def _warn_moved_on(each: FedGeneration, changed: list[str]) -> None:
    log.warning(
        "the settings have changed since this index was created; it keeps its old settings until a reindex",
        collection=str(each.namespace),
        changed=changed,
        heal=f"penstock reindex {each.namespace}",
    )


def _take_position(adapters: Adapters, state: PipelineState) -> None:
    with closing(adapters.stream()) as stream:
        position = stream.position_now()
    state.save(position)
    log.info("position taken", pipeline=state.name, cluster_time=position.time)
