"""The lease and the position of one pipeline, in one document: a save under an old lease fails by itself.

    acquire   waits as standby until the lease is free, then takes it with a new epoch
    renew     shows that the worker is alive; so does every write of the document
    save      the position; save_status, save_source: what `status` and the next start need
    forget    a lost position, or the indexes that no longer belong to it
    release   a clean end: a standby takes over at once

No wall clocks are compared: a standby checks that the document has not changed for the lease's time on its own clock,
and the holder counts that time from before it sent its last renewal.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog

from penstock.errors import LeaseLost, Stopped
from penstock.model import Position
from penstock.opensearch.state.ids import pipeline_id
from penstock.opensearch.state.store import Conflict, StateDocument, StateStore, Stored
from penstock.runtime.clock import passed_s
from penstock.runtime.intervals import INTERVALS

log = structlog.get_logger(__name__)


class PipelineState:
    """Implements `penstock.ports.Checkpoints`; the pipeline's thread and the renewing one may use it concurrently."""

    def __init__(
        self,
        store: StateStore,
        name: str,
        *,
        owner: str,
        lease_s: float,
        collections: Iterable[str] = (),
        standby_s: float = INTERVALS.standby_s,
        stop: threading.Event | None = None,
        state_id: str = "",
    ) -> None:
        """`collections`: what the lease is for. `standby_s`: the longest time between two looks of a standby at it.

        `state_id` is given for what is no pipeline of an index.
        """
        self.name = name
        self.owner = f"{owner}/{secrets.token_hex(4)}"
        """Different from any other worker's, whatever the worker's name."""
        self._store = store
        self._id = state_id or pipeline_id(name)
        self._collections = sorted(collections)
        self._lease_s = lease_s
        self._look_every_s = min(standby_s, lease_s / 5)
        self._stop = stop if stop is not None else store.patience.stop
        self._lock = threading.RLock()
        self._stored: Stored | None = None

    def acquire(self, *, standby: bool = True, on_holder: Callable[[StateDocument], None] = lambda _: None) -> None:
        """Take the lease; block as standby while another worker renews it. Raises Stopped, SettingsError.

        `on_holder` gets what that one has written at each of its renewals, and may raise what ends the waiting. Without
        `standby`, raise LeaseLost if another worker renews it; still wait for one that seems dead.
        """
        seen: Stored | None = None
        since = time.monotonic()
        while True:
            found = self._store.get([self._id]).get(self._id)
            now = time.monotonic()
            if seen is None or found is None or found.seq_no != seen.seq_no or found.primary_term != seen.primary_term:
                if found is not None and not found.document.get("released"):
                    if seen is not None:
                        on_holder(found.document)
                    if seen is not None and not standby:
                        raise self._taken_by(found)
                    self._log_standby(seen, found)
                seen, since = found, now
            if _is_free(found, now - since, self._lease_s) and self._take(found):
                return
            if self._stop.wait(self._look_every_s):
                raise Stopped(f"stopped while waiting for the lease of pipeline {self.name}")

    def renew(self) -> None:
        """Show that this worker is alive. Raises LeaseLost if another one has taken over."""
        self._write({})

    def load(self) -> Position | None:
        """Return the last saved position, under this lease or an earlier one."""
        position = self._held()["position"]
        return None if position is None else Position(position["token"], position["time"])

    def save(self, position: Position) -> None:
        """Save the position. Raises LeaseLost if another worker has taken over."""
        self._write({"position": {"token": position.token, "time": position.time}})

    def save_status(self, status: Mapping[str, Any]) -> None:
        """Save what `status` shows, replacing what was saved before. Raises LeaseLost."""
        self._write({"status": dict(status)})

    def save_source(self, source: Mapping[str, Any], indexes: Mapping[str, str]) -> None:
        """Save the identity of the source and the UUIDs of the indexes that the position belongs to."""
        self._write({"source": dict(source), "indexes": dict(indexes)})

    def forget(self, losses: Mapping[str, Any], indexes: Mapping[str, str], *, keep_position: bool) -> None:
        """Save what was lost, by collection, and which indexes still belong to the position, if it is kept at all.

        All in one write: the next start loads again every collection that the position does not belong to.
        """
        known = {**self.document["lost"], **losses}
        self._write({"lost": known, "indexes": dict(indexes), **({} if keep_position else {"position": None})})

    @property
    def document(self) -> dict[str, Any]:
        """The whole state as last written by this worker: source, indexes, status, epoch."""
        return dict(self._held())

    def held(self) -> bool:
        """Whether the lease is certainly ours: renewed within its time, by this machine's clock, also while it slept.

        Returns at once, even while another thread waits for the cluster to accept a renewal.
        """
        sent_at = self._stored.sent_at if self._stored else None
        return sent_at is not None and passed_s() - sent_at < self._lease_s

    def assert_held(self) -> None:
        """Raise LeaseLost if nothing may be sent because another worker may have taken over."""
        if not self.held():
            raise self._lost(f"was not renewed for {self._lease_s:g} s")

    def release(self) -> None:
        """Give up the lease at a clean end, if it is still ours."""
        with self._lock:
            if self._stored is None:
                return
            try:
                self._write({"released": True})
            except LeaseLost:
                log.info("the lease was taken over before it was released", pipeline=self.name)
            self._stored = None

    def _take(self, found: Stored | None) -> bool:
        """Try to take the free lease; return False if another worker was faster."""
        before = found.document if found else {}
        document = {
            "kind": "pipeline",
            "name": self.name,
            "position": before.get("position"),
            "source": before.get("source", {}),
            "indexes": before.get("indexes", {}),
            "lost": before.get("lost", {}),
            "status": before.get("status", {}),
            "owner": self.owner,
            "collections": self._collections,
            "lease_s": self._lease_s,
            "epoch": before.get("epoch", 0) + 1,
            "beat": 0,
            "released": False,
        }
        try:
            stored = self._store.put(self._id, document, found)
        except Conflict:
            return False
        with self._lock:
            self._stored = stored
        log.info("took the lease", pipeline=self.name, epoch=document["epoch"])
        return True

    def _write(self, changes: Mapping[str, Any]) -> None:
        """Write the document with the changes; every write renews the lease and has its own beat."""
        with self._lock:
            stored = self._stored
            if stored is None:
                raise self._lost("is not held")
            document = {**stored.document, **changes, "beat": stored.document["beat"] + 1}
            try:
                self._stored = self._store.put(self._id, document, stored)
            except Conflict as error:
                self._stored = None
                raise self._lost("was taken over by another worker") from error

    def _held(self) -> dict[str, Any]:
        with self._lock:
            if self._stored is None:
                raise self._lost("is not held")
            return self._stored.document

    def _lost(self, what: str) -> LeaseLost:
        return LeaseLost(f"The lease of pipeline {self.name} {what}; this worker writes nothing until it has it again.")

    def _taken_by(self, found: Stored) -> LeaseLost:
        return LeaseLost(
            f"Another worker ({found.document.get('owner')}) is running pipeline {self.name}. Stop it first; it resumes"
            " where it was when you start it again."
        )

    def _log_standby(self, seen: Stored | None, found: Stored) -> None:
        holder = found.document.get("owner")
        if seen is None or seen.document.get("owner") != holder:
            log.info("standby: another worker holds the lease", pipeline=self.name, owner=holder)


def feeds(document: StateDocument, collection: str, index: str) -> bool:
    """Whether the holder of the lease, or its last one, feeds a collection into an index.

    Versions up to 0.1 kept no collections with the lease, only the indexes that the position belongs to.
    """
    known: list[str] | None = document.get("collections")
    return index in document["indexes"] if known is None else collection in known


def _is_free(found: Stored | None, unchanged_s: float, lease_s: float) -> bool:
    if found is None or found.document.get("released"):
        return True
    return unchanged_s >= max(lease_s, float(found.document.get("lease_s", 0)))
