"""Verify: documents a second, and the peak memory of its process, which must not grow with the collection.

    .venv/bin/python benchmarks/verify.py [--documents 200000 1000000]

Each collection is filled and loaded, and then verified by the command in a process of its own, which must find it
equal. Both directions are in the time. One verify of the smallest is thrown away: it warms the servers up.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import structlog
from ground import DB, Ground, generated, ground
from rich.console import Console
from rich.table import Table

from penstock.garbage import collect_rarely
from penstock.local.platform import Platform
from penstock.metrics import Metrics
from penstock.operations import worker
from penstock.operations.progress import NoProgress

PENSTOCK = [sys.executable, "-c", "from penstock.cli import main; main()"]
GOAL = 1.2
"""The most that the memory for the largest collection may be of that for the smallest."""


def loaded(at: Ground, documents: int) -> str:
    """Fill a collection and load it; answers its name."""
    name = f"of-{documents}"
    at.fill(name, generated(documents))
    only = frozenset({f"{DB}.{name}"})
    settings = at.settings([name])
    worker.load(settings, stop=threading.Event(), metrics=Metrics(), progress=NoProgress(), only=only)
    return name


def verified(at: Ground, name: str, folder: Path) -> dict[str, Any]:
    """Verify a collection in a process; answers what it printed of it."""
    (folder / "penstock.toml").write_text(
        f'[source]\nuri = "{at.source_uri}"\n[sink]\nurl = "{at.sink_url}"\n[observe]\nlog_level = "warning"\n'
        f'[[collections]]\nnamespace = "{DB}.{name}"\nindex = "{name}"\nreplicas = 0\n'
    )
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PENSTOCK_")}
    command = [*PENSTOCK, "verify", "--json"]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} is not equal, so there are no figures: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def show(results: list[dict[str, Any]]) -> None:
    table = Table("documents", "seconds", "documents/s", "peak memory, MiB", title="verify of equal collections")
    for each in results:
        rate, memory = f"{each['documents_per_s']:,.0f}", f"{each['peak_memory_bytes'] / 2**20:,.1f}"
        table.add_row(f"{each['documents']:,}", f"{each['seconds']:.1f}", rate, memory)
    console = Console()
    console.print(table)
    ratio = results[-1]["peak_memory_bytes"] / results[0]["peak_memory_bytes"]
    console.print(f"  memory, largest / smallest collection: {ratio:.2f} (goal: at most {GOAL})")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--documents", type=int, nargs="+", default=[200_000, 1_000_000])
    given = arguments.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    collect_rarely()
    results = []
    with tempfile.TemporaryDirectory() as folder, Platform(heap="1g") as platform, ground(platform) as at:
        for number, documents in enumerate(sorted(given.documents)):
            name = loaded(at, documents)
            if not number:
                verified(at, name, Path(folder))
            results.append(verified(at, name, Path(folder)))
    show(results)


if __name__ == "__main__":
    main()
