"""The command line `penstock` as users run it; at its end it notes its memory and CPU.

    python benchmarks/command.py [--watched] load bench.orders NOTES

With --watched it notes for each write when the sink had its outcome: the one thing added to what penstock does.
"""

import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

import penstock.cli
from penstock.change import Outcome, Write
from penstock.opensearch.sink import OpenSearchSink
from penstock.operations import worker
from penstock.operations.progress import LoadResult


def peak_bytes() -> int:
    """The most memory this process had resident. Not `ru_maxrss`: that begins with what the parent process had."""
    found = re.search(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found.group(1)) * 1024 if found else 0


def watch_writes() -> list[tuple[float, list[str]]]:
    """Note from now on the time at which writes were answered, with their ids."""
    noted: list[tuple[float, list[str]]] = []
    write = OpenSearchSink.write

    def watched(sink: OpenSearchSink, writes: Sequence[Write], **more: Any) -> list[Outcome]:
        outcomes = write(sink, writes, **more)
        noted.append((time.monotonic(), [each.id for each in writes]))
        return outcomes

    OpenSearchSink.write = watched  # type: ignore[method-assign]
    return noted


def watch_loads() -> list[dict[str, Any]]:
    """Note from now on what each load did."""
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
    noted = watch_writes() if "--watched" in arguments else []
    loads = watch_loads()
    sys.argv = ["penstock", *(each for each in arguments if each != "--watched")]
    try:
        penstock.cli.main()
    finally:
        acknowledged: dict[str, float] = {}
        for at, ids in noted:
            for each in ids:
                acknowledged.setdefault(each, at)
        told = {"peak_bytes": peak_bytes(), "cpu_s": time.process_time(), "loads": loads, "acknowledged": acknowledged}
        Path(notes).write_bytes(orjson.dumps(told))


if __name__ == "__main__":
    main()
