"""The position of the keeper of an index: a mark that its group has passed. No driver is needed to read it."""

import json
import time
from typing import NamedTuple, Self

from penstock.kafka.log import End, Mark
from penstock.kafka.positions import Partition, Place
from penstock.model import Position, version_of


class PassedMark(NamedTuple):
    """A mark as a position: with the offset after it, and the id of the topic of marks that it is from."""

    mark: Mark
    next_offset: int
    marks_id: str

    @property
    def position(self) -> Position:
        """The position of the keeper."""
        kept = {"offset": self.next_offset, "marks": self.marks_id, "mark": self.mark.encoded().decode()}
        return Position(json.dumps(kept), self.mark.position.time, version_of(int(time.time()), 0))

    @classmethod
    def of(cls, token: str) -> Self | None:
        """Return what a position's token says; None for one in a change stream, which `penstock run` has saved."""
        try:
            kept = json.loads(token)
            return cls(Mark.decoded(kept["mark"].encode()), kept["offset"], kept["marks"])
        except (ValueError, KeyError, TypeError):
            return None

    def place(self, partition: Partition) -> Place:
        """Where a partition begins that the group has committed nothing for."""
        end = self.mark.ends.get(partition, End(0, 0))
        return Place(end.offset, end.number, self.mark.position.time if end.number else 0)
