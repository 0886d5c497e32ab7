"""Explains one document: looks wherever it leaves a trace, until a running worker has passed what is missing."""

import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace

from penstock.connections import source_connection
from penstock.errors import SettingsError
from penstock.operations.explain.diagnosis import conclude
from penstock.operations.explain.document_ref import asked_id
from penstock.operations.explain.log_place import log_place
from penstock.operations.explain.look import DocumentLook, Explanation
from penstock.operations.inspect.views import Inspection
from penstock.planner import FedGeneration, Plan, Planner
from penstock.runtime.intervals import INTERVALS, Intervals
from penstock.settings import Settings


def explain(
    settings: Settings,
    namespace: str,
    typed: str,
    *,
    wait_s: float = 0.0,
    on_wait: Callable[[], None] = lambda: None,
    intervals: Intervals = INTERVALS,
) -> Explanation:
    """Look at one document. Raises SettingsError, SourceUnavailable, SinkUnavailable.

    What a running worker may still bring is waited for, for so long at the most.
    """
    if not any(each.namespace == namespace for each in settings.collections):
        raise SettingsError(
            f"{namespace} is not a declared collection, so its index and transform are unknown: add a [[collections]]"
            " table for it."
        )
    if settings.topics_of(namespace):  # a consumer group feeds one index
        settings = settings.with_cursor_per("collection")
    planner, asked = Planner(settings), asked_id(typed)
    with closing(Inspection(settings)) as seen, source_connection(settings.source) as connection:
        plan, collection = _served(planner.plans(seen.records), namespace)
        look = DocumentLook(seen, connection, plan, collection, asked, intervals.liveness_s)
        found = look_until_passed(look.once, wait_s=wait_s, every_s=intervals.explain_s, on_wait=on_wait)
        is_stored = found.seen.source == "there"
        place = log_place(seen, plan.name, collection, found.source_id, is_stored=is_stored, intervals=intervals)
        return replace(found, log=place)


def look_until_passed(
    look: Callable[[], Explanation], *, wait_s: float, every_s: float, on_wait: Callable[[], None] = lambda: None
) -> Explanation:
    """Look again while a running worker may still bring what is missing: until it has passed the first look.

    When the index took a write meanwhile, that look is the first.
    """
    first = found = look()
    until = time.monotonic() + wait_s
    if wait_s and _may_come(found):
        on_wait()
    while _may_come(found) and time.monotonic() < until:
        time.sleep(every_s)
        before, found = found, look()
        if found.seen.version != first.seen.version:
            first = found
        elif (before.seen.position or 0) >= first.seen.time and _may_come(found):
            seen = replace(found.seen, is_passed=True)
            return replace(found, seen=seen, conclusion=conclude(seen))
    return found


def _may_come(found: Explanation) -> bool:
    return found.conclusion.verdict == "behind" and found.seen.worker == "running"


def _served(plans: Iterable[Plan], namespace: str) -> tuple[Plan, FedGeneration]:
    """The generation that people search, and its pipeline. Raises SettingsError when its function is not here."""
    for plan in plans:
        if plan.alone and plan.serves and plan.problem:
            raise SettingsError(plan.problem)
        for each in plan.collections:
            if str(each.namespace) == namespace and each.serves:
                return plan, each
    raise AssertionError(f"no generation of {namespace} serves")
