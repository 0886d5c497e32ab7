"""The loop of one reaction: source -> events -> target -> checkpoint.

_read     takes batches from the source, lines their events up, saves the position behind what is settled
_send     several threads; each keeps the events that it has taken until the target has them, or a dead letter does

Events of different documents are on their way at once, those of one document one after the other. Nothing is folded.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Self

import orjson
import structlog

from penstock.errors import Stopped, SystemicFault
from penstock.model import Batch, Letter, Namespace, Position, SourceTransform, seconds_of
from penstock.observe.metrics import Metrics
from penstock.pipeline.batching import Limits, gather
from penstock.pipeline.checkpointer import Checkpointer
from penstock.ports import Checkpoints, DeadLetters, Source
from penstock.reactions.event import Event
from penstock.reactions.target import Answer, Refused, Target, TryAgain
from penstock.runtime.backoff import Backoff
from penstock.runtime.threads import ChildEvent, side_by_side
from penstock.settings import PipelineSettings, ReactionSettings

log = structlog.get_logger(__name__)

_BATCH = Limits(500, 4 * 1024 * 1024)
_MOST_EVENTS, _MOST_BYTES = 1000, 16 * 1024 * 1024
"""How much may be lined up before nothing more is read."""

_LOOK_EVERY_S = 0.2
_LONGEST_REST_S = 3600.0
"""What a Retry-After is believed at the most."""


@dataclass(frozen=True, kw_only=True)
class DeliveryRules:
    """What a delivery is bound to."""

    in_flight: int
    tries: int
    checkpoint_every_s: float
    idle_save_s: float
    longest_pause_s: float
    dead_letter_limit: int
    dead_letter_window_s: float

    @classmethod
    def of(
        cls,
        reaction: ReactionSettings,
        pipeline: PipelineSettings,
        *,
        checkpoint_every_s: float,
        idle_save_s: float,
        longest_pause_s: float,
    ) -> Self:
        """Return those of a declared reaction."""
        return cls(
            in_flight=reaction.in_flight,
            tries=reaction.tries,
            checkpoint_every_s=checkpoint_every_s,
            idle_save_s=idle_save_s,
            longest_pause_s=longest_pause_s,
            dead_letter_limit=pipeline.dead_letter_limit,
            dead_letter_window_s=pipeline.dead_letter_window_s,
        )


@dataclass(slots=True)
class _Part:
    """A batch: `left` events of it are not settled. `open`: the last transaction in it may go on in the next one."""

    position: Position | None
    version: int
    left: int
    open: bool


@dataclass(slots=True)
class _Item:
    """An event on its way."""

    event: Event
    version: int
    part: _Part
    refusals: int = 0


class _Line:
    """The events that are lined up, in order for each document. Several threads use it."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._changed = threading.Condition()
        self._ready: deque[_Item] = deque()
        self._behind: dict[str, deque[_Item]] = {}
        """By document, what waits for the event of it that is ready or on its way."""
        self._parts: deque[_Part] = deque()
        self._events = self._bytes = 0

    def wait_for_room(self, timeout_s: float) -> bool:
        """Wait until more may be lined up; return whether it may."""
        with self._changed:
            return self._changed.wait_for(lambda: self._events < _MOST_EVENTS and self._bytes < _MOST_BYTES, timeout_s)

    def add(self, batch: Batch) -> int:
        """Line up the events of a batch; return how many there are."""
        events = [(each.version, Event.read(each.body)) for each in batch.changes if isinstance(each.body, bytes)]
        versions = [each.version for each in batch.changes]
        with self._changed:
            if self._parts and self._parts[-1].open:
                if versions and versions[0] == self._parts[-1].version:
                    self._parts[-1].position = None  # nobody may begin again within a transaction
                self._parts[-1].open = False
            part = _Part(batch.position, versions[-1] if versions else 0, len(events), batch.more)
            if len(self._parts) > 1 and not self._parts[-1].left and not events:
                self._parts[-1] = part  # behind an event that waits, nothing grows with what is left out
            else:
                self._parts.append(part)
            for version, event in events:
                self._enqueue(_Item(event, version, part))
            self._changed.notify_all()
        return len(events)

    def _enqueue(self, item: _Item) -> None:
        self._events += 1
        self._bytes += len(item.event.body)
        if (behind := self._behind.get(item.event.subject)) is not None:
            behind.append(item)
        else:
            self._behind[item.event.subject] = deque()
            self._ready.append(item)

    def take(self, most: int) -> list[_Item]:
        """Wait for events that may be sent now, each of another document. Raises Stopped."""
        with self._changed:
            while not self._ready:
                if self._stop.is_set():
                    raise Stopped("stopped while waiting for events")
                self._changed.wait(_LOOK_EVERY_S)
            if self._stop.is_set():
                raise Stopped("stopped before more events were sent")
            return [self._ready.popleft() for _ in range(min(most, len(self._ready)))]

    def settle(self, item: _Item) -> None:
        """Note that an event was accepted, or is a dead letter: the next one of its document may be sent."""
        with self._changed:
            self._events -= 1
            self._bytes -= len(item.event.body)
            item.part.left -= 1
            if behind := self._behind[item.event.subject]:
                self._ready.append(behind.popleft())
            else:
                del self._behind[item.event.subject]
            self._changed.notify_all()

    def reached(self) -> Position | None:
        """Return the last position before which everything is settled, once; None when there is no new one."""
        position = None
        with self._changed:
            while self._parts and not self._parts[0].left and not self._parts[0].open:
                position = self._parts.popleft().position or position
        return position

    def waiting(self) -> tuple[int, int | None]:
        """Return how many events are not settled, and the version of one of the oldest."""
        with self._changed:
            first = next((part.version for part in self._parts if part.left), None)
            return self._events, first


