"""Who lives, judged by unchanged sequence numbers on the looker's own clock."""

import time
from dataclasses import dataclass, field

from penstock.opensearch.state.store import Stored
from penstock.operations.inspect.liveness import Heartbeats
from penstock.operations.status.workers import WorkerWatch
from penstock.runtime.intervals import INTERVALS


@dataclass
class Clock:
    """Monotonic time, which begins near 0 on a fresh machine."""

    now: float = 0.01

    def __call__(self) -> float:
        return self.now


@dataclass
class Site:
    """A worker that holds a lease, and somebody who looks each second; everything is as OpenSearch has it."""

    clock: Clock = field(default_factory=Clock)
    why_no_writes: str = ""
    seq_no: int = 0
    lease_seq_no: int = 0
    wall_ahead_s: float = 0.0
    probes: int = 0

    def __post_init__(self) -> None:
        self.watch = WorkerWatch(INTERVALS)
        self.watch._workers.now = self.watch._leases.now = self.clock

    def probe(self) -> str:
        self.probes += 1
        return self.why_no_writes

    @property
    def lease(self) -> dict:
        reported = time.time() + self.wall_ahead_s
        return {
            "name": "shop",
            "owner": "host/7/aaaa",
            "released": False,
            "lease_s": 15,
            "epoch": 1,
            "beat": self.lease_seq_no,
            "status": {"reported_at": reported},
        }

    def look(self, *, writes: bool, took_s: float = 0.01) -> None:
        self.clock.now += 1.0
        self.seq_no += writes
        self.lease_seq_no += writes
        worker = {
            "host": "host",
            "pid": 7,
            "pipelines": {"shop": "live"},
            "waiting": "",
            "memory_bytes": 1,
            "cpu": 0.1,
            "started_at": 0.0,
            "version": "1",
        }
        workers = {"host/7/bbbb": Stored(worker, self.seq_no, 1)}
        self.watch.saw(workers, {"pipeline/shop": Stored(self.lease, self.lease_seq_no, 1)}, self.probe, took_s=took_s)

    @property
    def state(self) -> str:
        (worker,) = self.watch.workers()
        return worker.state

    @property
    def runs(self) -> bool:
        return self.watch.is_running("pipeline/shop", self.lease)


def test_who_is_killed_is_silent_within_five_seconds_of_looks_each_second():
    site = Site()
    for _ in range(3):
        site.look(writes=True)
    assert (site.state, site.runs) == ("alive", True)
    for _ in range(4):
        site.look(writes=False)
    assert (site.state, site.runs) == ("silent", False)


def test_who_is_a_little_late_is_not_silent():
    site = Site()
    for number in range(20):
        site.look(writes=number % 3 == 0)
        assert site.runs
    assert site.state == "alive"


def test_no_wall_clock_is_compared():
    """A report of an hour ahead is of a machine whose clock is wrong, or of a killed one."""
    for ahead_s in (-3600.0, 3600.0):
        site = Site(wall_ahead_s=ahead_s)
        for _ in range(3):
            site.look(writes=True)
        assert (site.state, site.runs) == ("alive", True)
        for _ in range(4):
            site.look(writes=False)
        assert (site.state, site.runs) == ("silent", False)


def test_nobody_is_silent_while_the_index_takes_no_writes():
    site = Site(why_no_writes="blocked by: [FORBIDDEN/12/index read-only / allow delete (api)]")
    for _ in range(3):
        site.look(writes=True)
    for _ in range(10):
        site.look(writes=False)
        assert site.runs
        assert site.state != "silent"
    assert "read-only" in site.watch.slow
    site.why_no_writes = ""
    site.look(writes=True)
    assert (site.state, site.watch.slow) == ("alive", "")


def test_the_probe_is_sent_only_when_somebody_is_silent():
    site = Site()
    for _ in range(3):
        site.look(writes=True)
    for _ in range(2):
        site.look(writes=False)
    assert site.probes == 0
    site.look(writes=False)
    assert site.probes == 1


def test_nobody_is_silent_while_the_index_is_slow_or_away():
    site = Site()
    for _ in range(3):
        site.look(writes=True)
    for _ in range(10):
        site.look(writes=False, took_s=4.0)
        assert site.state != "silent"
    assert "4.0 s" in site.watch.slow
    for _ in range(10):
        site.clock.now += 1
        site.watch.missed("no answer")
    site.look(writes=False)
    assert site.state == "unknown"
    assert site.watch.slow == ""


def test_who_was_found_gone_stays_so_until_it_writes_again():
    """However slow OpenSearch becomes, or whatever keeps it from taking writes, in the meantime."""
    site = Site()
    for _ in range(3):
        site.look(writes=True)
    for _ in range(4):
        site.look(writes=False)
    site.look(writes=False, took_s=4.0)
    assert (site.state, site.runs) == ("silent", False)
    site.why_no_writes = "blocked"
    site.watch.missed("no answer")
    site.look(writes=False)
    assert (site.state, site.runs) == ("silent", False)
    site.why_no_writes = ""
    site.look(writes=True)
    assert (site.state, site.runs) == ("alive", True)


def test_a_pause_between_two_looks_is_not_the_workers_silence():
    """The looker slept, or nobody had the page open, while OpenSearch was away."""
    site = Site()
    for _ in range(3):
        site.look(writes=True)
    site.clock.now += 600
    site.look(writes=False)
    assert site.state == "alive"


def test_a_lease_without_signs_of_life_is_judged_by_its_time():
    """A worker of an earlier version, or `penstock load`, writes no signs of life."""
    beats = Heartbeats(1.5, Clock())
    beats.saw({"a": 1})
    beats.now.now += 1
    beats.saw({"a": 1})
    assert beats.silent_s("a") == 1.0
    beats.now.now += 1
    beats.saw({"a": 2})
    assert (beats.silent_s("a"), beats.was_heard("a")) == (0.0, True)
