"""The loop: source (decode, transform) -> batch (fold) -> sink -> checkpoint.

    gather      reads ahead from the source and ends batches        (batching)
                the source decodes, and applies the transform       (transform)
    fold        folds a batch of changes into writes                (fold)
    _send       hands them to the sink; several batches may be in flight, never two that touch the same document
    _settle     takes finished batches from the oldest on, checks that their counts balance, has the position saved

So the saved position is always the end of the longest unbroken run of completed batches.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Set
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Literal

import structlog

from penstock.errors import ReadAgain, Stopped, SystemicFault
from penstock.model import Batch, Change, Counts, Letter, Position
from penstock.observe.metrics import Metrics, SettledBatch
from penstock.pipeline.batching import Limits, gather
from penstock.pipeline.checkpointer import Checkpointer
from penstock.pipeline.fold import FoldedBatch, fold, split
from penstock.pipeline.transform import Routes, transform_by
from penstock.ports import Checkpoints, DeadLetters, Sink, Source
from penstock.runtime.intervals import INTERVALS

log = structlog.get_logger(__name__)

_UNSETTLED_PER_REQUEST = 4
"""Maximum number of unsettled batches per in-flight request. Counts batches that are written but wait for an older one:
one slow request of an index holds up the position, not the other batches."""


@dataclass(frozen=True, slots=True)
class PipelineRules:
    """What a pipeline is bound to; the reasons stand with the settings of the same names.

    `send_within_s`: only for what is read outside the stream: how long after its reading it may still be sent.
    `of_load`: the documents are those of a load, whose progress says nothing of the stream beside it.
    `idle_save_s`: how often the position of an idle source is saved.
    """

    limits: Limits
    in_flight: int = 3
    checkpoint_every_s: float = 1.0
    dead_letter_limit: int = 1000
    dead_letter_window_s: float = 600.0
    send_within_s: float | None = None
    of_load: bool = False
    idle_save_s: float = INTERVALS.idle_save_s


@dataclass(slots=True)
class Ports:
    """What a pipeline is joined to. `source` opens it, once more each time it is to be read again."""

    source: Callable[[], Source]
    sink: Sink
    dead_letters: DeadLetters
    checkpoints: Checkpoints


@dataclass(slots=True)
class _Delivered:
    """What became of a batch or a part of one: counts, the dead letters' reasons, when its writes were under way."""

    counts: Counts
    reasons: Counter[str]
    written: tuple[float, float] | None
    size: int


@dataclass(slots=True)
class _Flight:
    """A batch, or the part of one before a control change, on its way to the sink. No position: not its last part."""

    documents: Mapping[str, Set[str]]
    position: Position | None
    read_at: float
    delivered: Future[_Delivered]


