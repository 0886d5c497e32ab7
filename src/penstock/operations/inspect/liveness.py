"""Whether the worker of a pipeline is there: it reported lately, or it renews its lease while one looks."""

import time
from collections.abc import Callable, Mapping, Sequence

from penstock.opensearch.state.store import StateDocument

_GONE_AFTER_LEASES = 2
"""A worker reports several times within the time of its lease; a report of two of them ago says nothing."""

_LOOK_FOR_LEASES = 0.5
"""A lease is renewed after a third of its time."""


def reported_lately(document: StateDocument) -> bool:
    """Whether what the document says of its worker is recent."""
    age_s = abs(time.time() - document["status"].get("reported_at", 0.0))  # the clock of that machine may be ahead
    return not document["released"] and age_s < _GONE_AFTER_LEASES * float(document["lease_s"])


def alive(
    documents: Mapping[str, StateDocument],
    look: Callable[[Sequence[str]], Mapping[str, StateDocument]],
    *,
    every_s: float,
) -> frozenset[str]:
    """Those of the pipelines' state documents, by id, whose worker is there.

    A lease that is held without a report is of a worker that has just begun, or is dead: `look` reads the documents
    again, every `every_s` seconds for up to half a lease, to see whether they are renewed.
    """
    there = {state_id for state_id, document in documents.items() if reported_lately(document)}
    silent = {name: each for name, each in documents.items() if name not in there and not each["released"]}
    longest_s = max((_LOOK_FOR_LEASES * float(each["lease_s"]) for each in silent.values()), default=0.0)
    until = time.monotonic() + longest_s
    while silent and time.monotonic() < until:
        time.sleep(every_s)
        for state_id, now in look(list(silent)).items():
            if _turn(now) != _turn(silent[state_id]):
                del silent[state_id]
                there |= set() if now["released"] else {state_id}
    return frozenset(there)


def _turn(document: StateDocument) -> tuple[int, int]:
    """What every write of the document moves on."""
    return document["epoch"], document["beat"]
