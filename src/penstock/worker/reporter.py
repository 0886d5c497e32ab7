"""How one pipeline stands: its lag, its counts, its health; told to the metrics, /healthz and `status`."""

import threading
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from penstock.model import Counts, Position, seconds_of
from penstock.observe.health import Health
from penstock.observe.metrics import Metrics

_SILENT_S = 3.0
"""An idle source answers about once a second; after so long without an answer the lag is counted on."""


@dataclass
class Reporter:
    """What a pipeline last reported; read and written by several threads."""

    pipeline: str
    metrics: Metrics
    health: Health | None = None
    state: Literal["standby", "loading", "live"] = "standby"
    lost: str = ""
    """The collections that are loaded anew because the position was lost."""
    counts: Counts = field(default_factory=Counts)
    _lag_s: float = 0.0
    _settled_at: float = field(default_factory=time.monotonic)
    _saves: float = 0.0
    _saved_at: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def settled(self, position: Position, counts: Counts) -> None:
        """Report that a batch of the stream is safe. An empty one means that the source has nothing more."""
        lag_s = max(0.0, time.time() - seconds_of(position.time)) if counts.read and position.time else 0.0
        with self._lock:
            self.counts.add(counts)
            self._lag_s, self._settled_at = lag_s, time.monotonic()

    def lag_s(self) -> float:
        """Seconds that the index is behind the source; it grows while nothing is heard."""
        with self._lock:
            silent_s = time.monotonic() - self._settled_at
            return self._lag_s + (silent_s if silent_s > _SILENT_S else 0.0)

    def report(self) -> dict[str, Any]:
        """What the state document keeps for `status`."""
        lag_s = self.lag_s()
        with self._lock:
            return {
                "state": self.state,
                "lag_s": round(lag_s, 3),
                "counts": asdict(self.counts),
                "reported_at": time.time(),
            }

    def tell(self, *, silent_after_s: float = 30.0) -> None:
        """Pass on how it stands; nothing is passed to the health when neither source nor index was heard of."""
        lag_s = self.lag_s()
        self.metrics.set("penstock_lag_seconds", lag_s, pipeline=self.pipeline)
        self._tell_age()
        if self.health is None:
            return
        waiting = "the index accepts nothing at present" if self.metrics.value("penstock_waiting") else ""
        heard = time.monotonic() - self._settled_at < silent_after_s
        if self.state == "standby" and not waiting:
            self.health.standby(self.pipeline)
        elif waiting or heard:
            loading = self.state == "loading"
            self.health.beat(self.pipeline, lag_s=lag_s, waiting_reason=waiting, loading=loading, lost=self.lost)

    def _tell_age(self) -> None:
        """Tell how long ago a position was saved, once one was."""
        now, saves = time.monotonic(), self.metrics.value("penstock_checkpoints_total", pipeline=self.pipeline)
        if saves != self._saves:
            self._saves, self._saved_at = saves, now
        if self._saved_at is not None:
            self.metrics.set("penstock_checkpoint_age_seconds", now - self._saved_at, pipeline=self.pipeline)
