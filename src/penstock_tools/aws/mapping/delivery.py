"""Delivers batches to the function: attempts, the position after success, the last batch once more on request."""

import threading
import time

import structlog
from pymongo.errors import PyMongoError

from penstock.model import seconds_of
from penstock.mongo.error_table import in_words
from penstock.runtime.backoff import Backoff
from penstock_tools.aws.mapping.batch import MappingBatch
from penstock_tools.aws.mapping.behaviour import Behaviour, Counters
from penstock_tools.aws.mapping.reader import Reader
from penstock_tools.aws.mapping.record import MappingRecord
from penstock_tools.aws.mapping.store import Store
from penstock_tools.aws.runtime.invocation import Invoke

log = structlog.get_logger(__name__)

SIX = 6
OK = "OK"
FAILED = "PROBLEM: Function call failed"


class MustDisable(Exception):
    """The mapping has to be disabled, with the reason."""


class Delivery:
    """The calls of one mapping, one at a time. Only `redeliver` may be called from another thread."""

    def __init__(
        self, record: MappingRecord, store: Store, invoke: Invoke, behaviour: Behaviour, *, changed: threading.Event
    ) -> None:
        """`changed` is set when the mapping is to do something else."""
        self.counters = Counters()
        self._record = record
        self._store = store
        self._invoke = invoke
        self._behaviour = behaviour
        self._changed = changed
        self._last: MappingBatch | None = None
        self._again: list[threading.Event] = []

    def deliver(self, batch: MappingBatch, reader: Reader) -> None:
        """Deliver a batch; only then move the position. Raises Stopped, MustDisable."""
        self.counters.oversized += batch.oversized
        if not self._send(batch, reader):
            self.counters.skipped += batch.events
        self._store.commit(self._record, batch.position)

    def redeliver(self, timeout_s: float) -> None:
        """Ask for `deliver_again` and wait until it is done; see `Worker.redeliver`."""
        if self._last is None:
            raise LookupError(f"Mapping {self._record.uuid} has delivered no batch yet.")
        done = threading.Event()
        self._again.append(done)
        if not done.wait(timeout_s):
            raise TimeoutError(f"Mapping {self._record.uuid} did not deliver its last batch again in {timeout_s:g} s.")

    def deliver_again(self, reader: Reader) -> None:
        """Send the last successful batch again, once for each request; the position stays."""
        while self._again and self._last is not None:
            self._send(self._last, reader)
            self._again.pop(0).set()

    def _send(self, batch: MappingBatch, reader: Reader) -> bool:
        """Call the function until it succeeds; return False if the batch is given up.

        Raises Stopped when the mapping is asked for something else in between.
        """
        backoff = Backoff(self._changed, self._behaviour.first_wait_s, self._behaviour.most_wait_s)
        attempts = 1
        while not self._call(batch):
            if self._behaviour.retry == "six" and attempts >= SIX:
                return False
            backoff.wait()
            self._require_position(reader)
            attempts += 1
        return True

    def _call(self, batch: MappingBatch) -> bool:
        """Call the function once; return whether it returned without an error."""
        if batch.payload is None:
            return True
        self.counters.invocations += 1
        try:
            failed = self._invoke(self._record.function, batch.payload).function_error is not None
        except Exception as error:  # noqa: BLE001 (anything that prevents a call is a failed call)
            log.warning("function could not be called", function=self._record.function, error=repr(error)[:200])
            failed = True
        if not failed:
            self._last = batch
        self.counters.errors += failed
        self.counters.delivered += 0 if failed else batch.events
        self.counters.iterator_age_ms = max(0, int((time.time() - seconds_of(batch.time)) * 1000))
        self._store.show(self._record, FAILED if failed else OK)
        return not failed

    def _require_position(self, reader: Reader) -> None:
        """Raise MustDisable if the events expired while the batch failed. If the source cannot be asked, try later."""
        position = self._record.position
        try:
            if position is not None and self._behaviour.retry == "forever" and not reader.holds(position):
                raise lost(self._record, "the events have expired while the function failed")
        except PyMongoError as error:
            log.info("position could not be checked", mapping=self._record.uuid, error=in_words(error))


def lost(record: MappingRecord, words: str) -> MustDisable:
    """Return the error that disables a mapping whose position is no longer in the change log."""
    return MustDisable(
        f"The change stream log of {record.arn} no longer holds the position of the mapping: {words}."
        " Delete the mapping and create another one."
    )
