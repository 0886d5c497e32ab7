"""What becomes of a lost position: it is reported, and what it affects is loaded again; or the pipeline stops.

check_indexes   at the start of a term: indexes that were deleted or replaced, aliases that were taken away
watch           the same while it runs; and where people search
healing         around a term: the history that the source no longer holds

A loss is saved before anything is done about it: a position that is gone, or an index that no longer belongs to the
position. The next holder of the lease loads again what the position does not belong to, so a heal that was cut short
is resumed.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from threading import Event

import structlog

from penstock.errors import IndexTakenAway, PenstockError, PositionLost, Stopped
from penstock.model import Namespace, seconds_of
from penstock.opensearch.index.indexes import Generation
from penstock.opensearch.index.integrity import IntegrityProblem, give_back, problems
from penstock.opensearch.state.load_state import LoadState
from penstock.opensearch.state.pipeline_state import PipelineState
from penstock.planner import Plan
from penstock.runtime.backoff import Backoff
from penstock.wiring import Adapters
from penstock.worker.recovery.read_alias import ReadAliasWatch
from penstock.worker.recovery.source_rewind import check_source

log = structlog.get_logger(__name__)

_WHAT: dict[IntegrityProblem, str] = {
    "index_deleted": "was deleted by someone else",
    "index_replaced": "was replaced or restored by someone else",
    "alias_moved": "has lost its write alias to another index, where writes may have gone",
    "alias_removed": "has lost its write alias",
    "not_searched": "has lost its read alias, so that it cannot be searched",
    "searched_elsewhere": "has lost its read alias to another index",
}
_ONLY_REPORTED: IntegrityProblem = "searched_elsewhere"
_ALIAS_ONLY: frozenset[IntegrityProblem] = frozenset({"alias_removed", "not_searched"})
"""Nothing is missing from the index: an alias is given back, and that is all."""

_OF_SERVING: frozenset[IntegrityProblem] = frozenset({"not_searched", "searched_elsewhere"})
"""No problem for a generation in which nobody searches yet, or any more."""

GenerationsByNamespace = Mapping[Namespace, Generation]


def check_indexes(
    plan: Plan,
    adapters: Adapters,
    state: PipelineState,
    generations: GenerationsByNamespace,
    *,
    again: frozenset[Namespace],
) -> None:
    """Make sure that the position belongs to the indexes; those that it does not belong to any more are forgotten.

    Aliases are given back. Those of `again` are loaded again anyway. Raises PositionLost, IndexTakenAway where the
    policy is to stop.
    """
    known = state.document["indexes"]
    found = _problems(plan, adapters, generations, known)
    found = {name: problem for name, problem in found.items() if problem != _ONLY_REPORTED}
    found |= {name: "index_deleted" for name, each in generations.items() if each.created and each.index in known}
    lost = {name: problem for name, problem in found.items() if problem not in _ALIAS_ONLY and name not in again}
    if not adapters.reloads:
        for name, problem in found.items():
            if name in lost or problem in _ALIAS_ONLY:
                raise _error(plan, generations[name], name, problem)
    if lost:
        kept = {index: uuid for index, uuid in known.items() if index not in {generations[each].index for each in lost}}
        causes = {name: (problem, _describe_problem(generations[name], problem)) for name, problem in lost.items()}
        _give_up(plan, adapters, state, causes, kept)
    serving = _serving(plan, adapters) if found else frozenset()
    for name in found:
        give_back(adapters.client, adapters.patience, generations[name], serving=name in serving)
        if name not in lost:
            log.warning("alias restored", collection=str(name), index=generations[name].index)


def watch(plan: Plan, adapters: Adapters, generations: GenerationsByNamespace, ending: Event) -> None:
    """Look from time to time whether the indexes are intact; raises what ends the term when one is not."""
    known = {each.index: each.uuid for each in generations.values()}
    read_aliases = ReadAliasWatch(plan.name, adapters)
    try:
        while not ending.wait(adapters.intervals.indexes_s):
            found = _problems(plan, adapters, generations, known)
            read_aliases.look({name: generations[name] for name, problem in found.items() if problem == _ONLY_REPORTED})
            for name, problem in found.items():
                if problem != _ONLY_REPORTED:
                    raise _taken_away(plan, adapters, generations[name], name, problem)
    finally:
        read_aliases.end()


@contextmanager
def healing(plan: Plan, adapters: Adapters, state: PipelineState, pause: Backoff) -> Iterator[None]:
    """Let a loss end the term only, where the policy is to reload: the next term begins with the heal.

    The term's requests no longer wait at this point: what cannot be saved at once is found again by the next term.
    `pause` keeps losses that follow each other apart.
    """
    try:
        yield
    except (PositionLost, IndexTakenAway) as error:
        if not adapters.reloads:
            raise
        with suppress(Stopped):
            if isinstance(error, PositionLost):
                _history_lost(plan, adapters, state, error)
            else:
                log.warning("index taken away", pipeline=plan.name, cause=str(error))
        pause.wait()


def unhealed(state: PipelineState, loads: Mapping[Namespace, LoadState]) -> str:
    """Return which collections are still being loaded again after a loss, and why; empty when none is."""
    lost = state.document["lost"]
    reasons = {str(name): lost.get(str(name), {}).get("reason") for name, load in loads.items() if load.phase != "live"}
    return ", ".join(f"{name} ({reason})" for name, reason in reasons.items() if reason)


def _history_lost(plan: Plan, adapters: Adapters, state: PipelineState, error: PositionLost) -> None:
    check_source(plan, adapters, state)  # a restored source is more than a lost position
    _give_up(plan, adapters, state, {each.namespace: ("history", error.cause) for each in plan.collections}, None)


def _give_up(
    plan: Plan,
    adapters: Adapters,
    state: PipelineState,
    lost: Mapping[Namespace, tuple[str, str]],
    indexes: Mapping[str, str] | None,
) -> None:
    """Save and report what is lost: reason and cause for each collection. `indexes` still belong to the position."""
    position = state.load()
    since = _time(seconds_of(position.time)) if position and position.time else None
    noticed = _time(datetime.now(UTC).timestamp())
    noted = {str(name): {"reason": reason, "since": since, "noticed": noticed} for name, (reason, _) in lost.items()}
    state.forget(noted, indexes or {}, keep_position=indexes is not None)
    for reason, cause in dict.fromkeys(lost.values()):
        collections = [str(name) for name, why in lost.items() if why == (reason, cause)]
        adapters.metrics.count("penstock_positions_lost_total", pipeline=plan.name, reason=reason)
        log.error(
            "position lost",
            pipeline=plan.name,
            reason=reason,
            collections=collections,
            since=since,
            cause=cause,
            heal="they are being loaded again, while the stream goes on and their indexes can be searched",
        )


def _problems(
    plan: Plan, adapters: Adapters, generations: GenerationsByNamespace, known: Mapping[str, str]
) -> dict[Namespace, IntegrityProblem]:
    seen = problems(adapters.client, adapters.patience, generations.values(), known)
    found = {name: seen[each.index] for name, each in generations.items() if each.index in seen}
    if _OF_SERVING & set(found.values()):
        serving = _serving(plan, adapters)
        return {name: problem for name, problem in found.items() if problem not in _OF_SERVING or name in serving}
    return found


def _serving(plan: Plan, adapters: Adapters) -> frozenset[Namespace]:
    """Return the collections whose generation in this pipeline people search in, by the present records."""
    records = adapters.records.read(each.settings.alias for each in plan.collections)
    serving = {alias: record.in_role("serving") for alias, record in records.items()}
    return frozenset(
        each.namespace
        for each in plan.collections
        if (now := serving.get(each.settings.alias)) is None or now.number == each.number
    )


def _describe_problem(generation: Generation, problem: IntegrityProblem) -> str:
    return f"the index {generation.index} {_WHAT[problem]}."


def _taken_away(
    plan: Plan, adapters: Adapters, generation: Generation, name: Namespace, problem: IntegrityProblem
) -> PenstockError:
    if adapters.reloads:
        return IndexTakenAway(_describe_problem(generation, problem))
    return _error(plan, generation, name, problem)


def _error(plan: Plan, generation: Generation, name: Namespace, problem: IntegrityProblem) -> PenstockError:
    cause = f"Pipeline {plan.name}: {_describe_problem(generation, problem)}"
    if problem in _ALIAS_ONLY:
        return IndexTakenAway(f"{cause} If {generation.index} is unchanged, restore its aliases.")
    todo = f"Documents may be missing from it. Run `penstock load --again {name}` to load it again."
    if problem == "alias_moved":
        return IndexTakenAway(f"{cause} Move it back to {generation.index}. {todo}")
    return PositionLost(cause, todo)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()
