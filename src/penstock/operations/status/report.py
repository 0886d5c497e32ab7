"""What `penstock status` and the console say: values, one for each line."""

from dataclasses import dataclass, field
from typing import Literal

from penstock.opensearch.read.ignored import IgnoredValues
from penstock.operations.inspect.members import MemberStatus
from penstock.operations.status.captures import CaptureStatus
from penstock.operations.status.pipelines import PipelineStatus
from penstock.operations.status.reactions import ReactionStatus
from penstock.operations.status.shared_load import LoadStatus
from penstock.operations.status.workers import WorkerStatus


@dataclass(frozen=True)
class GenerationStatus:
    """One of several generations of a collection; `role` is building, serving, kept or dropping.

    `failed` says why it is not fed any more.
    """

    index: str
    role: str
    state: str
    loaded: float | None
    documents_index: int | None
    lag_s: float | None
    dead_letters: int
    failed: str


@dataclass(frozen=True)
class CollectionStatus:
    """One line of `penstock status`; None is what is not known.

    `state` is waiting (no worker has begun), unserved (a worker cannot serve it yet, and `unserved` says why),
    loading, live, dropped, reconciling, stopped (no worker is there), standby (topics feed it, and no member of the
    group has partitions) or mapped (an event source mapping feeds the index; only AWS knows its state and its lag);
    `lost` why and since when the position was lost, until all is loaded again; `loaded` the share that is loaded,
    between 0 and 1. `lag_s` is how far the index is behind the source, and `position_left_s` for how long the
    source still keeps the changes that are needed next. `generations` are listed when there are several; all else
    is of the one that serves. `moved_on` names what the settings say otherwise than when this one was made;
    `searched_in` the index that is not penstock's and has the read alias: people search there. `renamed_to` is the
    name by which the source knows a collection whose rename was followed; `held_for` the collections that a worker
    feeds under the pipeline's lease when this one is not among them: nobody feeds it then. `ignored` is what the
    index does not search by; `load` how far a load is that several processes share. `brought_by` says whether a mapping
    or topics bring the changes; `members` are the processes of the consumer group that feeds it, and `records_behind`
    what its topics hold that is not yet in the index. `capture` says who brings its changes into penstock's own topic.
    """

    namespace: str
    index: str
    pipeline: str
    state: str
    loaded: float | None
    documents_source: int | None
    documents_index: int | None
    writes_per_s: float | None
    lag_s: float | None
    dead_letters: int
    position_left_s: float | None
    lost: str | None
    generations: list[GenerationStatus]
    moved_on: list[str]
    searched_in: str | None
    renamed_to: str | None = None
    held_for: str | None = None
    ignored: IgnoredValues | None = None
    unserved: str | None = None
    brought_by: Literal["", "mapped", "topics"] = ""
    members: list[MemberStatus] = field(default_factory=list)
    records_behind: int | None = None
    load: LoadStatus | None = None
    capture: CaptureStatus | None = None


@dataclass(frozen=True)
class Status:
    """All collections; `source_problem` says why the source's part of them is not known.

    `parked` is about how many messages with parked keys wait in the queue, None where there is no queue or, with
    `queue_problem`, where it cannot be asked. `index_slow` says why a worker's silence means nothing at present.
    """

    collections: list[CollectionStatus]
    source_problem: str
    parked: int | None = None
    queue_problem: str = ""
    reactions: list[ReactionStatus] = field(default_factory=list)
    workers: list[WorkerStatus] = field(default_factory=list)
    pipelines: list[PipelineStatus] = field(default_factory=list)
    index_slow: str = ""
    captures: list[CaptureStatus] = field(default_factory=list)
