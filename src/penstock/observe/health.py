"""What the worker serves on `observe.listen`: /metrics for Prometheus, /healthz for the supervisor that restarts it.

A worker that is running is not healthy if its source does not answer, its index accepts nothing, or it falls further
and further behind.
"""

import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

import structlog
from prometheus_client import CONTENT_TYPE_LATEST

from penstock.errors import SettingsError

log = structlog.get_logger(__name__)

HealthState = Literal["standby", "loading", "live", "stopped", "failed"]

STALLED_AFTER_S = 60.0
"""A source answers about once a second, even when idle; the longest wait of a lost connection is 30 s."""
WAITING_AFTER_S = 60.0
"""An index that is overloaded for a moment is not a fault."""
UNFED_AFTER_S = 600.0
"""While workers are replaced, the new ones declare what the old one, which goes when they are ready, does not feed."""
GROWING_WITHIN_S = 60.0
"""The lag is compared with the lag this long ago."""


_NONE: Mapping[str, str] = {}


@dataclass
class _Pipeline:
    """What one pipeline last reported; times are of the monotonic clock."""

    state: HealthState
    beat_at: float
    lag_s: float = 0.0
    waiting: str = ""
    waiting_since: float | None = None
    lost: str = ""
    reason: str = ""
    collections: Mapping[str, str] = field(default_factory=dict)
    unfed_since: float | None = None
    lags: deque[tuple[float, float]] = field(default_factory=deque)


