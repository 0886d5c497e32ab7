"""How a capture stands, for the metrics and the health."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import structlog

from penstock.model import Position, seconds_of
from penstock.observe.health import Health
from penstock.observe.metrics import Metrics

log = structlog.get_logger(__name__)

_SILENT_S = 3.0
"""An idle source answers about once a second. After this time without an answer the lag grows."""
_SAYS_NOTHING_S = 30.0
"""After this time without an answer the health hears nothing either, and finds out by itself."""


@dataclass
class CaptureReport:
    """Written by the thread that captures, read by the one that reports."""

    name: str
    metrics: Metrics
    health: Health | None = None
    state: Literal["standby", "live"] = "standby"
    _refused: set[str] = field(default_factory=set)
    _lag_s: float = 0.0
    _marked: int = 0
    _answered_at: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self, state: Literal["standby", "live"]) -> None:
        """Note whether this process captures, or stands by."""
        self.state = state
        self.metrics.set("penstock_capture_leading", float(state == "live"), capture=self.name)

    def refused(self, reasons: Mapping[str, str]) -> None:
        """Say once of each collection why it cannot be captured although it matches a pattern."""
        for collection in reasons.keys() - self._refused:
            self._refused.add(collection)
            log.error(
                "collection matches a pattern but cannot be captured", collection=collection, reason=reasons[collection]
            )

    def reached(self, position: Position, *, changes: bool) -> None:
        """Note that the log holds everything before the position; `changes`: it is that of a change."""
        lag_s = float(position.behind_s)
        if changes and position.time and not position.source_time:
            lag_s = max(0.0, time.time() - seconds_of(position.time))
        with self._lock:
            self._lag_s, self._answered_at = lag_s, time.monotonic()

    def marked(self, position: Position) -> None:
        """Note that the newest mark is that of the position."""
        with self._lock:
            self._marked = position.time

    def sign(self) -> dict[str, Any]:
        """Return what the sign of life of this process says of the capture."""
        _, lag_s = self._now()
        return {"state": self.state, "lag_s": round(lag_s, 3), "time": self._marked}

    def _now(self) -> tuple[float, float]:
        """For how long the source has not answered, and the lag, which grows then."""
        with self._lock:
            silent_s, lag_s = time.monotonic() - self._answered_at, self._lag_s
        return silent_s, lag_s + (silent_s if silent_s > _SILENT_S else 0.0)

    def report(self) -> None:
        """Report to the metrics and the health."""
        silent_s, lag_s = self._now()
        if self.state == "live":
            self.metrics.set("penstock_capture_lag_seconds", lag_s, capture=self.name)
        if self.health is None:
            return
        if self.state == "standby":
            self.health.standby(self.pipeline)
        elif silent_s < _SAYS_NOTHING_S:
            self.health.beat(self.pipeline, lag_s=lag_s)

    @property
    def pipeline(self) -> str:
        """Its name among the pipelines."""
        return f"capture/{self.name}"
