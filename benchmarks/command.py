"""The command line `penstock` as users run it; at its end it notes its memory and CPU.

    python benchmarks/command.py [--watched] load bench.orders NOTES

With --watched it notes for each write when the sink had its outcome.
"""

import re
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

import penstock.cli
from penstock.model import Outcome, Write
from penstock.opensearch.write.sink import OpenSearchSink
from penstock.worker import worker
from penstock.worker.progress import LoadResult


def peak_bytes() -> int:
    """Return the peak resident memory of this process. Not `ru_maxrss`, which starts with the parent's memory."""
    found = re.search(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found.group(1)) * 1024 if found else 0


class Writes:
    """What the sink was given from now on: how many writes, from the first one's begin to the last one's outcome."""

    def __init__(self, *, each: bool) -> None:
        self.count = 0
        self.began: float | None = None
        self.ended: float | None = None
        self._each = each
        self._noted: list[tuple[float, list[str]]] = []
        self._noting = threading.Lock()
        write = OpenSearchSink.write

        def watched(sink: OpenSearchSink, writes: Sequence[Write], **more: Any) -> list[Outcome]:
            self.began = time.monotonic() if self.began is None else self.began
            outcomes = write(sink, writes, **more)
            self._note(writes, time.monotonic())
            return outcomes

        OpenSearchSink.write = watched  # type: ignore[method-assign]

    def _note(self, writes: Sequence[Write], at: float) -> None:
        with self._noting:
            self.count += len(writes)
            self.ended = at
            if self._each:
                self._noted.append((at, [each.id for each in writes]))

    @property
    def seconds(self) -> float:
        """From the first one's begin to the last one's outcome."""
        return 0.0 if self.began is None or self.ended is None else self.ended - self.began

    def acknowledged(self) -> dict[str, float]:
        """When each document was acknowledged first."""
        return {text_id: at for at, ids in reversed(self._noted) for text_id in ids}


def watch_loads() -> list[dict[str, Any]]:
    """From now on, note what each load did."""
    noted: list[dict[str, Any]] = []
    load = worker.load

    def watched(*arguments: Any, **more: Any) -> list[LoadResult]:
        results = load(*arguments, **more)
        noted.extend({"documents": each.documents, "seconds": each.seconds} for each in results)
        return results

    worker.load = watched
    return noted


def main() -> None:
    *arguments, notes = sys.argv[1:]
    writes, loads = Writes(each="--watched" in arguments), watch_loads()
    sys.argv = ["penstock", *(each for each in arguments if each != "--watched")]
    try:
        penstock.cli.main()
    finally:
        noted = {
            "peak_bytes": peak_bytes(),
            "cpu_s": time.process_time(),
            "loads": loads,
            "writes": writes.count,
            "writing_s": writes.seconds,
            "acknowledged": writes.acknowledged(),
        }
        Path(notes).write_bytes(orjson.dumps(noted))


if __name__ == "__main__":
    main()
