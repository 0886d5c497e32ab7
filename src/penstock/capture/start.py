"""What the log holds and what the brokers have, compared at the start of a term."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from penstock.capture.collections import Captured, CapturedCollection
from penstock.errors import PositionLost, SettingsError
from penstock.kafka.log import End, Mark
from penstock.kafka.mark_reader import records_in
from penstock.kafka.own_topics import LEAST_MAX_BYTES, Topic
from penstock.kafka.positions import Partition
from penstock.settings import LogSettings

_ANEW = (
    "Delete the topic, so that capture makes it again, start it, and run `penstock load --again {collection}` once it"
    " captures."
)


@dataclass(frozen=True)
class LogStart:
    """Behind which ends a term begins to write; `lost` are collections of which changes are missing in the log."""

    topics: tuple[Topic, ...]
    ends: Mapping[Partition, End]
    lost: tuple[CapturedCollection, ...]

    @property
    def ids(self) -> dict[str, str]:
        """The ids of the topics."""
        return {each.name: each.id for each in self.topics}


def compare(
    settings: LogSettings,
    captured: Captured,
    topics: Mapping[str, Topic],
    mark: Mark | None,
    stop: threading.Event,
) -> LogStart:
    """Compare the topics with the newest mark. Raises PositionLost, SettingsError, SourceUnavailable, Stopped."""
    ends: dict[Partition, End] = {}
    lost = []
    for each in captured.collections:
        topic = topics[each.topic]
        partitions = [Partition(topic.name, number) for number in range(topic.partitions)]
        _require_room(topic)
        known = mark.topics.get(topic.name) if mark else None
        if known is None:
            if records_in(settings, partitions, stop):
                raise PositionLost(
                    f"The topic {topic.name} holds records of which the marks of capture say nothing: the marks were"
                    " deleted, or the collection was not captured for a while.",
                    _ANEW.format(collection=each.declared),
                )
            ends |= dict.fromkeys(partitions, End(0, 0))
        elif known != topic.id:
            lost.append(each)
            ends |= dict.fromkeys(partitions, End(0, 0))
        else:
            assert mark is not None
            its = {partition: end for partition, end in mark.ends.items() if partition.topic == topic.name}
            if its.keys() != set(partitions):
                raise PositionLost(
                    f"The topic {topic.name} has {topic.partitions} partitions, and had {len(its)}: the changes of a"
                    " document are no longer all in one.",
                    _ANEW.format(collection=each.declared),
                )
            ends |= its
    return LogStart(tuple(topics[each.topic] for each in captured.collections), ends, tuple(lost))


def _require_room(topic: Topic) -> None:
    if topic.max_bytes < LEAST_MAX_BYTES:
        raise SettingsError(
            f"The topic {topic.name} takes batches of at most {topic.max_bytes} bytes: set its max.message.bytes to"
            f" {LEAST_MAX_BYTES} or more (Kafka's own default is 1048588)."
        )
