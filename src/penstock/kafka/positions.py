"""The next offsets of some partitions, as the token of a position."""

import json
from collections.abc import Mapping
from typing import NamedTuple


class Partition(NamedTuple):
    """One partition of a topic."""

    topic: str
    number: int


Offsets = Mapping[Partition, int]
"""For each partition the offset of the record that is to be read next."""


def token_of(offsets: Offsets) -> str:
    """Return the offsets as text: `{"topic": {"0": 17}}`."""
    topics: dict[str, dict[str, int]] = {}
    for partition, offset in sorted(offsets.items()):
        topics.setdefault(partition.topic, {})[str(partition.number)] = offset
    return json.dumps(topics)


def offsets_of(token: str) -> dict[Partition, int]:
    """Return the offsets of a token."""
    return {
        Partition(topic, int(number)): offset
        for topic, offsets in json.loads(token).items()
        for number, offset in offsets.items()
    }
