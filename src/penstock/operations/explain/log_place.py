"""Where the changes of a document go by in the log, how far its group is there, and who has the partition.

What the processes keep in OpenSearch says it, so neither the brokers nor their client are needed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import bson
from bson import Decimal128, Int64

from penstock.kafka.log import topic_of
from penstock.kafka.partitioner import partitions_of
from penstock.kafka.passed_mark import PassedMark
from penstock.kafka.positions import Partition, Place
from penstock.mongo.codec import OF_IDS
from penstock.opensearch.state.ids import pipeline_id, worker_id, workers_id
from penstock.opensearch.state.pipeline_state import feeds
from penstock.opensearch.state.workers import worker_names
from penstock.operations.inspect.liveness import beating
from penstock.operations.inspect.members import MemberStatus, members_of
from penstock.operations.inspect.views import Inspection
from penstock.planner import FedGeneration
from penstock.runtime.intervals import Intervals

_INT32 = 1 << 31


@dataclass(frozen=True)
class LogPlace:
    """The topics of a document, and of its group the members.

    `partitions` are those of a topic of penstock's own that may have the document: several where only its type would
    tell, none where that is not known. `passed` is how far the group certainly is in the only one: behind which offset
    and running number the index lacks something at most.
    """

    group: str
    topics: tuple[str, ...]
    members: Sequence[MemberStatus]
    is_own: bool = False
    partitions: tuple[int, ...] = ()
    passed: Place | None = None

    @property
    def holders(self) -> list[tuple[MemberStatus, int | None]]:
        """The members that have one of the partitions, each with how many records that has to go."""
        names = list(map(str, self.partitions))
        return [
            (each, its[name]) for each in self.members for its in each.topics.values() for name in names if name in its
        ]


def log_place(
    seen: Inspection, pipeline: str, fed: FedGeneration, source_id: Any, *, is_stored: bool, intervals: Intervals
) -> LogPlace | None:
    """Return where the changes of a document go by; None for what a worker or a mapping follows.

    `is_stored`: the source has the document, so its `_id` is known with its type. Raises SinkUnavailable.
    """
    settings, name = seen.settings, str(fed.namespace)
    if not settings.has_topics(name):
        return None
    members, group = _members(seen, pipeline, intervals), f"{settings.log.group}.{fed.index}"
    if not settings.has_own_topic(name):
        return LogPlace(group, tuple(each.topic for each in settings.topics_of(name)), members)
    topic = topic_of(settings.log.prefix, fed.namespace)
    passed = _passed(seen, pipeline, fed)
    if passed is None:
        return LogPlace(group, (topic,), members, is_own=True)
    count = len(passed.mark.ends)
    keys = list(_keys(source_id, is_stored=is_stored))
    found = tuple(sorted(set(partitions_of(keys, count))))
    place = passed.place(Partition(topic, found[0])) if len(found) == 1 else None
    return LogPlace(group, (topic,), members, is_own=True, partitions=found, passed=place)


def _passed(seen: Inspection, pipeline: str, fed: FedGeneration) -> PassedMark | None:
    """The saved position of the index, which has an end for every partition of the topic."""
    state = seen.index.states([pipeline_id(pipeline)]).get(pipeline_id(pipeline))
    if not state or not state["position"] or not feeds(state, str(fed.namespace), fed.index):
        return None
    return PassedMark.of(state["position"]["token"])


def _members(seen: Inspection, pipeline: str, intervals: Intervals) -> list[MemberStatus]:
    """The members of the group whose processes are alive."""
    listed = workers_id(seen.settings.pipeline.name)
    names = worker_names(seen.index.states([listed]).get(listed))
    states = seen.index.states(list(map(worker_id, names)))
    sharing = {name: each for name, each in states.items() if pipeline in each.get("shares", {})}
    there = beating(sharing, seen.index.states, every_s=intervals.liveness_s, within_s=intervals.silent_s)
    return members_of(pipeline, [sharing[name] for name in there])


def _keys(source_id: Any, *, is_stored: bool) -> Iterator[bytes]:
    """Yield the keys that the document's records may have: a number that is typed does not tell its type."""
    for each in [source_id] if is_stored else _same(source_id):
        yield bson.encode({"_id": each}, codec_options=OF_IDS)


def _same(value: Any) -> Iterator[Any]:
    """Yield the value, a number in each type that the source may have it in."""
    yield value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    yield Decimal128(str(value))
    yield float(value)
    if isinstance(value, int):
        yield Int64(value)
        if -_INT32 <= value < _INT32:
            yield int(value)
