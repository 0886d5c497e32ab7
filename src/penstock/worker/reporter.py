"""Reports the state of one pipeline, its lag and its counts to the metrics, to /healthz and to `status`."""

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from penstock.errors import LeaseLost
from penstock.model import Counts, Namespace, Position, seconds_of
from penstock.observe.health import Health
from penstock.observe.metrics import Metrics
from penstock.opensearch.state.load_state import LoadState
from penstock.opensearch.state.samples import Row

_OUTCOMES = ("written", "folded", "superseded", "filtered", "dead_lettered", "control")
_MOST_WRITES = 10_000
"""Batches of which the time is remembered until the next sample."""

_SILENT_S = 3.0
"""An idle source answers about once a second. After this time without an answer the lag grows."""


@dataclass
class Reporter:
    """The state of a pipeline; read and written by several threads."""

    pipeline: str
    metrics: Metrics
    health: Health | None = None
    collections: Sequence[Namespace] = ()
    state: Literal["standby", "loading", "live"] = "standby"
    lost: str = ""
    """The collections that are being loaded again because the position was lost."""
    loads: Mapping[str, LoadState] = field(default_factory=dict)
    """Those of the term that has begun last."""
    unfed: Set[str] = frozenset()
    """The collections that the worker for which this one stands by does not feed either."""
    share: Mapping[str, Mapping[int, int | None]] | None = None
    """Of a member of a consumer group: for each topic its partitions, and how many records each has to go; None where
    that is not known yet."""
    counts: Counts = field(default_factory=Counts)
    writes_per_s: Mapping[str, float] = field(default_factory=dict)
    """How much each index was written to lately, by its own count."""
    _lag_s: float = 0.0
    _source_time: tuple[int, float] | None = None
    """The source's clock in seconds, and when it was told (time.monotonic)."""
    _sampled: Counts = field(default_factory=Counts)
    _batches: int = 0
    _write_s: deque[float] = field(default_factory=lambda: deque(maxlen=_MOST_WRITES))
    _settled_at: float = field(default_factory=time.monotonic)
    _saves: float = 0.0
    _saved_at: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def settled(self, position: Position, counts: Counts) -> None:
        """Note that a batch of the stream is safe.

        Where the source says how far it has looked, that counts: an empty batch is not the end of what there is.
        """
        lag_s = float(position.behind_s)
        if counts.read and position.time and not position.source_time:
            lag_s = max(0.0, time.time() - seconds_of(position.time))
        with self._lock:
            self.counts.add(counts)
            self._lag_s, self._settled_at = lag_s, time.monotonic()
            self._batches += bool(counts.read)
            if position.source_time:
                self._source_time = seconds_of(position.source_time), self._settled_at

    def wrote(self, took_s: float) -> None:
        """Note how long a batch took from its reading until the index acknowledged it."""
        with self._lock:
            self._write_s.append(took_s)

    def sample(self) -> Row:
        """Return what there is to say of the time since this was asked last."""
        lag_s = self.lag_s()
        with self._lock:
            counts, sampled = asdict(self.counts), asdict(self._sampled)
            self._sampled = Counts(**counts)
            batches, self._batches = self._batches, 0
            write_s = sorted(self._write_s)
            self._write_s.clear()
            source = self._source_time
        ahead_s = None if source is None else source[0] + time.monotonic() - source[1] - time.time()
        return {
            "clock_s": ahead_s,
            "lag_s": lag_s,
            **{name: counts[name] - sampled[name] for name in _OUTCOMES},
            "batches": batches,
            "write_p50_ms": _quantile_ms(write_s, 0.5),
            "write_p99_ms": _quantile_ms(write_s, 0.99),
        }

    def lag_s(self) -> float:
        """Return how many seconds the index is behind the source; it grows while the source does not answer."""
        with self._lock:
            silent_s = time.monotonic() - self._settled_at
            return self._lag_s + (silent_s if silent_s > _SILENT_S else 0.0)

    def share_report(self) -> dict[str, Any] | None:
        """Return what `status` shows of this member of a consumer group; None for a pipeline without one."""
        if self.share is None:
            return None
        topics = {topic: {str(number): behind for number, behind in its.items()} for topic, its in self.share.items()}
        return {"topics": topics, "lag_s": round(self.lag_s(), 3)}

    def status(self) -> dict[str, Any]:
        """Return what the state document keeps for `status`."""
        lag_s = self.lag_s()
        with self._lock:
            return {
                "state": self.state,
                "lag_s": round(lag_s, 3),
                "counts": asdict(self.counts),
                "writes_per_s": dict(self.writes_per_s),
                "reported_at": time.time(),
            }

    def by_collection(self) -> dict[str, str]:
        """Return the state of each collection."""
        names = list(map(str, self.collections))
        if self.share is not None:
            return dict.fromkeys(names, self.state)
        if self.state == "standby":
            return {name: "not fed" if name in self.unfed else "standby" for name in names}
        with suppress(KeyError, LeaseLost):  # the term has just begun, or is about to end
            return {name: self.loads[name].phase for name in names}
        return dict.fromkeys(names, "loading")

    def report(self, *, silent_after_s: float = 30.0) -> None:
        """Report to the metrics and the health. Health is only updated after the source or the index has answered."""
        lag_s = self.lag_s()
        self.metrics.set("penstock_lag_seconds", lag_s, pipeline=self.pipeline)
        self._report_age()
        self._report_share()
        if self.health is None:
            return
        waiting = "the index accepts no writes at present" if self.metrics.value("penstock_waiting") else ""
        answered = time.monotonic() - self._settled_at < silent_after_s
        if self.state == "standby" and not waiting:
            self.health.standby(self.pipeline, collections=self.by_collection())
        elif waiting or answered:
            self.health.beat(
                self.pipeline,
                lag_s=lag_s,
                waiting_reason=waiting,
                loading=self.state != "live",  # who waits for an index that blocks its lease is not live either
                lost=self.lost,
                collections=self.by_collection(),
            )

    def _report_share(self) -> None:
        if self.share is None:
            return
        behind = [each for its in self.share.values() for each in its.values()]
        self.metrics.set("penstock_log_partitions", len(behind), pipeline=self.pipeline)
        self.metrics.set("penstock_log_lag_records", sum(each or 0 for each in behind), pipeline=self.pipeline)

    def _report_age(self) -> None:
        """Report how long ago a position was saved, once one was."""
        now, saves = time.monotonic(), self.metrics.value("penstock_checkpoints_total", pipeline=self.pipeline)
        if saves != self._saves:
            self._saves, self._saved_at = saves, now
        if self._saved_at is not None:
            self.metrics.set("penstock_checkpoint_age_seconds", now - self._saved_at, pipeline=self.pipeline)


def _quantile_ms(ordered: Sequence[float], share: float) -> float | None:
    """The value below which this share of them is, None without any."""
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
