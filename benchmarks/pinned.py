"""OpenSearch on one core, everything else on another: what penstock costs the source and itself, it cannot take from
the index, as on machines of their own.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock_tools.servers.platform import Platform


def can_pin() -> bool:
    """Whether this system can pin, and has two cores."""
    return hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1


@contextmanager
def pinned(platform: Platform) -> Iterator[None]:
    """Give OpenSearch the first core, and the second one to the source, this process and its children."""
    cores = os.sched_getaffinity(0)
    first, second = sorted(cores)[:2]
    index, rest = platform.opensearch.child.pid, (platform.source.child.pid, os.getpid())
    try:
        _pin(index, {first})
        for each in rest:
            _pin(each, {second})
        yield
    finally:
        for each in (index, *rest):
            _pin(each, cores)


def _pin(process: int, cores: set[int]) -> None:
    """Pin each thread of a process; repeat until none is new, because a thread starts with its creator's cores."""
    done: set[int] = set()
    while new := {int(each.name) for each in Path(f"/proc/{process}/task").iterdir()} - done:
        for thread in new:
            try:
                os.sched_setaffinity(thread, cores)
            except ProcessLookupError:  # it has ended in the meantime
                continue
        done |= new
