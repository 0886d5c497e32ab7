"""The react function: the events of a DocumentDB event source mapping -> the target of a reaction.

A reaction has a function of its own, and a mapping of its own for each of its collections, next to those of the index:
so it has its own position and its own tries. The mapping keeps the position, so the function fails until every event of
its batch has been accepted, or is a dead letter. Until then the mapping delivers the same batch, with the same ids.

What the target accepted of a batch that failed is remembered while this container lives, and is not sent again then.
"""

import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from traceback import format_tb
from typing import Any

import structlog

from penstock.connections import sink_client
from penstock.delivery.stream_events import StreamEvent
from penstock.errors import PenstockError, SettingsError, Stopped
from penstock.lambdas.deadline import in_time
from penstock.lambdas.embedded_metrics import publish
from penstock.lambdas.events import events_of, latest_time, token_of, whole_changes_of
from penstock.lambdas.reaction_settings import reaction_settings, secret_file
from penstock.model import Batch, Body, BsonDocument, Change, Namespace, Position, SourceTransform, seconds_of
from penstock.observe.metrics import Metrics
from penstock.opensearch.http.client import Client
from penstock.opensearch.http.waiting import RetryForever
from penstock.opensearch.state.ids import reaction_id
from penstock.opensearch.write.sink import OpenSearchSink
from penstock.pipeline.transform import apply_transform
from penstock.ports import DeadLetters
from penstock.reactions.delivery import Delivery, DeliveryRules
from penstock.reactions.event import Event, EventMaker
from penstock.reactions.target import Accepted, Answer, Target
from penstock.reactions.targets import target_of
from penstock.reactions.where import condition_of
from penstock.runtime.threads import ChildEvent
from penstock.settings import Settings
from penstock.wiring import reaction_letters

log = structlog.get_logger(__name__)

_ENDING_S = 5.0
"""The time reserved for the end, after the last answer of the target."""

_BUS_ANSWERS_S = 25.0
"""How long a call of EventBridge may take, with botocore's own tries (`penstock.aws.session`)."""

_LONGEST_S = 900.0
"""Lambda's own limit."""

_LONGEST_PAUSE_S = 10.0
"""Between two tries at a target: an invocation that waits costs as much as one that works."""

_LOOK_EVERY_S = 0.02


class _Hangs(PenstockError):
    """An earlier invocation has not ended yet, and this one has waited for it in vain."""


class NotGiven(PenstockError):
    """Not every event of the batch was accepted: the mapping has to deliver it again."""


def handler(event: Any, context: Any) -> None:
    """Give the events of one batch to the target. Raises while it does not have them all."""
    with structlog.contextvars.bound_contextvars(request_id=context.aws_request_id):
        events = events_of(event)
        try:
            _react(events, context)
        except _Hangs as hangs:
            _end_container(str(hangs))
        except PenstockError:
            _wait_out(context)
            raise


def _end_container(reason: str) -> None:
    """End the process, and with it a thread that nothing else ends; Lambda starts another one for the next call."""
    log.error("this container ends, and another one takes the batch", reason=reason)
    sys.stdout.flush()
    os._exit(1)


def _react(events: Sequence[StreamEvent], context: Any) -> None:
    reacting = _reacting()
    if secret := secret_file():
        secret.renew()
    before = reacting.counts()
    try:
        _in_time(context, reacting, events)
    finally:
        _publish(context, reacting, before, len(events), latest_time(events))


def _wait_out(context: Any) -> None:
    """Wait until the call's time is up: a mapping may deliver a batch some times only, and then drop it.

    So a failure that comes at once, such as a secret that cannot be read or a target that refuses everything, leaves as
    long to mend it as a target that does not answer.
    """
    time.sleep(max(0.0, context.get_remaining_time_in_millis() / 1000 - _ENDING_S))


