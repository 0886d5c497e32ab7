"""All faults, one after the other: `make faults`, `make faults FAULT=worker_killed ROUNDS=20`.

Each result is written to faults/results.json at once; docs/appendix/faults.md is made from that file.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import faults.made  # noqa: F401 (registers them)
from faults import HERE, page
from faults.fault import FAULTS, Fault, made
from faults.ground import Ground, own_ground
from faults.result import RESULTS, write


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *FAULTS], metavar="NAME", help=", ".join(FAULTS))
    parser.add_argument("--rounds", type=int, default=5, help="how often to make each fault")
    parser.add_argument("--seed", type=int, help="seed for the edits and moments; by default a new one each time")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE")
    parser.add_argument("--minutes", type=float, default=30, help="start no other fault after this time")
    given = parser.parse_args()
    chosen = [each for name, each in FAULTS.items() if name in given.names or not given.names]
    began = time.monotonic()
    failed, left = [], []
    with tempfile.TemporaryDirectory(prefix="penstock-faults-") as folder, own_ground(Path(folder)) as ground:
        for each in chosen:
            if time.monotonic() - began > given.minutes * 60:
                left.append(each.name)
            elif not _run(each, ground, given):
                failed.append(each.name)
    page.write_page(given.results)
    print(f"failed: {', '.join(failed) or 'none'}; not reached within the time: {', '.join(left) or 'none'}")
    return 1 if failed or left else 0


def _run(one: Fault, ground: Ground, given: argparse.Namespace) -> bool:
    """Make one fault; if it fails, the others are still made."""
    began = time.monotonic()
    try:
        result = made(one, ground, ground.folder, times=given.rounds, seed=given.seed)
    except Exception:  # noqa: BLE001 - printed, and counted as failed
        traceback.print_exc()
        return False
    result = replace(result, at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), commit=_commit())
    write(result, given.results)
    recovered = max(result.recovered_s, default=0.0)
    print(
        f"{one.name}: {result.times} times, lost {result.lost}, doubled {result.doubled}, resurrected"
        f" {result.resurrected}, {'' if result.balanced else 'NOT '}balanced, recovered in {recovered:.1f} s at most;"
        f" {time.monotonic() - began:.0f} s",
        flush=True,
    )
    if not result.kept:
        print(f"{one.name}: NOT KEPT: {result}", flush=True)
    return result.kept


def _commit() -> str:
    """Return the commit under test, with a plus if files differ from it."""
    head = _git("rev-parse", "--short=10", "HEAD")
    return (
        f"{head}+" if _git("status", "--porcelain", "--untracked-files=no", "--", "../src", "../faults/*.py") else head
    )


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
