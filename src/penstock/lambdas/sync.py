"""The sync function: the events of a DocumentDB event source mapping, or the records of a Kafka one -> the index.

The mapping of DocumentDB delivers a batch again when the function fails: forever according to the documentation, six
times and then never again according to one report. Neither loses anything here, because the function does not fail:
documents that can never be indexed become dead letters, and the keys of documents that cannot be written in time are
parked in a queue. The function only raises if that is impossible too, or for a topic of which the settings do not say
what it holds: a topic keeps its records.

`penstock dead-letters replay --queue` takes the keys out and writes the present state of their documents.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from traceback import format_tb
from typing import Any, NamedTuple

import structlog

from penstock.aws.queue import MAX_TEXT_BYTES, Queue
from penstock.connections import parking_queue
from penstock.delivery.databases import DatabaseTargets, require_mappable, targets_of
from penstock.delivery.parked_keys import texts_of
from penstock.delivery.stream_events import StreamEvent, changes_of
from penstock.delivery.topics.understanding import TopicRefused
from penstock.errors import PenstockError, Stopped, SystemicFault
from penstock.lambdas.clients import settings, sink, source
from penstock.lambdas.deadline import in_time
from penstock.lambdas.embedded_metrics import publish
from penstock.lambdas.events import events_of, latest_time, token_of
from penstock.lambdas.parts import Brought, Part
from penstock.lambdas.topics import is_of_topics, records_brought
from penstock.model import Change, Counts, Namespace, Position, seconds_of
from penstock.observe.metrics import Metrics
from penstock.runtime.intervals import INTERVALS
from penstock.wiring import Wiring

log = structlog.get_logger(__name__)

_PARKING_S = 5.0
"""The time reserved for parking; a request that is in flight when the time runs out may end before that."""


def handler(event: Any, context: Any) -> None:
    """Apply one batch of the mapping. Raises only if it could neither be applied nor parked."""
    with structlog.contextvars.bound_contextvars(request_id=context.aws_request_id):
        queue, done = _queue(), _Done()
        brought = records_brought(event) if is_of_topics(event) else _events_brought(event)
        refused = brought.refused
        for part in brought.parts:
            try:
                done.counts.add(_in_time(context, partial(_apply, part, brought.position, done)))
            except TopicRefused as error:
                refused = error
            except Exception as error:  # noqa: BLE001 (any error: raising could lose the batch)
                _log_parked(error, str(part.collection))
                changes = part.changes_to_park()
                queue.send(list(texts_of(changes, most_bytes=MAX_TEXT_BYTES, with_reasons=not part.in_order)))
                done.parked += len(changes)
                done.faults += isinstance(error, SystemicFault)
        _publish(context, done, brought.position)
        if refused:
            raise refused


class _Events(NamedTuple):
    """Changes that a change stream brought for one collection; for None, what concerns no declared one."""

    collection: Namespace | None
    its: Sequence[Change]
    in_order: bool = True

    def changes(self, _stop: threading.Event) -> Sequence[Change]:
        return self.its

    def changes_to_park(self) -> Sequence[Change]:
        return self.its


def _events_brought(envelope: Any) -> Brought:
    """Raises NotAnEnvelope."""
    events = events_of(envelope)
    declared = [Namespace.named(each.namespace) for each in settings().collections]
    parts = [_Events(*each) for each in _by_collection(events, declared).items()]
    return Brought(parts, Position(token_of(events), latest_time(events)))


@dataclass
class _Done:
    """What an invocation did; `unreconciled` collections have to be loaded (`DatabaseTargets`)."""

    counts: Counts = field(default_factory=Counts)
    parked: int = 0
    faults: int = 0
    unreconciled: int = 0


def _in_time(context: Any, work: Callable[[threading.Event], Counts]) -> Counts:
    """Do the work so that there is time left to park it; raise Stopped at that time, no matter what the servers do."""
    request_s = settings().sink.timeout_s
    return in_time(
        context, work, at_most_s=INTERVALS.send_within_s, reserve_s=request_s + _PARKING_S, grace_s=request_s
    )


def _by_collection(
    events: Sequence[StreamEvent], declared: Sequence[Namespace]
) -> dict[Namespace | None, list[Change]]:
    """The changes, in order, by the declared collection that they concern: what is wrong with one parks no other's.

    A dropped database concerns all of its collections. None has what concerns no declared one.
    """
    by_collection: dict[Namespace | None, list[Change]] = {}
    known = set(declared)
    for db, changes in changes_of(events, declared).items():
        its = [each for each in declared if each.db == db]
        for change in changes:
            named = known.intersection((change.namespace, change.to)) if change.to else known & {change.namespace}
            for each in its if change.kind == "drop_database" else named or (None,):
                by_collection.setdefault(each, []).append(change)
    return by_collection


def _apply(part: Part, position: Position, done: _Done, stop: threading.Event) -> Counts:
    """Apply the changes of one collection. Raises PenstockError."""
    changes = part.changes(stop)
    if part.collection is None:
        names = sorted({str(each.namespace) for each in changes})
        log.warning("no declared collection", collections=names, changes=len(changes))
        return Counts(read=len(changes), control=len(changes))
    targets = _serving().targets(part.collection)
    counts = targets.apply(changes, position, stop, in_order=part.in_order)
    done.unreconciled += len(targets.unreconciled)
    return counts


def _log_parked(error: Exception, collection: str) -> None:
    if isinstance(error, Stopped):
        log.warning("out of time: the batch is parked", collection=collection, reason=str(error))
    elif isinstance(error, PenstockError):
        log.error("the batch is parked", collection=collection, reason=str(error))
    else:
        where = "".join(format_tb(error.__traceback__))  # without the error's message, which may quote a document
        log.error(
            "unexpected error, the batch is parked; please report this with the log",
            collection=collection,
            error=type(error).__name__,
            where=where,
        )


def _publish(context: Any, done: _Done, position: Position) -> None:
    counts = done.counts
    values: dict[str, float] = {
        "Read": counts.read + done.parked,
        "Written": counts.written,
        "Superseded": counts.superseded,
        "Folded": counts.folded,
        "Filtered": counts.filtered,
        "DeadLettered": counts.dead_lettered,
        "Control": counts.control,
        "Parked": done.parked,
        "SystemicFaults": done.faults,
        "Unreconciled": done.unreconciled,
    }
    if position.time:
        values["LagSeconds"] = round(max(0.0, time.time() - seconds_of(position.time)), 3)
    publish(context.function_name, values, request_id=context.aws_request_id)


@dataclass
class _Serving:
    """What this container feeds, by collection."""

    wiring: Wiring
    by_name: dict[Namespace, DatabaseTargets] = field(default_factory=dict)

    def targets(self, name: Namespace) -> DatabaseTargets:
        """Raises SettingsError."""
        if name not in self.by_name:
            self.by_name[name] = targets_of(self.wiring, {name})
        return self.by_name[name]


@cache
def _serving() -> _Serving:
    require_mappable(settings())
    return _Serving(Wiring(settings(), source(), sink(), Metrics()))


@cache
def _queue() -> Queue:
    return parking_queue(settings())
