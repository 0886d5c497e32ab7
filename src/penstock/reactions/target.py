"""What a target is, and what it answers. Another target is one more module in `targets`, and a line in its table."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from penstock.reactions.event import Event


class Accepted(NamedTuple):
    """The target has the event."""


class Refused(NamedTuple):
    """The target does not take this event. `for_good`: nor would it ever, so it need not be offered again.

    The reason is for people: it names no secret and quotes no document.
    """

    reason: str
    for_good: bool = False


class TryAgain(NamedTuple):
    """The target can take nothing now, or gave no answer; `after_s` is what it asked to be left in peace for."""

    reason: str
    after_s: float = 0.0


Answer = Accepted | Refused | TryAgain


class Target(Protocol):
    """Takes events; several threads may call it at once, never with events of one document."""

    at_once: int
    """How many events a call may have."""

    def send(self, events: Sequence[Event]) -> list[Answer]:
        """Give the events to the target; return its answers in their order. A call ends within a bounded time."""

    def problem(self) -> str:
        """Look at the target without giving it anything; return what is wrong with it, as far as that can be seen."""

    def close(self) -> None:
        """Free what it holds."""
