"""The signs of life of this process: every second, in a document of its own, whatever its pipelines wait for.

A sign that cannot be written is not repeated: the next one follows. So nobody waits for it, and a process that is
killed differs from one that lives within seconds: its document no longer changes.
"""

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import structlog

from penstock.errors import SinkUnavailable, SystemicFault
from penstock.observe.metrics import Metrics
from penstock.opensearch.http.client import Client
from penstock.opensearch.http.waiting import FailFast
from penstock.opensearch.state.store import StateStore
from penstock.opensearch.state.workers import WorkerState
from penstock.runtime.intervals import Intervals
from penstock.runtime.process import ProcessorShare, memory_bytes
from penstock.settings import Settings

log = structlog.get_logger(__name__)

_GONE_AFTER_LOOKS = 10
_SAID_EVERY_S = 600.0


@dataclass
class Pulse:
    """Writes what this process is and does.

    `states` has the state of each of its pipelines, reactions and captures; `shares` has its partitions of the log,
    `captures` how each of its captures stands. `says_failures`: nothing else of the process would say that the index is
    away.
    """

    settings: Settings
    client: Client
    intervals: Intervals
    metrics: Metrics
    states: Callable[[], Mapping[str, str]]
    shares: Callable[[], Mapping[str, Mapping[str, Any]]] = dict
    captures: Callable[[], Mapping[str, Mapping[str, Any]]] = dict
    says_failures: bool = False
    _said_at: float | None = None
    _cpu: ProcessorShare = field(default_factory=ProcessorShare)
    _started_at: float = field(default_factory=time.time)
    _unchanged: dict[str, tuple[tuple[int, int], int]] = field(default_factory=dict)
    """By process of the list: the place of its last write, and how many looks have found that same one."""

    def keep_beating(self, stop: threading.Event) -> None:
        """Give a sign of life from time to time, until `stop` is set."""
        intervals, client = self.intervals, self.client
        name = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
        own = WorkerState(StateStore(client, FailFast(client.url)), self.settings.pipeline.name, name)
        looked_at = time.monotonic()
        while not stop.is_set():
            try:
                own.beat(self._report())
                if time.monotonic() - looked_at >= intervals.worker_list_s:
                    looked_at = time.monotonic()
                    self._forget_gone(own)
            except (SinkUnavailable, SystemicFault) as error:
                self._say(error)
            stop.wait(intervals.pulse_s)
        try:
            own.leave()
        except (SinkUnavailable, SystemicFault) as error:
            log.info("could not leave the list of workers", reason=str(error))

    def _say(self, error: Exception) -> None:
        now = time.monotonic()
        if self.says_failures and (self._said_at is None or now - self._said_at > _SAID_EVERY_S):
            self._said_at = now
            log.info("status does not show this process: no sign of life could be written", reason=str(error))
        else:
            log.debug("no sign of life could be written", reason=str(error))

    def _report(self) -> dict[str, Any]:
        waits = self.metrics.value("penstock_waiting")
        return {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": version("penstock"),
            "started_at": self._started_at,
            "pipelines": dict(self.states()),
            "shares": dict(self.shares()),
            "captures": dict(self.captures()),
            "waiting": "the index accepts no writes at present" if waits else "",
            "memory_bytes": memory_bytes(),
            "cpu": round(self._cpu.take(), 3),
        }

    def _forget_gone(self, own: WorkerState) -> None:
        """Take off the list who has not written between many looks."""
        others = own.others()
        self._unchanged = {
            name: (place, self._unchanged[name][1] + 1 if self._unchanged.get(name, (None,))[0] == place else 0)
            for name, place in others.items()
        }
        if gone := [name for name, (_, looks) in self._unchanged.items() if looks >= _GONE_AFTER_LOOKS]:
            log.info("workers are gone", names=gone)
            own.forget(gone)
