"""Gather what a source yields into batches, while the last batch is still being worked on.

A reader thread runs ahead of the pipeline by a few answers of the source. A batch ends at a count, a size or an age,
when the source has nothing more at once (so an idle pipeline sends without delay), or at the end; never between changes
of one cluster time that are at hand, because they may touch one document and are folded into one write.
"""

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import NamedTuple

from penstock.model import Batch, Position, SourceTransform
from penstock.ports import Source

_READ_AHEAD = 3
"""Answers of the source that may wait; each is bounded by the source (16 MB at the most)."""

_MAX_AGE_S = 0.05
"""How long a batch waits for the rest that the source promised, since its first answer came."""


class Limits(NamedTuple):
    """Where a batch ends at the latest."""

    changes: int
    bytes: int

    def reached(self, batch: Batch) -> bool:
        """Return whether the batch is full."""
        return batch.whole or len(batch.changes) >= self.changes or batch.bytes >= self.bytes


class _End(NamedTuple):
    """The last thing a reader hands over: why it ended, None when the source came to its end."""

    error: BaseException | None


class _Reader:
    """Reads a source in a thread of its own; `answers` holds what was read and not yet taken."""

    def __init__(self, source: Source, after: Position | None, transform: SourceTransform) -> None:
        self.answers: queue.Queue[Batch | _End] = queue.Queue(maxsize=_READ_AHEAD)
        self._source = source
        self._after = after
        self._transform = transform
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._read,), name="penstock-reader", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def _read(self) -> None:
        error: BaseException | None = None
        try:
            for batch in self._source.batches(self._after, self._transform):
                if self._closed.is_set():
                    return
                self.answers.put(batch)
        except BaseException as caught:  # noqa: BLE001 - handed to the pipeline's thread, which raises it
            error = caught
        self.answers.put(_End(error))

    def take(self, timeout_s: float | None = None) -> Batch | _End | None:
        """Return the next thing read, None when nothing came within the time."""
        try:
            return self.answers.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def close(self) -> None:
        self._closed.set()
        self._source.close()
        while self._thread.is_alive():
            self.take(timeout_s=0.02)  # make room for a reader that waits to hand over


@contextmanager
def _reading(source: Source, after: Position | None, transform: SourceTransform) -> Iterator[_Reader]:
    reader = _Reader(source, after, transform)
    reader.start()
    try:
        yield reader
    finally:
        reader.close()


def gather(
    source: Source,
    after: Position | None,
    limits: Limits,
    transform: SourceTransform,
    *,
    whole_times: bool = True,
    max_age_s: float = _MAX_AGE_S,
    on_answer: Callable[[Batch], None] | None = None,
) -> Generator[Batch]:
    """Yield batches after a position; the source reads, decodes and transforms in a thread of its own.

    Raises in the caller's thread whatever the source raised.

    `whole_times`: never end a batch between changes of one cluster time; not for a load, whose ranges have one each.
    `on_answer` is called with each answer of the source as it comes, before the batch that it belongs to is whole.
    Close the generator to stop: it closes the source and waits for the reader thread.
    """
    with _reading(source, after, transform) as reader:
        batch: Batch | None = None
        ends_at = time.monotonic()  # the end of the batch, while there is one
        while True:
            answer = reader.take(max(0.0, ends_at - time.monotonic()) if batch else None)
            room = batch and not limits.reached(batch) and time.monotonic() < ends_at
            if batch and not (isinstance(answer, Batch) and (room or (whole_times and _continues_time(batch, answer)))):
                yield batch
                batch = None
            if isinstance(answer, _End):
                if answer.error:
                    raise answer.error
                return
            if answer is None:
                continue
            if batch is None:
                ends_at = time.monotonic() + max_age_s
            if on_answer:
                on_answer(answer)
            batch = _merge(batch, answer) if batch else answer
            if not batch.more and reader.answers.empty():
                yield batch
                batch = None


def _continues_time(batch: Batch, answer: Batch) -> bool:
    """Return whether the answer goes on with the cluster time that the batch ends with."""
    return bool(batch.changes and answer.changes) and batch.changes[-1].version == answer.changes[0].version


def _merge(batch: Batch, answer: Batch) -> Batch:
    batch.changes.extend(answer.changes)
    return Batch(
        batch.changes,
        answer.position,
        batch.read_at,
        batch.bytes + answer.bytes,
        answer.more,
        batch.events + answer.events,
        batch.left_out + answer.left_out,
        answer.whole,
    )
