"""How far the stream was heard: whether all that it has to tell of a moment was told."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from penstock.change import Counts, Position

_EMPTY_ANSWERS: Final = 3
"""So many answers without a change were settled, and the last of them was surely asked for after the first."""


class Moment(NamedTuple):
    """A cluster time, and how many empty answers there were before it."""

    time: int
    empty: int


@dataclass
class Heard:
    """Told by the stream's thread, asked by another one."""

    _time: int = 0
    _empty: int = 0

    def settled(self, position: Position, counts: Counts) -> None:
        """A batch is safe. Where idle answers do not tell how far they reach, their number does."""
        self._time = position.time
        self._empty += not counts.read

    def moment(self, time: int) -> Moment:
        """Now, when the source's cluster time is `time`."""
        return Moment(time, self._empty)

    def has_passed(self, moment: Moment) -> bool:
        """Whether everything that happened before the moment was told and is safe."""
        return self._time >= moment.time or self._empty >= moment.empty + _EMPTY_ANSWERS
