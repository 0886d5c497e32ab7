"""Takes parked keys out of their queue: what their documents are now is written, then the message is deleted."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from penstock.connections import parking_queue, sink_client, source_connection
from penstock.delivery.databases import DatabaseTargets, databases, require_mappable
from penstock.delivery.parked_keys import changes_of
from penstock.errors import DocumentError, QueueUnavailable, SettingsError
from penstock.model import CONTROL, Change, Counts, Position
from penstock.observe.metrics import Metrics
from penstock.runtime.intervals import INTERVALS, Intervals
from penstock.settings import Settings
from penstock.wiring import Wiring

if TYPE_CHECKING:
    from penstock.aws.queue import Message, Queue

log = structlog.get_logger(__name__)

_HIDDEN_S = 900
"""For so long nobody else receives a message that is being replayed; were it longer, it would only be done twice."""


@dataclass
class Replayed:
    """What a replay did: messages that were done, those that are not penstock's, and what became of their changes."""

    messages: int = 0
    foreign: int = 0
    counts: Counts = field(default_factory=Counts)


def replay_parked(
    settings: Settings,
    *,
    stop: threading.Event,
    on_message: Callable[[Replayed], None] = lambda _: None,
    intervals: Intervals = INTERVALS,
) -> Replayed:
    """Replay the queue until it is empty or `stop` is set; a message that is not penstock's stays in it.

    Raises QueueUnavailable, SourceUnavailable, SinkUnavailable, SystemicFault, Stopped; the message that was at work is
    in the queue again then. Raises SettingsError, for messages of collections that are not declared at the end only.
    """
    require_mappable(settings)
    queue, replayed, left = parking_queue(settings), Replayed(), list["Message"]()
    with (
        source_connection(settings.source, stop=stop) as connection,
        closing(sink_client(settings, stop=stop)) as client,
        _given_back(queue, left),
    ):
        replaying = _QueueReplay(databases(Wiring(settings, connection, client, Metrics(), intervals)), stop)
        while not stop.is_set() and (messages := queue.receive(wait_s=intervals.queue_s, hidden_s=_HIDDEN_S)):
            with _given_back(queue, messages):
                while messages and not stop.is_set():
                    if replaying.replay(messages[0], replayed):
                        queue.delete(messages[0])
                        messages.pop(0)
                    else:
                        left.append(messages.pop(0))  # hidden until the end, so that this run sees it once
                    on_message(replayed)
    if replaying.undeclared:
        raise SettingsError(
            f"The queue holds parked keys of {', '.join(sorted(replaying.undeclared))}, which is not a declared"
            " collection: add a [[collections]] table for it, as the sync function has. All others were replayed."
        )
    return replayed


@contextmanager
def _given_back(queue: "Queue", messages: "list[Message]") -> Iterator[None]:
    """Give back, on leaving, the messages that are still in the list."""
    try:
        yield
    finally:
        for message in messages:
            with suppress(QueueUnavailable):  # it comes back by itself, after a while
                queue.give_back(message)


@dataclass
class _QueueReplay:
    databases: dict[str, DatabaseTargets]
    stop: threading.Event
    undeclared: set[str] = field(default_factory=set)

    def replay(self, message: "Message", replayed: Replayed) -> bool:
        """Apply one message; False when it is left: it is not penstock's, or of a collection that is not declared."""
        try:
            changes = changes_of(message.text)
        except DocumentError as error:
            log.warning("a message was left in the queue", reason=str(error))
            replayed.foreign += 1
            return False
        if undeclared := self._undeclared(changes):
            self.undeclared |= undeclared
            return False
        by_db: dict[str, list[Change]] = {}
        for change in changes:
            by_db.setdefault(change.namespace.db, []).append(change)
        for db, its in by_db.items():
            position = Position("", max(each.version for each in its))
            replayed.counts.add(self.databases[db].apply(its, position, self.stop, in_order=False))
        replayed.messages += 1
        return True

    def _undeclared(self, changes: list[Change]) -> set[str]:
        """The collections of documents, and the databases, that are not declared."""
        declared = {namespace for each in self.databases.values() for namespace in each.namespaces}
        names = {
            each.namespace for each in changes if each.kind not in CONTROL or each.namespace.db not in self.databases
        }
        return set(map(str, names - declared))