@dataclass
class Delivery:
    """Delivers the events of one reaction for as long as its lease is held.

    `may_send` raises LeaseLost when it is not. `state_id` is the name of its state, by which its dead letters go.
    """

    name: str
    state_id: str
    source: Callable[[], Source]
    make_events: SourceTransform
    target: Target
    letters: DeadLetters
    checkpoints: Checkpoints
    rules: DeliveryRules
    metrics: Metrics
    may_send: Callable[[], None]
    index_has: Callable[[int], bool] = lambda _: True
    """Whether the events up to a version may be sent, where the index is to have their changes first."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """How many events were accepted, dead_lettered and filtered so far."""
    _counting: threading.Lock = field(default_factory=threading.Lock)
    _waits: dict[int, str] = field(default_factory=dict)
    _rest_until: float = 0.0
    _letters_at: deque[float] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _behind_s: float = 0.0
    _line: _Line | None = None

    def run(self, stop: ChildEvent) -> None:
        """Go on from the saved position until `stop` is set; what is on its way then is waited for.

        Raises LeaseLost, PositionLost, SystemicFault, SourceUnavailable, SinkUnavailable. The position stays before
        what was not settled.
        """
        line = self._line = _Line(stop)
        self._waits.clear()
        every_s, idle_s = self.rules.checkpoint_every_s, self.rules.idle_save_s
        with Checkpointer(self._save, every_s=every_s, idle_s=idle_s) as checkpointer:
            senders = [lambda: self._send(line, stop)] * self.rules.in_flight
            side_by_side(stop, lambda: self._read(line, checkpointer, stop), *senders)
            self._note_reached(line, checkpointer, 0)
            checkpointer.finish()

    @property
    def lag_s(self) -> float:
        """How old the oldest event is that is not settled; without one, how far the position is behind the source."""
        first = self._line.waiting()[1] if self._line else None
        return self._behind_s if first is None else max(0.0, time.time() - seconds_of(first))

    @property
    def pending(self) -> int:
        """How many events are lined up or on their way."""
        return self._line.waiting()[0] if self._line else 0

    @property
    def waits_for(self) -> str:
        """Why the target is waited for; empty when it is not."""
        with self._lock:
            return next(iter(self._waits.values()), "")

    def _read(self, line: _Line, checkpointer: Checkpointer, stop: threading.Event) -> None:
        read = 0
        with closing(gather(self.source(), self.checkpoints.load(), _BATCH, self.make_events)) as batches:
            for batch in batches:
                while not stop.is_set() and not self._may_be_lined_up(line, batch, stop):
                    self._note_reached(line, checkpointer, read)
                if stop.is_set():
                    raise Stopped(f"reaction {self.name} was stopped")
                events = line.add(batch)
                read += len(batch.changes)
                self._count("filtered", len(batch.changes) - events)
                self._behind_s = batch.position.behind_s
                self._note_reached(line, checkpointer, read)

    def _may_be_lined_up(self, line: _Line, batch: Batch, stop: threading.Event) -> bool:
        """Wait a moment for room, and for the index; return whether the batch may be lined up."""
        if not line.wait_for_room(_LOOK_EVERY_S):
            return False
        versions = [each.version for each in batch.changes if each.body is not None]
        if not versions or self.index_has(versions[-1]):
            return True
        stop.wait(_LOOK_EVERY_S)
        return False

    def _note_reached(self, line: _Line, checkpointer: Checkpointer, read: int) -> None:
        if position := line.reached():
            checkpointer.reached(position, read)

    def _save(self, position: Position) -> None:
        self.checkpoints.save(position)
        self.metrics.count("penstock_checkpoints_total", pipeline=self.state_id)

    def _send(self, line: _Line, stop: threading.Event) -> None:
        while True:
            items = line.take(self.target.at_once)
            pause = Backoff(stop, most_s=self.rules.longest_pause_s)
            while items:
                self._rest(stop)
                self.may_send()
                answers = self.target.send([item.event for item in items])
                self._note_waits(answers)
                left = [
                    item for item, answer in zip(items, answers, strict=True) if not self._settled(line, item, answer)
                ]
                if len(left) < len(items):
                    pause.reset()
                items = left
                if items:
                    pause.wait()

    def _rest(self, stop: threading.Event) -> None:
        """Leave the target in peace for as long as it asked for. Raises Stopped."""
        while (rest_s := self._rest_until - time.monotonic()) > 0:
            if stop.wait(rest_s):
                raise Stopped("stopped while the target is left in peace")

    def _note_waits(self, answers: Sequence[Answer]) -> None:
        """Tell people whether this thread waits for the target, and all threads for how long it wants to be left."""
        waits = [each for each in answers if isinstance(each, TryAgain)]
        who = threading.get_ident()
        with self._lock:
            waited = bool(self._waits)
            if waits:
                self._waits[who] = waits[0].reason
                rest_s = min(max(each.after_s for each in waits), _LONGEST_REST_S)
                self._rest_until = max(self._rest_until, time.monotonic() + rest_s)
            else:
                self._waits.pop(who, None)
            waiting = bool(self._waits)
        if waits:
            self.metrics.count("penstock_reaction_waits_total", reaction=self.name)
        self.metrics.set("penstock_reaction_waiting", float(waiting), reaction=self.name)
        if waiting and not waited:
            log.warning("waiting for the target", reaction=self.name, reason=waits[0].reason)
        elif waited and not waiting:
            log.info("the target takes events again", reaction=self.name)

    def _settled(self, line: _Line, item: _Item, answer: Answer) -> bool:
        """Settle an event that needs no further try; return whether it needs none."""
        if isinstance(answer, TryAgain):
            return False
        if isinstance(answer, Refused):
            item.refusals += 1
            if item.refusals < self.rules.tries and not answer.for_good:
                return False
            self._bury(item, answer.reason)
        else:
            self._count("accepted")
        line.settle(item)
        return True

    def _bury(self, item: _Item, reason: str) -> None:
        event = item.event
        self.letters.store([letter_of(event, self.state_id, item.version, reason)])
        self._count("dead_lettered")
        log.warning("dead letter", reaction=self.name, id=event.id, reason=reason)
        now = time.monotonic()
        with self._lock:
            self._letters_at.append(now)
            while self._letters_at[0] < now - self.rules.dead_letter_window_s:
                self._letters_at.popleft()
            count = len(self._letters_at)
        if count > self.rules.dead_letter_limit:
            raise SystemicFault(
                f"{count:,} events of reaction {self.name} became dead letters within"
                f" {self.rules.dead_letter_window_s:g} s, more than [pipeline] dead_letter_limit; the last one:"
                f" {reason}. See `penstock dead-letters list --reaction {self.name}`; correct the target, then start"
                " again."
            )

    def _count(self, outcome: str, amount: int = 1) -> None:
        with self._counting:
            self.outcomes[outcome] += amount
        self.metrics.count("penstock_reaction_events_total", amount, reaction=self.name, outcome=outcome)


def letter_of(event: Event, state_id: str, version: int, reason: str) -> Letter:
    """Return the dead letter of an event, with the whole of it for a replay."""
    namespace, key = Namespace.named(event.collection), orjson.dumps(event.subject).decode()
    return Letter(namespace, state_id, event.id, key, version, Position("", version), reason, event.body)
