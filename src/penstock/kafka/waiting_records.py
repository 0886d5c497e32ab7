"""Records that one thread has polled and another one has not yet taken."""

import queue
import threading
from contextlib import suppress
from typing import Final

from penstock.kafka.records import Record

_AT_ONCE: Final = 2000
_RECORDS_AHEAD: Final = 6000
_BYTES_AHEAD: Final = 16 * 1024 * 1024


class WaitingRecords:
    """In the order in which they were polled."""

    def __init__(self) -> None:
        self._polled: queue.Queue[list[Record]] = queue.Queue()
        self._counting = threading.Lock()
        self._records = self._bytes = 0

    def put(self, records: list[Record]) -> None:
        """Add records."""
        self._count(records, 1)
        self._polled.put(records)

    def take(self, timeout_s: float) -> list[Record]:
        """Return what waits, up to some thousands; nothing when nothing came within the time."""
        records: list[Record] = []
        with suppress(queue.Empty):
            records += self._polled.get(timeout=timeout_s)
            while len(records) < _AT_ONCE:
                records += self._polled.get_nowait()
        self._count(records, -1)
        return records

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return self._polled.empty()

    @property
    def are_enough(self) -> bool:
        """Whether no more should be polled."""
        return self._records >= _RECORDS_AHEAD or self._bytes >= _BYTES_AHEAD

    def _count(self, records: list[Record], sign: int) -> None:
        size = sum(each.size for each in records)
        with self._counting:
            self._records += sign * len(records)
            self._bytes += sign * size