@dataclass(slots=True)
class Pipeline:
    """Moves the changes of one source to the generations that `routes` names, until the source ends or fails.

    `on_control` is called for each drop, rename, dropDatabase and invalidate, after everything before it is safe in
    the index and before anything after it is sent. `on_settled` gets the position and the counts of each batch,
    `on_written` the seconds from its reading until the index acknowledged it.
    """

    name: str
    ports: Ports
    routes: Routes
    rules: PipelineRules
    metrics: Metrics
    on_control: Callable[[Change], None] = lambda _: None
    on_settled: Callable[[Position, Counts], None] = lambda _position, _counts: None
    on_written: Callable[[float], None] = lambda _: None
    counts: Counts = field(default_factory=Counts)
    _flights: deque[_Flight] = field(default_factory=deque)
    _pending: Counts = field(default_factory=Counts)
    _parts: list[_Delivered] = field(default_factory=list)
    _letters_at: deque[tuple[float, Counter[str]]] = field(default_factory=deque)
    _completed: Position | None = None
    _checkpointer: Checkpointer = field(init=False)

    def run(self, stop: threading.Event) -> None:
        """Go on from the checkpoint until the source ends.

        Raises Stopped once `stop` is set and what is in flight is finished; SystemicFault, PositionLost,
        SourceUnavailable, SinkUnavailable, LeaseLost at once. Nothing is lost then: the position stays before what was
        not completed.
        """
        while True:
            try:
                self._follow(stop)
            except ReadAgain as reason:
                log.info("reading again", pipeline=self.name, reason=str(reason))
            else:
                return

    def _follow(self, stop: threading.Event) -> None:
        self._flights.clear()
        self._pending, self._parts = Counts(), []
        every_s, idle_s = self.rules.checkpoint_every_s, self.rules.idle_save_s
        self._checkpointer = Checkpointer(self._save, every_s=every_s, idle_s=idle_s)
        after = self._completed or self.ports.checkpoints.load()  # what is completed is neither read nor counted again
        workers = ThreadPoolExecutor(self.rules.in_flight + 1, thread_name_prefix="penstock-sink")
        read = gather(
            self.ports.source(),
            after,
            self.rules.limits,
            transform_by(self.routes),
            whole_times=self.rules.send_within_s is None,
        )
        with self._checkpointer, workers, closing(read) as batches:
            try:
                for batch in batches:
                    self._fold_and_send(batch, workers)
                    self._settle()
                    if stop.is_set():
                        raise Stopped(f"pipeline {self.name} was stopped")
            except Stopped:
                self._finish()
                raise
            self._finish()

    def _finish(self) -> None:
        """Wait for what is in flight, and save the position after it."""
        self._settle_all()
        self._checkpointer.finish()

    def _fold_and_send(self, batch: Batch, workers: ThreadPoolExecutor) -> None:
        for changes, control in split(batch.changes):
            folded = fold(changes, batch.position, self.routes)
            if control:
                folded.counts.read += 1
                folded.counts.control += 1
            self._send(folded, None if control else batch.position, batch.read_at, workers)
            if control:
                self._settle_all()
                self.on_control(control)

    def _send(
        self, folded: FoldedBatch, position: Position | None, read_at: float, workers: ThreadPoolExecutor
    ) -> None:
        """Send once there is room and nothing under way touches the same documents."""
        while not self._has_room(folded, under_way := self._under_way()):
            wait([flight.delivered for flight in under_way], return_when=FIRST_COMPLETED)
        delivered = workers.submit(copy_context().run, self._deliver, folded, read_at)
        self._flights.append(_Flight(folded.documents, position, read_at, delivered))

    def _under_way(self) -> list[_Flight]:
        """The flights that are not done, after the others were completed as far as possible."""
        self._settle()
        return [flight for flight in self._flights if not flight.delivered.done()]

    def _has_room(self, folded: FoldedBatch, under_way: list[_Flight]) -> bool:
        return (
            len(under_way) <= self.rules.in_flight  # one more than the sink sends at once, so that the next is ready
            and len(self._flights) < _UNSETTLED_PER_REQUEST * self.rules.in_flight
            and not any(folded.touches(flight.documents) for flight in under_way)
        )

    def _deliver(self, folded: FoldedBatch, read_at: float) -> _Delivered:
        """Write, store the dead letters, count. Runs in a thread."""
        began, within = time.monotonic(), self.rules.send_within_s
        send_before = None if within is None else read_at + within
        outcomes = self.ports.sink.write(folded.writes, send_before=send_before) if folded.writes else []
        letters = folded.settle(outcomes)
        if letters:
            self._store(letters)
        ended = time.monotonic()
        if folded.writes:
            self.metrics.observe("penstock_write_seconds", ended - read_at, pipeline=self.name)
            self.on_written(ended - read_at)
        size = sum(len(each.body or b"") for each in folded.writes) if self.metrics.on_batch else 0
        reasons = Counter(letter.reason for letter in letters)
        return _Delivered(folded.counts, reasons, (began, ended) if folded.writes else None, size)

    def _store(self, letters: list[Letter]) -> None:
        self.ports.dead_letters.store(letters)
        for letter in letters[:10]:
            log.warning(
                "dead letter", pipeline=self.name, collection=str(letter.namespace), id=letter.id, reason=letter.reason
            )
        if len(letters) > 10:
            log.warning("dead letters", pipeline=self.name, more=len(letters) - 10)

    def _settle_all(self) -> None:
        """Complete every flight, once it is done."""
        wait([flight.delivered for flight in self._flights])
        self._settle()

    def _settle(self) -> None:
        """Complete the flights that are done, from the oldest on, up to one that is under way."""
        while self._flights and self._flights[0].delivered.done():
            delivered = self._flights[0].delivered.result()
            flight = self._flights.popleft()
            self._limit_dead_letters(delivered.reasons)
            self._complete(delivered, flight.position, flight.read_at)

    def _complete(self, delivered: _Delivered, position: Position | None, read_at: float) -> None:
        counts = delivered.counts
        if counts.lost:
            raise SystemicFault(
                f"pipeline {self.name}: the counts of a batch do not balance, {counts.lost} changes are not accounted"
                f" for ({counts}); stopped before saving the position. Please report this with the log."
            )
        self._pending.add(counts)
        self._parts.append(delivered)
        if position is None:
            return
        self.counts.add(self._pending)
        self.metrics.count("penstock_batches_total", pipeline=self.name)
        for outcome in ("written", "folded", "superseded", "filtered", "dead_lettered", "control"):
            if amount := getattr(self._pending, outcome):
                self.metrics.count("penstock_changes_total", amount, pipeline=self.name, outcome=outcome)
        self.on_settled(position, self._pending)
        self._trace(read_at)
        self._pending, self._parts = Counts(), []
        self._completed = position
        self._checkpointer.reached(position, self.counts.read)

    def _trace(self, read_at: float) -> None:
        """Pass the batch on to what follows batches one by one."""
        if self.metrics.on_batch:
            written = [each.written for each in self._parts if each.written]
            size = sum(each.size for each in self._parts)
            kind: Literal["stream", "load"] = "load" if self.rules.of_load else "stream"
            self.metrics.on_batch(SettledBatch(self.name, kind, read_at, written, self._pending, size))

    def _limit_dead_letters(self, reasons: Counter[str]) -> None:
        now = time.monotonic()
        if reasons:
            self._letters_at.append((now, reasons))
        while self._letters_at and self._letters_at[0][0] < now - self.rules.dead_letter_window_s:
            self._letters_at.popleft()
        recent = sum(counted.total() for _, counted in self._letters_at)
        if recent > self.rules.dead_letter_limit:
            raise SystemicFault(
                f"pipeline {self.name}: {recent} dead letters within {self.rules.dead_letter_window_s:.0f} s, the limit"
                f" is {self.rules.dead_letter_limit}. The index or the transform refuses too many documents; most"
                f" common reasons: {_most_common(reasons for _, reasons in self._letters_at)}. See all with"
                " `penstock dead-letters list`. Fix the cause, or raise [pipeline] dead_letter_limit."
            )

    def _save(self, position: Position) -> None:
        self.ports.checkpoints.save(position)
        if not self.rules.of_load:
            self.metrics.count("penstock_checkpoints_total", pipeline=self.name)


def _most_common(counts: Iterable[Counter[str]]) -> str:
    """Return the three most common reasons, each with its count."""
    total: Counter[str] = Counter()
    for reasons in counts:
        total.update(reasons)
    return "; ".join(f"{count} times {reason[:200]}" for reason, count in total.most_common(3))