def _in_time(context: Any, reacting: "Reacting", events: Sequence[StreamEvent]) -> None:
    """Give the events so that the invocation ends before its time is up. Raises PenstockError."""
    try:
        in_time(
            context,
            partial(reacting.give, events),
            at_most_s=_LONGEST_S,
            reserve_s=reacting.answer_s + _ENDING_S,
            grace_s=reacting.answer_s,
        )
    except Stopped as stopped:
        raise NotGiven(f"Reaction {reacting.name}: {stopped}.") from None
    except PenstockError:
        raise
    except Exception as error:  # noqa: BLE001 (any error: its message, which may quote a document, would be logged)
        _log_unexpected(error)
        raise NotGiven(f"Reaction {reacting.name}: unexpected {type(error).__name__}, see the log.") from None


def _log_unexpected(error: Exception) -> None:
    where = "".join(format_tb(error.__traceback__))
    log.error("unexpected error; please report this with the log", error=type(error).__name__, where=where)


@dataclass
class _Counts:
    """What has become of events in this container."""

    accepted: float
    filtered: float
    dead_lettered: float
    waits: float


class _OneBatch:
    """A `penstock.ports.Source` and the `Checkpoints` of one batch: it ends when its position would be saved."""

    def __init__(self, changes: Sequence[Change], position: Position, done: threading.Event) -> None:
        self._changes, self._position, self._done = changes, position, done
        self.is_given = False
        """Whether every event has been accepted, or is a dead letter."""

    def batches(
        self,
        after: Position | None,  # noqa: ARG002 (of the port)
        transform: SourceTransform,
    ) -> Iterator[Batch]:
        """Yield the batch, and empty ones while its events are on their way."""
        yield Batch(apply_transform(self._changes, transform), self._position, time.monotonic())
        while not self._done.wait(_LOOK_EVERY_S):
            yield Batch([], self._position, time.monotonic())

    def load(self) -> Position | None:
        """The mapping keeps the position."""
        return None

    def save(self, position: Position) -> None:  # noqa: ARG002 (of the port)
        """Note that all is done."""
        self.is_given = True
        self._done.set()

    def close(self) -> None:
        """There is nothing to close."""


