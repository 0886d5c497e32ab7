"""Groups events into batches: by number, by window, by the size of the payload."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from penstock.model import Position
from penstock_tools.aws.mapping.envelope import EventForm, envelope, event_json, size_of
from penstock_tools.aws.mapping.reader import after_event, time_of_event

PAYLOAD_BYTES = 6 * 1024 * 1024


class MappingBatch(NamedTuple):
    """The events of one call. `payload` is None if every event was too large; `time` is the last event's."""

    payload: bytes | None
    events: int
    oversized: int
    position: Position
    time: int


class _Waiting(NamedTuple):
    json: bytes | None
    event: Mapping[str, Any]
    arrived: float


class Batcher:
    """Holds events until their call, in order. Used by one thread."""

    def __init__(
        self,
        arn: str,
        *,
        batch_size: int,
        window_s: float,
        form: EventForm,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._arn = arn
        self._batch_size = batch_size
        self._window_s = window_s
        self._form = form
        self._clock = clock
        self._waiting: deque[_Waiting] = deque()
        self._bytes = size_of(arn, [])
        self._ends = False

    def add(self, event: Mapping[str, Any]) -> None:
        """Add an event. One that alone exceeds the limit keeps its place, so that the position passes it in order."""
        json: bytes | None = event_json(event, self._form)
        if json is not None and size_of(self._arn, [len(json)]) > PAYLOAD_BYTES:
            json = None
        self._waiting.append(_Waiting(json, {name: event[name] for name in _MARKS}, self._clock()))
        self._bytes += _length(json)

    def end(self) -> None:
        """Mark the end of the stream: the waiting events are due at once."""
        self._ends = True

    @property
    def due(self) -> bool:
        """Whether a batch has reached its number of events, its size, or its window since the first event."""
        if not self._waiting:
            return False
        return (
            self._ends
            or len(self._waiting) >= self._batch_size
            or self._bytes > PAYLOAD_BYTES
            or self._clock() >= self._waiting[0].arrived + self._window_s
        )

    def take(self) -> MappingBatch:
        """Return the next batch. Call it only when one is due."""
        taken: list[_Waiting] = []
        used = size_of(self._arn, [])
        while self._waiting and len(taken) < self._batch_size:
            length = _length(self._waiting[0].json)
            if used + length - 1 > PAYLOAD_BYTES:  # the first event has no comma before it
                break
            used += length
            taken.append(self._waiting.popleft())
        self._bytes -= used - size_of(self._arn, [])
        last = taken[-1].event
        events = [each.json for each in taken if each.json is not None]
        return MappingBatch(
            envelope(self._arn, events) if events else None,
            len(events),
            len(taken) - len(events),
            after_event(last),
            time_of_event(last),
        )


_MARKS = ("_id", "operationType", "clusterTime")


def _length(json: bytes | None) -> int:
    return 0 if json is None else len(json) + len('{"event":},')
