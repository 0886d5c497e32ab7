"""How far the partitions of some topics were read: as the token of a position, and as what a group commits."""

import json
from collections.abc import Mapping
from operator import itemgetter
from typing import NamedTuple, Self, TypeVar

T = TypeVar("T")


class Partition(NamedTuple):
    """One partition of a topic."""

    topic: str
    number: int


class Place(NamedTuple):
    """How far a partition was read: the offset of the record that comes next, and what the last one said.

    `number` is the running number of that record, `version` the version of its change; 0 where it says none.
    """

    offset: int
    number: int = 0
    version: int = 0


Places = Mapping[Partition, Place]


class Committed(NamedTuple):
    """What a group has committed for a partition: the place, and the id of the topic that it is in ("": not known)."""

    place: Place
    topic_id: str = ""

    @property
    def metadata(self) -> str:
        """What is committed beside the offset, as JSON."""
        return json.dumps({"time": self.place.version, "number": self.place.number, "topic": self.topic_id})

    @classmethod
    def of(cls, offset: int, metadata: str | None) -> Self:
        """Return what was committed; the metadata of another program says nothing."""
        try:
            kept = json.loads(metadata or "")
            return cls(Place(offset, int(kept["number"]), int(kept["time"])), str(kept["topic"]))
        except (ValueError, KeyError, TypeError):
            return cls(Place(offset))


def by_topic(values: Mapping[Partition, T]) -> dict[str, dict[int, T]]:
    """Return the same values, for each topic by the numbers of its partitions."""
    topics: dict[str, dict[int, T]] = {}
    for partition, value in sorted(values.items(), key=itemgetter(0)):
        topics.setdefault(partition.topic, {})[partition.number] = value
    return topics


def token_of(places: Places) -> str:
    """Return the places as text: `{"topic": {"0": [17, 5, 7395144...]}}`."""
    topics: dict[str, dict[str, Place]] = {}
    for partition, place in sorted(places.items()):
        topics.setdefault(partition.topic, {})[str(partition.number)] = place
    return json.dumps(topics)


def places_of(token: str) -> dict[Partition, Place]:
    """Return the places of a token."""
    return {
        Partition(topic, int(number)): Place(*place)
        for topic, places in json.loads(token).items()
        for number, place in places.items()
    }