class Health:
    """Collects what the pipelines report, from any thread, and judges it."""

    def __init__(self, *, unhealthy_lag_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._unhealthy_lag_s = unhealthy_lag_s
        self._now = now
        self._lock = threading.Lock()
        self._pipelines: dict[str, _Pipeline] = {}
        self._unserved: dict[str, str] = {}
        self._idle = False
        self._reactions: dict[str, Mapping[str, Any]] = {}

    def beat(
        self,
        pipeline: str,
        *,
        lag_s: float = 0.0,
        waiting_reason: str = "",
        loading: bool = False,
        lost: str = "",
        collections: Mapping[str, str] = _NONE,
    ) -> None:
        """Report that the source answered (an empty answer counts), and how far behind the pipeline is.

        `waiting_reason` says why the index accepts nothing at present; a pipeline that waits keeps reporting. `lost`
        names what is being loaded again after a loss, which is not a problem that a restart would solve. `collections`
        has the state of each one.
        """
        now = self._now()
        with self._lock:
            known = self._in_state(pipeline, "loading" if loading else "live", now)
            known.lag_s = lag_s
            known.lost = lost
            known.collections = collections
            if not waiting_reason:
                known.waiting_since = None
            elif known.waiting_since is None:
                known.waiting_since = now
            known.waiting = waiting_reason
            known.lags.append((now, lag_s))
            while known.lags[0][0] < now - GROWING_WITHIN_S:
                known.lags.popleft()

    def standby(self, pipeline: str, *, collections: Mapping[str, str] = _NONE) -> None:
        """Report that another worker holds the pipeline's lease and that this one has just looked at it.

        Of `collections`, it may feed only some: the others are `not fed`.
        """
        now = self._now()
        with self._lock:
            known = self._in_state(pipeline, "standby", now)
            known.collections = collections
            if "not fed" not in collections.values():
                known.unfed_since = None
            elif known.unfed_since is None:
                known.unfed_since = now

    def stopped(self, pipeline: str, reason: str) -> None:
        """Report that the pipeline stopped by itself, and why."""
        with self._lock:
            self._in_state(pipeline, "stopped", self._now()).reason = reason

    def failed(self, pipeline: str, reason: str) -> None:
        """Report that the pipeline of an index that is not searched has failed: no reason to restart the others."""
        with self._lock:
            self._in_state(pipeline, "failed", self._now()).reason = reason

    def forget(self, pipeline: str) -> None:
        """Report that the pipeline is no longer this worker's."""
        with self._lock:
            self._pipelines.pop(pipeline, None)

    def unserved(self, reasons: Mapping[str, str], *, idle: bool) -> None:
        """Report which collections cannot be served yet, and why; `idle`: there is no other one at present."""
        with self._lock:
            self._unserved, self._idle = dict(reasons), idle

    def reaction(self, name: str, report: Mapping[str, Any]) -> None:
        """Report how a reaction stands. That is no reason to restart a worker, whatever it is."""
        with self._lock:
            self._reactions[name] = report

    def report(self) -> dict[str, Any]:
        """Return `healthy`, for each pipeline its state, its lag and its problems, and why collections are not served.

        A worker that has nothing to serve yet is healthy: a restart would change nothing. Nor does it help a reaction.
        """
        with self._lock:
            pipelines = {name: self._judge(known) for name, known in sorted(self._pipelines.items())}
            unserved, idle = self._unserved, self._idle
            reactions = dict(sorted(self._reactions.items()))
        healthy = (bool(pipelines) or idle) and all(not judged["problems"] for judged in pipelines.values())
        return {"healthy": healthy, "pipelines": pipelines, "unserved": unserved, "reactions": reactions}

    def _in_state(self, pipeline: str, state: HealthState, now: float) -> _Pipeline:
        known = self._pipelines.get(pipeline)
        if known is None or known.state != state:
            known = self._pipelines[pipeline] = _Pipeline(state, now)
        known.beat_at = now
        return known

    def _judge(self, known: _Pipeline) -> dict[str, Any]:
        now = self._now()
        silent_s = now - known.beat_at
        problems = []
        if known.state == "stopped":
            problems.append(f"stopped: {known.reason}")
        elif known.state != "failed" and silent_s > STALLED_AFTER_S:
            problems.append(f"stalled: no report for {silent_s:.0f} s")
        if known.waiting_since is not None and now - known.waiting_since > WAITING_AFTER_S:
            problems.append(f"the index has accepted no writes for {now - known.waiting_since:.0f} s: {known.waiting}")
        if known.unfed_since is not None and now - known.unfed_since > UNFED_AFTER_S:
            names = ", ".join(name for name, state in known.collections.items() if state == "not fed")
            problems.append(f"{names}: not fed, another worker holds the lease for other collections")
        if known.state == "live" and known.lag_s > self._unhealthy_lag_s and known.lag_s >= known.lags[0][1]:
            problems.append(f"lag of {known.lag_s:.0f} s, above {self._unhealthy_lag_s:.0f} s and not falling")
        return {
            "state": known.state,
            "collections": dict(known.collections),
            "lag_s": round(known.lag_s, 3),
            "silent_s": round(silent_s, 1),
            "waiting": known.waiting,
            "position_lost": known.lost,
            "reason": known.reason,
            "problems": problems,
        }


@contextmanager
def serving(
    listen: str | None, *, exposition: Callable[[], bytes], report: Callable[[], Mapping[str, Any]]
) -> Iterator[str | None]:
    """Serve /metrics and /healthz for as long as the block runs, and yield the address; do nothing without `listen`.

    `exposition` returns the metrics as text, `report` what /healthz answers; its `healthy` is the status.
    """
    if listen is None:
        yield None
        return
    host, _, port = listen.rpartition(":")
    try:
        server = _server(host.strip("[]"), int(port), _handler(exposition, report))
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {listen} ([observe] listen): {error.strerror}; choose another port or address"
        ) from None
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="health", daemon=True)
    thread.start()
    shown = f"[{host.strip('[]')}]" if ":" in host else host or "127.0.0.1"
    address = f"http://{shown}:{server.server_port}"
    log.info("serving health and metrics", address=address)
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()


def _server(host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    return Server((host, port), handler)


def _handler(exposition: Callable[[], bytes], report: Callable[[], Mapping[str, Any]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, exposition())
            elif self.path == "/healthz":
                found = report()
                body = json.dumps(found, indent=1).encode() + b"\n"
                self._answer(200 if found["healthy"] else 503, "application/json", body)
            else:
                self._answer(404, "text/plain", b"not found; try /metrics or /healthz\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Log nothing: probes come every few seconds."""

    return Handler
