"""The end of a reindex: back to the index that served before, or the end of the one that is not needed.

Who asks may name the `index` that it is about. Then the same may be asked for twice, or again after it was cut off:
roles that have changed in between never turn it into something else.
"""

import threading
from typing import Final

from penstock.errors import SettingsError, SystemicFault
from penstock.model import seconds_of
from penstock.opensearch.state.generations import CollectionRecord, GenerationRecord, Role
from penstock.operations.reindex.generations import Generations, generations_of
from penstock.operations.reindex.takeover import Say, require_nothing_lost, take_over
from penstock.runtime.intervals import INTERVALS, Intervals
from penstock.settings import Settings

_BEHIND_S = 60
"""An index that is so far behind the one that serves would show people old documents."""

_MEANWHILE: Final[dict[Role, str]] = {
    "building": "it is being built",
    "serving": "it is searched, since somebody has switched to it",
    "kept": "it served in the meantime, and is kept for a way back",
}
"""Why an index is not the one that somebody wanted to delete."""


def rollback(
    settings: Settings,
    namespace: str,
    *,
    stop: threading.Event,
    say: Say,
    index: str = "",
    force: bool = False,
    intervals: Intervals = INTERVALS,
) -> None:
    """Let the index that served before serve again; the other one is kept and fed.

    With `force` also one that is behind, or not fed. Raises SettingsError, SystemicFault, SinkUnavailable, Stopped.
    """
    with generations_of(settings, namespace, stop, intervals) as them:
        before, record = _serving(them.record()), them.settled()
        kept, serving = record.in_role("kept"), _serving(record)
        if index == serving.index:
            say(f"{them.name}: {them.alias} points to {index} already")
            return
        if kept is None or (index and index != kept.index):
            raise SettingsError(f"{them.name}: there is no {index or 'index'} to roll back to; {serving.index} serves.")
        if before.number != serving.number and not index:
            say(
                f"{them.name}: a switch had been interrupted, and is complete now: {them.alias} points to"
                f" {serving.index}; run the command again to return to {kept.index}"
            )
            return
        if (problem := _unfit(them, kept, serving)) and not force:
            raise SystemicFault(
                f"{them.name}: {kept.index} should not be searched: {problem}; give --force to roll back anyway."
            )
        take_over(them, serving, kept, say)
        say(f"{them.name}: {them.alias} points to {kept.index} again; {serving.index} is kept up to date")


def finish(
    settings: Settings,
    namespace: str,
    *,
    stop: threading.Event,
    say: Say,
    index: str = "",
    intervals: Intervals = INTERVALS,
) -> None:
    """Drop the index that does not serve any more. Raises SettingsError, SystemicFault, SinkUnavailable, Stopped."""
    with generations_of(settings, namespace, stop, intervals) as them:
        record = them.settled()
        serving = _serving(record)
        if _is_gone(them, record, index, "kept", "dropping", say=say):
            return
        if building := record.in_role("building"):
            raise SettingsError(
                f"{them.name}: {building.index} is still being built. Run `penstock reindex {them.name}` to resume it,"
                " or with --abandon to delete it."
            )
        load = them.load(serving)
        if load is None or load["phase"] == "loading" or them.indexes.behind(them.alias) != serving.index:
            raise SystemicFault(
                f"{them.name}: {serving.index} is not complete, so no other index is deleted. See `penstock status`."
            )
        _drop(them, [each for each in record.generations if each.role != "serving"], say)


def abandon(
    settings: Settings,
    namespace: str,
    *,
    stop: threading.Event,
    say: Say,
    index: str = "",
    intervals: Intervals = INTERVALS,
) -> None:
    """Give up the generation that does not serve yet. Raises SettingsError, SystemicFault, SinkUnavailable, Stopped."""
    with generations_of(settings, namespace, stop, intervals) as them:
        record = them.settled()
        if not _is_gone(them, record, index, "building", "dropping", say=say):
            _drop(them, [each for each in record.generations if each.role in ("building", "dropping")], say)


def _is_gone(them: Generations, record: CollectionRecord, index: str, *roles: Role, say: Say) -> bool:
    """Whether the index to be deleted, if one is named, is not there. Raises SettingsError for one in another role."""
    found = next((each for each in record.generations if each.index == index), None)
    if found and found.role not in roles:
        raise SettingsError(f"{them.name}: {index} is not deleted: {_MEANWHILE[found.role]}.")
    if index and found is None:
        say(f"{them.name}: {them.alias} points to {_serving(record).index}; {index} does not exist")
    return bool(index) and found is None


def _drop(them: Generations, those: list[GenerationRecord], say: Say) -> None:
    require_nothing_lost(them, those)
    for each in those:
        say(f"{them.name}: deleting {each.index} as soon as no worker writes to it")
        them.drop(each)
    serving = _serving(them.record())
    say(f"{them.name}: {them.alias} points to {serving.index}" + ("" if those else "; there is nothing to delete"))


def _serving(record: CollectionRecord) -> GenerationRecord:
    serving = record.in_role("serving")
    if serving is None:
        raise AssertionError(f"no generation of {record.collection} serves")
    return serving


def _unfit(them: Generations, kept: GenerationRecord, serving: GenerationRecord) -> str:
    """Why people should not search in it, empty when they may."""
    load, uuid = them.load(kept), them.indexes.uuids([kept.index]).get(kept.index)
    if kept.failed:
        return kept.failed
    if uuid is None or load is None or load["phase"] == "loading":
        return "it is not complete"
    if them.is_mapped:  # what a mapping feeds has no position here
        return ""
    fed = [state for state in them.pipelines(kept) if state["indexes"][kept.index] == uuid]
    if not fed:
        return "no worker updates it"
    behind_s = _newest_s(them, serving) - seconds_of(max(state["position"]["time"] for state in fed))
    return f"it is {behind_s} s behind {serving.index}" if behind_s > _BEHIND_S else ""


def _newest_s(them: Generations, generation: GenerationRecord) -> int:
    positions = [state["position"] for state in them.pipelines(generation)]
    return max((seconds_of(each["time"]) for each in positions if each), default=0)
