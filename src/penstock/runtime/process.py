"""What this process uses: memory and processor time."""

import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_STATM = Path("/proc/self/statm")


def memory_bytes() -> int | None:
    """Return the memory that the process holds now (resident); None where only Linux would tell."""
    with suppress(OSError):
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None


@dataclass
class ProcessorShare:
    """How much of one core the process has used since it was last asked."""

    _asked_at: float = field(default_factory=time.monotonic)
    _used_s: float = field(default_factory=time.process_time)

    def take(self) -> float:
        """Return the share: 1.0 is one whole core."""
        now, used_s = time.monotonic(), time.process_time()
        share = (used_s - self._used_s) / max(now - self._asked_at, sys.float_info.epsilon)
        self._asked_at, self._used_s = now, used_s
        return share
