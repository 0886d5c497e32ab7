"""What an envelope brings to the sync function, by collection: what is wrong with one parks no other's."""

import threading
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from penstock.delivery.topics.understanding import TopicRefused
from penstock.model import Change, Namespace, Position


class Part(Protocol):
    """What concerns one collection; for None, what concerns no declared one."""

    @property
    def collection(self) -> Namespace | None: ...

    @property
    def in_order(self) -> bool:
        """Whether its changes come in the order of the source."""

    def changes(self, stop: threading.Event, /) -> Sequence[Change]:
        """Return the changes, in order. Raises TopicRefused, SourceUnavailable, Stopped."""

    def changes_to_park(self) -> Sequence[Change]:
        """Return the changes without asking a server; more documents than those that changed may be among them."""


class Brought(NamedTuple):
    """All of an envelope. `refused`: why some of it stays where it is, to be delivered again."""

    parts: Sequence[Part]
    position: Position
    refused: TopicRefused | None = None
