"""What several processes of one command report, as one: /metrics and /healthz of the process that started them."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from penstock.observe.health import STALLED_AFTER_S
from penstock.observe.metrics import Metrics

_LABEL = "process"
_PARENT = "parent"


class ProcessReport(NamedTuple):
    """What one process says of itself: what its /healthz would answer, and its metrics."""

    health: Mapping[str, Any]
    families: Sequence[Metric]

    @classmethod
    def of(cls, health: Mapping[str, Any], metrics: Metrics) -> "ProcessReport":
        """Return the report of this process."""
        return cls(health, list(metrics.registry.collect()))


@dataclass
class ProcessReports:
    """The newest report of each process, by its number; `metrics` are those of the process that started them."""

    metrics: Metrics
    now: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _reports: dict[int, tuple[float, ProcessReport]] = field(default_factory=dict)
    _problems: dict[int, str] = field(default_factory=dict)

    def heard(self, process: int, report: ProcessReport) -> None:
        """Take the report of a process."""
        with self._lock:
            self._reports[process] = self.now(), report
            self._problems[process] = ""

    def gone(self, process: int, problem: str) -> None:
        """Note why there is nothing to report of a process."""
        with self._lock:
            self._reports.pop(process, None)
            self._problems[process] = problem

    def health(self) -> dict[str, Any]:
        """Return what each process says of its health; all together are healthy when each one is."""
        with self._lock:
            reports, problems = dict(self._reports), dict(self._problems)
        found = {str(process): self._judged(reports.get(process), problems[process]) for process in sorted(problems)}
        return {"healthy": bool(found) and all(each["healthy"] for each in found.values()), "processes": found}

    def _judged(self, known: tuple[float, ProcessReport] | None, problem: str) -> dict[str, Any]:
        if known is None:
            return {"healthy": False, "problem": problem}
        heard_at, report = known
        if (silent_s := self.now() - heard_at) > STALLED_AFTER_S:
            return {**report.health, "healthy": False, "problem": f"no report for {silent_s:.0f} s"}
        return dict(report.health)

    def exposition(self) -> bytes:
        """Return the metrics of all for Prometheus; the label `process` says whose a series is."""
        with self._lock:
            reports = {str(process): report.families for process, (_, report) in sorted(self._reports.items())}
        reports[_PARENT] = list(self.metrics.registry.collect())
        return generate_latest(_Merged(reports))


@dataclass(frozen=True)
class _Merged(Collector):
    reports: Mapping[str, Sequence[Metric]]

    def collect(self) -> Iterable[Metric]:
        """Return one family for all that have its name."""
        merged: dict[str, Metric] = {}
        for process, families in self.reports.items():
            for each in families:
                family = merged.setdefault(each.name, Metric(each.name, each.documentation, each.type, each.unit))
                family.samples += [
                    sample._replace(labels={_LABEL: process, **sample.labels}) for sample in each.samples
                ]
        return merged.values()
