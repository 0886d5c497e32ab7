"""Waits for the index: with backoff and jitter, logged once for each reason, and visible in the metrics."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple
from weakref import WeakKeyDictionary

import structlog

from penstock.errors import IndexUnreadable, SinkUnavailable
from penstock.observe.metrics import Metrics
from penstock.runtime.backoff import Backoff

log = structlog.get_logger(__name__)

_SAY_AGAIN_S = 30.0

WaitReason = Literal["overloaded", "blocked", "full", "closed", "unavailable", "lost"]
"""Overloaded: too many requests. Blocked: read-only or out of disk. Full: no more shards, so no new index. Closed: the
index is closed. Unavailable: shards or the cluster are not ready. Lost: no response, or none that can be understood."""


TODO_OF_WAIT: dict[WaitReason, str] = {
    "overloaded": "Try again later; if it stays so, the cluster is too small.",
    "blocked": "Free disk space, then remove the block.",
    "full": "Delete indexes, or raise cluster.max_shards_per_node.",
    "closed": "Open the index again.",
    "unavailable": "Check the health of the cluster.",
    "lost": "Check [sink] url, and that OpenSearch is up.",
}
"""What to do about what one waits for, if it does not pass by itself."""


class Wait(NamedTuple):
    """The index cannot accept a request now. `unclear`: it may have been carried out nevertheless."""

    reason: WaitReason
    detail: str
    unclear: bool = False


class _Board:
    """Which requests wait in this process, and what was logged about it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.waiting: set[int] = set()
        self.said: dict[str, float] = {}


_boards: WeakKeyDictionary[Metrics, _Board] = WeakKeyDictionary()
"""One for all pipelines that share their metrics, since `penstock_waiting` and the log are about the process."""


class RetryForever:
    """Waits for a cluster until `stop`; logs each reason once and then every 30 s, and updates the metrics.

    `if_closed`: also for an index that is closed; a command does not, for it has others to look at.
    """

    def __init__(
        self,
        metrics: Metrics,
        stop: threading.Event,
        *,
        if_closed: bool = True,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stop = stop
        self._if_closed = if_closed
        self._now = now
        self._metrics = metrics
        self._board = _boards.setdefault(metrics, _Board())

    def attempts(self) -> "Attempts":
        """Start a series of attempts at one request."""
        return Attempts(self)

    def began(self, who: int, wait: Wait) -> None:
        """Note that a request waits. Raises IndexUnreadable if it is not to wait for a closed index."""
        if wait.reason == "closed" and not self._if_closed:
            raise IndexUnreadable(f"{wait.detail}. Open it, then try again.")
        now = self._now()
        with self._board.lock:
            self._board.waiting.add(who)
            said_at = self._board.said.get(wait.reason)
            say = said_at is None or now - said_at >= _SAY_AGAIN_S
            if say:
                self._board.said[wait.reason] = now
            self._metrics.set("penstock_waiting", 1)
        self._metrics.count("penstock_waits_total", reason=wait.reason)
        if say:
            log.warning("waiting for the index", reason=wait.reason, detail=wait.detail)

    def ended(self, who: int) -> None:
        """Note that a request no longer waits; if it was the last one, the next wait is logged again."""
        with self._board.lock:
            self._board.waiting.discard(who)
            if self._board.waiting:
                return
            said, self._board.said = self._board.said, {}
            self._metrics.set("penstock_waiting", 0)
        if said:
            log.info("the index accepts requests again", reasons=sorted(said))


class NotNow(SinkUnavailable):
    """The index cannot do it now, and a worker would wait."""


class FailFast(RetryForever):
    """Never waits: what a worker would wait for raises NotNow. For commands that only look, and for what may wait."""

    def __init__(self, url: str) -> None:
        super().__init__(Metrics(), threading.Event(), if_closed=False)
        self._url = url

    def began(self, who: int, wait: Wait) -> None:
        """Raise NotNow, IndexUnreadable."""
        if wait.reason == "closed":
            super().began(who, wait)
        raise NotNow(f"No usable response from {self._url}: {wait.detail}.", TODO_OF_WAIT[wait.reason])


class Attempts:
    """A series of attempts: a context manager, so that a wait that is given up is not counted forever."""

    def __init__(self, patience: RetryForever) -> None:
        self._patience = patience
        self._backoff = Backoff(patience.stop)
        self._waited = False

    def __enter__(self) -> "Attempts":
        return self

    def __exit__(self, *_: object) -> None:
        self.succeeded()

    def wait(self, wait: Wait) -> None:
        """Wait before the next attempt; raises Stopped."""
        self._waited = True
        self._patience.began(id(self), wait)
        self._backoff.wait()

    def succeeded(self) -> None:
        """Note that the index accepts requests: start again with short waits."""
        if self._waited:
            self._waited = False
            self._backoff.reset()
            self._patience.ended(id(self))


class Reopening:
    """The waits of writes to one place that are read again after each of them; several threads may use it.

    All are one series: one thread asks for all whether the place takes writes again, and the waits grow until a write
    that was refused is taken.
    """

    def __init__(self, patience: RetryForever) -> None:
        self._patience = patience
        self._backoff = Backoff(patience.stop)
        self._asking = threading.Lock()
        self._reopened_at: float | None = None
        self._refused: str | None = None

    def wait(self, wait: Wait, refused: str, probe: Callable[[], Wait | None], *, until: float) -> None:
        """Wait until the probe passes, at the longest until a moment (time.monotonic). Raises Stopped.

        `refused` is the id of a write that was not taken.
        """
        failed_at = time.monotonic()
        with self._asking:
            if self._reopened_at is not None and self._reopened_at > failed_at:
                return  # while another thread asked
            self._refused = refused
            again: Wait | None = wait
            try:
                while again and time.monotonic() < until:
                    self._patience.began(id(self), again)
                    self._backoff.wait()
                    again = probe()
            finally:
                self._patience.ended(id(self))
            self._reopened_at = time.monotonic()

    def took(self, ids: Iterable[str]) -> None:
        """Note the ids of writes that were taken: with the refused one among them, the next waits are short again."""
        if self._refused is not None and self._refused in ids:
            self._refused = None
            self._backoff.reset()
