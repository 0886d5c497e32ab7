"""What a load or a verify reports while it runs, and what a load returns in the end."""

import resource
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from penstock.model import Counts

if TYPE_CHECKING:  # the command line imports this, and no driver
    from penstock.opensearch.read.ignored import IgnoredValues


class Progress(Protocol):
    """Receives the progress of a load or a verify, from several threads."""

    def started(self, namespace: str, total: int | None) -> None:
        """The work on a collection began, or goes on; `total` is an estimate of what is left."""

    def advanced(self, namespace: str, documents: int) -> None:
        """`documents` more are done: in the index, or compared."""

    def finished(self, namespace: str) -> None:
        """The collection is done."""


class NoProgress:
    """Ignores the progress."""

    def started(self, namespace: str, total: int | None) -> None:
        """See Progress."""

    def advanced(self, namespace: str, documents: int) -> None:
        """See Progress."""

    def finished(self, namespace: str) -> None:
        """See Progress."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What the load of one collection did and cost; CPU and memory are the whole process's in that time.

    `ignored` is what the index then has of values that it does not search by, None where that is not known. `ranges`:
    how many there were, where several processes shared them; 0 where one process did it all.
    """

    namespace: str
    documents: int
    seconds: float
    cpu_s: float
    peak_memory_bytes: int
    counts: Counts
    ignored: "IgnoredValues | None" = None
    ranges: int = 0


def peak_memory_bytes() -> int:
    """Return the most memory that this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
