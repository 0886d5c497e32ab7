"""The thread of an event source mapping: it reads a change stream and calls a function, one batch at a time."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Literal

import structlog
from bson.errors import BSONError
from pymongo.errors import OperationFailure, PyMongoError

from penstock.errors import PositionLost, Stopped
from penstock.model import Position
from penstock.mongo.cursor import CursorReply
from penstock.mongo.error_table import Fault, fault_of, in_words
from penstock.mongo.position import position_at
from penstock.runtime.backoff import Backoff
from penstock_tools.aws.mapping.batch import Batcher
from penstock_tools.aws.mapping.behaviour import Behaviour, Counters
from penstock_tools.aws.mapping.delivery import FAILED, OK, Delivery, MustDisable, lost
from penstock_tools.aws.mapping.reader import Reader, after_event, latest, starting_time
from penstock_tools.aws.mapping.record import NOTHING_YET, MappingRecord, MappingState
from penstock_tools.aws.mapping.scope import has_own_rule, has_rule, not_enabled
from penstock_tools.aws.mapping.store import Store
from penstock_tools.aws.runtime.invocation import Invoke

log = structlog.get_logger(__name__)

_RESULTS = (NOTHING_YET, OK, FAILED)


class MappingWorker:
    """The thread of one mapping, from its creation to its deletion or the end of the process.

    It makes every change of state that a user asks for: `record_changed` reports a change of the record, and the
    thread applies it after its current call.
    """

    def __init__(
        self,
        record: MappingRecord,
        store: Store,
        connect: Callable[[MappingRecord], Reader],
        invoke: Invoke,
        behaviour: Behaviour,
    ) -> None:
        self._changed = threading.Event()
        self._record = record
        self._store = store
        self._connect = connect
        self._behaviour = behaviour
        self._delivery = Delivery(record, store, invoke, behaviour, changed=self._changed)
        self._ends: Literal["deleted", "closed"] | None = None
        self._invalidated_at: Position | None = None
        self._thread = threading.Thread(target=self._run, name=f"mapping-{record.uuid[:8]}", daemon=True)

    @property
    def counters(self) -> Counters:
        """The counters since the process started."""
        return self._delivery.counters

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def record_changed(self) -> None:
        """Go by the record as it is now. Within the store's `changing`."""
        self._changed.set()

    def end(self, how: Literal["deleted", "closed"]) -> None:
        """Delete the mapping, or stop without changing it, after the current call."""
        self._ends = how
        self._changed.set()

    def join(self) -> None:
        """Wait until the thread has ended."""
        self._thread.join()

    def redeliver(self, timeout_s: float = 30.0) -> None:
        """Have the last successful batch delivered once more, and wait for it.

        Raises LookupError if this process has delivered none, TimeoutError if it takes too long.
        """
        self._delivery.redeliver(timeout_s)

    def _run(self) -> None:
        while not self._ends:
            self._changed.clear()
            if self._ends:
                break
            try:
                self._live()
            except Stopped:
                pass
            except MustDisable as reason:
                self._disable(str(reason))
        if self._ends == "deleted":
            with self._store.changing() as records:
                records.pop(self._record.uuid, None)

    def _live(self) -> None:
        """Be what the record says until it says something else. Raises Stopped, MustDisable."""
        if self._behaviour.scope == "strict" and self._record.rule_found is None:
            with self._problems(), closing(self._connect(self._record)) as reader:
                self._look_for_rule(reader)
        if not self._record.enabled:
            self._move_to("Disabled")
            self._changed.wait()
        elif self._behaviour.scope == "strict" and self._record.rule_found is False:
            self._store.show(self._record, f"PROBLEM: {not_enabled(self._record, 'strict')}")
            self._move_to("Enabled")
            self._changed.wait()
        else:
            self._work()

    def _work(self) -> None:
        """Read and deliver; start over after every fault, and when the stream has ended."""
        backoff = Backoff(self._changed, self._behaviour.first_wait_s, self._behaviour.most_wait_s)
        while not self._changed.is_set():
            with self._problems(), closing(self._connect(self._record)) as reader:
                self._require_rule(reader)
                self._read(reader, backoff)
            self._move_to("Enabled")  # it is enabled, even if something keeps it from reading
            backoff.wait()

    @contextmanager
    def _problems(self) -> Iterator[None]:
        """Show what keeps the mapping from reading. A lost position disables it."""
        try:
            yield
        except PositionLost as error:
            raise MustDisable(str(error)) from error
        except OperationFailure as error:
            if fault_of(error) is Fault.LOST and self._record.position is not None:
                raise lost(self._record, in_words(error)) from error
            self._store.show(self._record, f"PROBLEM: {in_words(error)}")
        except PyMongoError as error:
            self._store.show(self._record, f"PROBLEM: Connection error. {in_words(error)}")
        except LookupError as error:
            self._store.show(self._record, f"PROBLEM: {error.args[0]}")
        except BSONError as error:
            self._store.show(self._record, f"PROBLEM: a reply of the cluster cannot be read: {error}")

    def _read(self, reader: Reader, backoff: Backoff) -> None:
        """Read and deliver from the committed position on until asked otherwise, or until the stream ends."""
        self._invalidated_at = None
        reply: CursorReply | None = self._open(reader)
        self._move_to("Enabled")
        record = self._record
        if record.result not in _RESULTS:  # the problem that kept it from reading is over
            self._store.show(record, NOTHING_YET)
        batcher = Batcher(record.arn, batch_size=record.batch_size, window_s=record.window_s, form=self._behaviour.form)
        while not self._changed.is_set():
            self._take_in(reply, batcher)
            while batcher.due and not self._changed.is_set():
                self._delivery.deliver(batcher.take(), reader)
            self._delivery.deliver_again(reader)
            if reply is None:
                self._after_the_end()
                return
            backoff.reset()
            reply = reader.next()

    def _open(self, reader: Reader) -> CursorReply:
        """Open the stream at the committed position; the first time, at the mapping's starting position."""
        if self._record.position is not None:
            return reader.open(self._record.position)
        started = starting_time(self._record.request, self._behaviour.retention_s)
        if started is None:
            reply = reader.open(None)
            begin = latest(reply)
        else:
            begin = position_at(started)
            if not reader.holds(begin):  # it was inactive for too long: start where the log begins
                begin = reader.oldest(started)
            reply = reader.open(begin)
        if begin is not None:
            self._store.commit(self._record, begin)
        return reply

    def _take_in(self, reply: CursorReply | None, batcher: Batcher) -> None:
        if reply is None:
            batcher.end()
            return
        for event in reply.events:
            if event["operationType"] == "invalidate":
                self._invalidated_at = after_event(event)
                if self._behaviour.on_invalidate == "reopen":
                    continue
            batcher.add(event)

    def _after_the_end(self) -> None:
        """Handle the end of the stream after its events are delivered: move past the invalidate, if it was one."""
        if self._changed.is_set() or self._invalidated_at is None:
            return
        self._store.commit(self._record, self._invalidated_at)
        self._invalidated_at = None
        if self._behaviour.on_invalidate == "disable":
            raise MustDisable("The change stream was invalidated: its collection or database was dropped or renamed.")

    def _look_for_rule(self, reader: Reader) -> bool:
        found = has_own_rule(self._record, reader.rules())
        with self._store.changing():
            self._record.rule_found = found
        return found

    def _require_rule(self, reader: Reader) -> None:
        """Raise LookupError if change streams are not enabled. In strict scope this is checked only once."""
        if self._behaviour.scope == "none" or self._record.rule_found:
            return
        if self._behaviour.scope == "strict":
            enabled = self._look_for_rule(reader)
        else:
            enabled = has_rule(self._record, reader.rules())
        if not enabled:
            raise LookupError(not_enabled(self._record, self._behaviour.scope))

    def _move_to(self, state: MappingState) -> None:
        """Enter a state, unless the user has asked for another one in the meantime."""
        with self._store.changing():
            if not self._changed.is_set() and self._record.state != state:
                self._record.move(state)

    def _disable(self, reason: str) -> None:
        with self._store.changing():
            if not self._changed.is_set():
                self._record.enabled = False
                self._record.move("Disabled", reason)
        log.warning("mapping is disabled", mapping=self._record.uuid, reason=reason)
