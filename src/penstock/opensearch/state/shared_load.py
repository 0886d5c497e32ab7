"""A load that several processes share: its plan, in the load's document, and how far each partition of its tasks is.

Whether a range is done says the consumer group alone. The documents here are for people who look.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, Self

from penstock.opensearch.state.ids import load_share_id
from penstock.opensearch.state.store import StateDocument, StateStore

UNFINISHED = ("loading", "reconciling")
"""The phases of a load in which its plan is worked on."""


@dataclass(frozen=True)
class LoadPlan:
    """The ranges of a load. `partitions` has the offsets of the first task and of the end, for each of the topic.

    It is empty without `is_written`: the planner has begun, and its tasks are not there yet. `documents` is an
    estimate.
    """

    id: str
    topic: str
    is_written: bool = False
    partitions: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    documents: int = 0
    begun_at: float = 0.0

    @property
    def ranges(self) -> int:
        """How many ranges there are."""
        return sum(end - first for first, end in self.partitions.values())

    def as_document(self) -> dict[str, Any]:
        """Return what is stored."""
        partitions = {str(number): list(its) for number, its in self.partitions.items()}
        return {**asdict(replace(self, partitions={})), "partitions": partitions}

    @classmethod
    def of(cls, load: StateDocument | None) -> Self | None:
        """Return the plan in a load's document, None without one."""
        stored = load.get("plan") if load else None
        if not stored:
            return None
        partitions = {int(number): (first, end) for number, (first, end) in stored["partitions"].items()}
        return cls(**{**stored, "partitions": partitions})


def unfinished(load: StateDocument | None) -> LoadPlan | None:
    """Return the plan of a load that is under way, None without one."""
    return LoadPlan.of(load) if load and load["phase"] in UNFINISHED else None


@dataclass(frozen=True)
class LoadShare:
    """How far the tasks in one partition are. `owner` has them now, and reads the range of that number.

    `counts` has what became of the documents of the ranges that are done, `under_way` how many of the next one were
    read.
    """

    partition: int
    done: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    under_way: int = 0
    owner: str = ""
    range: int | None = None
    at: float = 0.0

    @property
    def documents(self) -> int:
        """How many documents were read."""
        return self.counts.get("read", 0) + self.under_way


def share_ids(collection: str, index: str, plan: LoadPlan) -> dict[str, int]:
    """Return the ids of the documents of a plan's partitions, each with the partition."""
    return {load_share_id(collection, index, number): number for number in plan.partitions}


def shares_in(states: Mapping[str, StateDocument], collection: str, index: str, plan: LoadPlan) -> list[LoadShare]:
    """Return how far each partition of a plan is, by these state documents."""
    ids = share_ids(collection, index, plan)
    found = ((number, states[state_id]) for state_id, number in ids.items() if state_id in states)
    return [_share_of(document, number) for number, document in found if document["load"] == plan.id]


def _share_of(document: StateDocument, partition: int) -> LoadShare:
    names = LoadShare.__dataclass_fields__.keys() - {"partition"}
    return LoadShare(partition, **{name: document[name] for name in names if name in document})


@dataclass(frozen=True)
class LoadShares:
    """Reads and writes how far the partitions of one plan are."""

    store: StateStore
    collection: str
    index: str
    plan: LoadPlan

    def read(self) -> list[LoadShare]:
        """Return how far each partition is."""
        stored = self.store.get(share_ids(self.collection, self.index, self.plan))
        documents = {state_id: each.document for state_id, each in stored.items()}
        return shares_in(documents, self.collection, self.index, self.plan)

    def write(self, shares: Iterable[LoadShare]) -> None:
        """Save how far some partitions are."""
        for share in shares:
            state_id = load_share_id(self.collection, self.index, share.partition)
            said = {"kind": "load share", "name": self.collection, "load": self.plan.id, **asdict(share)}
            self.store.change(state_id, partial(_now, said))


def _now(said: StateDocument, _: StateDocument | None) -> StateDocument:
    return {**said, "at": time.time()}
