"""Keeps the history of a pipeline or a reaction while its lease is held: a row of numbers every ten seconds.

One thread takes the rows, and never waits for anything; another one writes them, and asks what takes a while. While the
index is away rows are kept in memory, and written once it is back.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from penstock.errors import SettingsError, SinkUnavailable, SystemicFault
from penstock.opensearch.state.samples import Row, SampleRing
from penstock.opensearch.state.store import Conflict
from penstock.runtime.intervals import Intervals
from penstock.runtime.process import ProcessorShare, memory_bytes

log = structlog.get_logger(__name__)

_MB = 1024 * 1024


@dataclass
class Sampler:
    """`take` returns what there is to say of the time since it was last asked; `look` what takes a while to find out.

    What `look` found counts until it finds something else, or nothing answers.
    """

    ring: SampleRing
    take: Callable[[], Row]
    look: Callable[[], Row]
    intervals: Intervals
    _seen: Mapping[str, float | None] = field(default_factory=dict)
    _cpu: ProcessorShare = field(default_factory=ProcessorShare)

    def keep_taking(self, ending: threading.Event) -> None:
        """Take a row from time to time, until the term ends."""
        self.take()
        taken_at = time.monotonic()
        while not ending.wait(self.intervals.sample_s):
            now = time.monotonic()
            memory = memory_bytes()
            row = {
                "at": time.time(),
                "for_s": now - taken_at,
                **self.take(),
                **self._seen,
                "memory_mb": None if memory is None else memory / _MB,
                "cpu": self._cpu.take(),
            }
            self.ring.add(row)
            taken_at = now

    def keep_writing(self, ending: threading.Event) -> None:
        """Write the rows as they come, until the term ends."""
        while not ending.wait(self.intervals.sample_s):
            try:
                self.ring.write()
                self._seen = self.look()
            except (SinkUnavailable, SystemicFault, SettingsError, Conflict) as error:
                self._seen = {}
                log.debug("samples are written later", reason=str(error))