class _Remembering:
    """A target that is not given again what it accepted of a batch that failed."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.at_once = target.at_once
        self.accepted: set[str] = set()

    def send(self, events: Sequence[Event]) -> list[Answer]:
        """Give what it does not have yet to the target."""
        new = [each for each in events if each.id not in self.accepted]
        answers = dict(zip((each.id for each in new), self.target.send(new) if new else (), strict=True))
        self.accepted.update(name for name, answer in answers.items() if isinstance(answer, Accepted))
        return [answers.get(each.id, Accepted()) for each in events]

    def problem(self) -> str:
        """As the target finds it."""
        return self.target.problem()

    def close(self) -> None:
        """Close the target."""
        self.target.close()


class Reacting:
    """A reaction in this container; it gives one batch at a time."""

    def __init__(self, settings: Settings, client: Client) -> None:
        self._settings, self._client = settings, client
        (self._reaction,) = settings.reactions
        if self._reaction.before:
            raise SettingsError(
                f"[[reactions]] {self.name}: before = true needs before-images, which an event source mapping does not"
                " deliver; remove it"
            )
        if self._reaction.after_index:
            raise SettingsError(
                f"[[reactions]] {self.name}: after_index = true is for a worker, for a mapping does not know how far"
                " the index is; remove it"
            )
        self._metrics = Metrics()
        self._target = _Remembering(target_of(self._reaction))
        self._makers = {Namespace.named(each): self._maker(each) for each in self._reaction.collections}
        self._one_batch = threading.Lock()
        self._delivery: Delivery | None = None

    @property
    def name(self) -> str:
        """The reaction's name."""
        return self._reaction.name

    @property
    def answer_s(self) -> float:
        """How long a call of the target may take."""
        return {"webhook": self._reaction.timeout_s, "eventbridge": _BUS_ANSWERS_S}.get(self._reaction.target, 0.0)

    def close(self) -> None:
        """Close the connections."""
        self._target.close()
        self._client.close()

    def give(self, events: Sequence[StreamEvent], stop: threading.Event) -> None:
        """Give the events to the target. Raises NotGiven, SystemicFault, Stopped."""
        while not self._one_batch.acquire(timeout=_LOOK_EVERY_S):  # an invocation may have left its thread behind
            if stop.is_set():
                raise _Hangs(f"reaction {self.name}: an earlier invocation still waits for the target")
        try:
            self._give(events, stop)
        finally:
            self._one_batch.release()

    def counts(self) -> _Counts:
        """Return what has become of events so far."""
        return _Counts(
            accepted=self._count("accepted"),
            filtered=self._count("filtered"),
            dead_lettered=self._count("dead_lettered"),
            waits=self._metrics.value("penstock_reaction_waits_total", reaction=self.name),
        )

    def _count(self, outcome: str) -> float:
        return self._metrics.value("penstock_reaction_events_total", reaction=self.name, outcome=outcome)

    def _give(self, events: Sequence[StreamEvent], stop: threading.Event) -> None:
        done = ChildEvent(stop)
        changes = whole_changes_of(events, list(self._makers))
        batch = _OneBatch(changes, Position(token_of(events), latest_time(events)), done)
        patience = RetryForever(self._metrics, done)
        sink = OpenSearchSink(self._client, self._settings.sink, self._metrics, patience)
        letters = reaction_letters(self._client, sink, patience, kept=self._settings.pipeline.dead_letters_kept)
        if self._delivery is None:
            self._delivery = self._make_delivery(batch, letters)
        delivery = self._delivery  # the same for all batches: it knows what rest the target has asked for
        delivery.source, delivery.checkpoints, delivery.letters = lambda: batch, batch, letters
        with suppress(Stopped):
            delivery.run(done)
        if not batch.is_given:
            raise NotGiven(
                f"Reaction {self.name}: not every event was accepted before the time was up;"
                f" {delivery.waits_for or 'the target is slow'}. The mapping delivers the batch again."
            )
        self._target.accepted.clear()

    def _events(self, namespace: Namespace, documents: Sequence[BsonDocument]) -> Sequence[Body]:
        """Write the events of a collection. Each has a maker of its own, as each has a mapping."""
        maker = self._makers.get(namespace)
        return maker(namespace, documents) if maker else [None] * len(documents)

    def _maker(self, collection: str) -> EventMaker:
        deployment, condition = self._settings.pipeline.name, condition_of(self._reaction.where)
        return EventMaker.of(self._reaction, condition, deployment=deployment, collections=[collection])

    def _make_delivery(self, batch: _OneBatch, letters: DeadLetters) -> Delivery:
        reaction, pipeline = self._reaction, self._settings.pipeline
        rules = DeliveryRules.of(
            reaction, pipeline, checkpoint_every_s=0.0, idle_save_s=0.0, longest_pause_s=_LONGEST_PAUSE_S
        )
        return Delivery(
            self.name,
            reaction_id(self.name, pipeline.name),
            lambda: batch,
            self._events,
            self._target,
            letters,
            batch,
            rules,
            self._metrics,
            may_send=lambda: None,
        )


def _publish(context: Any, reacting: Reacting, before: _Counts, read: int, last: int) -> None:
    now = reacting.counts()
    values: dict[str, float] = {
        "Read": read,
        "Accepted": now.accepted - before.accepted,
        "Filtered": now.filtered - before.filtered,
        "DeadLettered": now.dead_lettered - before.dead_lettered,
        "Waits": now.waits - before.waits,
    }
    if last:
        values["LagSeconds"] = round(max(0.0, time.time() - seconds_of(last)), 3)
    publish(context.function_name, values, request_id=context.aws_request_id)


@cache
def _reacting() -> Reacting:
    settings = reaction_settings()
    return Reacting(settings, sink_client(settings))
