"""A limit that several loads share."""

import threading
from collections.abc import Sequence

from penstock.change import Outcome, Write
from penstock.ports import Sink


class AtMost:
    """A `penstock.ports.Sink` with so many calls of `write` under way at once; the others wait."""

    def __init__(self, sink: Sink, count: int) -> None:
        self._sink = sink
        self._room = threading.BoundedSemaphore(count)

    def write(self, writes: Sequence[Write], *, send_before: float | None = None) -> list[Outcome]:
        """See `penstock.ports.Sink`."""
        with self._room:
            return self._sink.write(writes, send_before=send_before)
