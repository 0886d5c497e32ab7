"""How each reaction stands, from the state that its worker keeps."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

from penstock.opensearch.state.ids import reaction_id
from penstock.opensearch.state.store import StateDocument
from penstock.operations.inspect.liveness import reported_lately
from penstock.operations.inspect.views import SourceOverview
from penstock.operations.status.state_words import pipeline_of_state
from penstock.settings import ReactionSettings, Settings


@dataclass(frozen=True)
class ReactionStatus:
    """One line of the reactions; None is what is not known.

    `state` is waiting (no worker has begun), mapped (an event source mapping brings its changes, no worker), live,
    failed (it is tried again; `reason` says what for) or stopped: by an error, which is the `reason`, or because no
    worker is there. `waiting_for` is why the target is waited for at present, `pending` the events that were read and
    are not accepted yet, `lag_s` the age of the oldest of them.
    """

    name: str
    target: str
    collections: list[str]
    state: str
    pending: int | None
    lag_s: float | None
    dead_letters: int
    position_left_s: float | None
    waiting_for: str
    reason: str


def reactions(
    settings: Settings,
    source: SourceOverview,
    states: Mapping[str, StateDocument],
    there: Container[str],
    letters: Mapping[str, int],
) -> list[ReactionStatus]:
    """How the declared reactions stand, by their state documents, of which `there` have a worker."""
    ids = {reaction_id(each.name, settings.pipeline.name): each for each in settings.reactions}
    return [
        _status_of(
            reaction, states.get(state_id), settings, source, is_running=state_id in there, letters=letters[state_id]
        )
        for state_id, reaction in ids.items()
    ]


def _status_of(
    reaction: ReactionSettings,
    document: StateDocument | None,
    settings: Settings,
    source: SourceOverview,
    *,
    is_running: bool,
    letters: int,
) -> ReactionStatus:
    pipeline = pipeline_of_state(document, settings, source, is_running=is_running)
    reported: Mapping[str, Any] = document["status"] if document else {}
    is_recent = document is not None and reported_lately(document)
    return ReactionStatus(
        name=reaction.name,
        target=reaction.target,
        collections=list(reaction.collections),
        state=_state(
            reported,
            has_begun=pipeline.has_begun,
            is_running=is_running,
            is_mapped=bool(settings.pipeline.parking_queue),
        ),
        pending=reported.get("pending") if is_recent else None,
        lag_s=pipeline.lag_s,
        dead_letters=letters,
        position_left_s=pipeline.position_left_s,
        waiting_for=reported.get("waiting", "") if is_recent else "",
        reason=reported.get("reason", ""),
    )


def _state(reported: Mapping[str, Any], *, has_begun: bool, is_running: bool, is_mapped: bool) -> str:
    if not has_begun:
        return "mapped" if is_mapped else "waiting"
    if is_running:
        return "live"
    return str(reported["state"]) if reported.get("reason") else "stopped"
