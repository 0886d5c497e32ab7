"""The worker processes, and whether each is alive: by its signs of life, on the looker's own clock."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from penstock.opensearch.state.ids import worker_id
from penstock.opensearch.state.store import StateDocument, Stored
from penstock.operations.inspect.liveness import Heartbeats, reported_lately
from penstock.runtime.intervals import Intervals

_SLOW_S = 1.0
"""A look that took longer says nothing about who is silent."""


@dataclass(frozen=True)
class WorkerStatus:
    """One worker process; None is what is not known.

    `state` is alive, silent (it has given no sign of life for `silent_s`, although it could have), or unknown (it was
    not watched for long enough yet). `pipelines` has for each pipeline and reaction of it standby, loading, live,
    stopped or failed. `cpu` is the share of one core that it used lately.
    """

    name: str
    host: str
    pid: int
    state: Literal["alive", "silent", "unknown"]
    silent_s: float
    pipelines: Mapping[str, str]
    waiting: str
    memory_bytes: int | None
    cpu: float | None
    started_at: float
    version: str


@dataclass
class WorkerWatch:
    """Judges worker processes, and the holders of leases, from one look to the next.

    Nobody counts as silent while OpenSearch is away, slow, or takes no writes: `slow` says so instead.
    """

    intervals: Intervals
    slow: str = ""
    _workers: Heartbeats = field(init=False)
    _leases: Heartbeats = field(init=False)
    _seen: Mapping[str, StateDocument] = field(default_factory=dict)
    _places: dict[str, Hashable] = field(default_factory=dict)
    """Where what each worker and each holder wrote last stands, by the worker's name and the lease's id."""
    _gone: dict[str, Hashable] = field(default_factory=dict)
    """Those that were found to be gone: they stay so until they write again."""
    _gone_at: dict[str, float] = field(default_factory=dict)
    """When a worker was found to be gone, by the looker's clock."""

    def __post_init__(self) -> None:
        gap_s = self.intervals.silent_s / 2
        self._workers, self._leases = Heartbeats(gap_s), Heartbeats(gap_s)

    def saw(
        self,
        workers: Mapping[str, Stored],
        pipelines: Mapping[str, Stored],
        why_no_writes: Callable[[], str],
        *,
        took_s: float,
    ) -> None:
        """Take a look's documents of workers by name, and of pipelines by id.

        `why_no_writes` is asked before a silence counts: who cannot write is not gone.
        """
        if took_s > _SLOW_S:
            self.missed(f"it took {took_s:.1f} s to answer")
        self._seen = {name: each.document for name, each in workers.items()}
        places = {name: (each.seq_no, each.primary_term) for name, each in workers.items()}
        leases = {name: (each.seq_no, each.primary_term) for name, each in pipelines.items()}
        self._places = {**places, **leases}
        self._gone = {name: place for name, place in self._gone.items() if self._places.get(name) == place}
        self._gone_at = {name: at for name, at in self._gone_at.items() if name in self._gone}
        self._workers.saw(places)
        self._leases.saw(leases)
        if took_s > _SLOW_S:
            return
        doubtful = self.slow or any(self.is_silent(name) for name in workers if name not in self._gone)
        reason = why_no_writes() if doubtful else ""
        if reason:
            self.missed(reason)
            return
        self.slow = ""
        for name in filter(self.is_silent, workers):
            self._gone[name] = places[name]
            self._gone_at.setdefault(name, self._workers.now())
        for state_id, each in pipelines.items():
            if not each.document["released"] and self._has_gone(state_id, each.document):
                self._gone[state_id] = leases[state_id]

    def missed(self, reason: str) -> None:
        """Note that a look was not answered, and why: all silence begins again."""
        self.slow = reason
        self._workers.missed()
        self._leases.missed()

    def workers(self) -> list[WorkerStatus]:
        """Return the processes of the last look."""
        return [self._status(name, document) for name, document in sorted(self._seen.items())]

    def is_running(self, state_id: str, document: StateDocument) -> bool:
        """Whether the holder of a lease is there, by the lease's document as it was seen last."""
        if document["released"] or state_id in self._gone:
            return False
        known = self._processes_of(document)
        held = any(self._seen[name]["pipelines"].get(document["name"], "standby") != "standby" for name in known)
        return held or self._leases.was_heard(state_id) or reported_lately(document)

    def _has_gone(self, state_id: str, document: StateDocument) -> bool:
        """Whether the holder gives no sign of life, or has let its lease run out."""
        known = self._processes_of(document)
        if known and all(map(self.is_silent, known)):
            return True
        return self._leases.silent_s(state_id) >= float(document["lease_s"])

    def _processes_of(self, document: StateDocument) -> list[str]:
        """The processes that may be the holder: a name is used again after a restart in the same container."""
        owner = document["owner"].rpartition("/")[0]
        return [name for name in self._seen if name.rpartition("/")[0] == owner]

    def is_silent(self, name: str) -> bool:
        """Whether a process gives no sign of life."""
        return name in self._gone or self._workers.silent_s(name) >= self.intervals.silent_s

    def _silent_s(self, name: str) -> float:
        if name in self._gone_at:
            return self.intervals.silent_s + self._workers.now() - self._gone_at[name]
        return self._workers.silent_s(name)

    def _status(self, name: str, document: StateDocument) -> WorkerStatus:
        heard = self._workers.was_heard(name)
        return WorkerStatus(
            name=name,
            host=document["host"],
            pid=document["pid"],
            state="silent" if self.is_silent(name) else "alive" if heard else "unknown",
            silent_s=round(self._silent_s(name), 1),
            pipelines=document["pipelines"],
            waiting=document["waiting"],
            memory_bytes=document["memory_bytes"],
            cpu=document["cpu"],
            started_at=document["started_at"],
            version=document["version"],
        )


def workers_among(states: Mapping[str, Stored], names: list[str]) -> dict[str, Stored]:
    """Return the documents of these processes, by name."""
    return {name: states[worker_id(name)] for name in names if worker_id(name) in states}
