"""All benchmarks, one after the other, each in a process of its own: `make bench`, `make bench-all`.

    .venv/bin/python -m benchmarks              items 1 to 4, with fewer documents: about ten minutes
    .venv/bin/python -m benchmarks --all        all items at their full sizes: up to two hours
    .venv/bin/python -m benchmarks --all load growth

Each writes benchmarks/results/NAME.json, unless it fails or finds index and source different;
docs/appendix/benchmarks.md is made from these files at the end.
"""

import argparse
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import page
from benchmarks.results import GOAL_COLUMNS, RESULTS, goal_rows, read
from penstock_tools.servers.platform import terminated_like_interrupted

_ENDS_WITHIN_S = 60


@dataclass(frozen=True)
class Benchmark:
    """A script, the flags that make it shorter (none: it is only part of --all), and how long it may take."""

    name: str
    short: tuple[str, ...] | None
    short_s: int
    full_s: int


BENCHMARKS = (
    Benchmark("load", ("--documents=30000",), 300, 1500),
    Benchmark("catch_up", ("--changes=30000",), 240, 1200),
    Benchmark("latency", ("--seconds=2",), 240, 900),
    Benchmark("lambda_calls", ("--events=1000",), 180, 300),
    Benchmark("cost", None, 0, 900),
    Benchmark("growth", None, 0, 2400),
    Benchmark("verify", None, 0, 900),
    Benchmark("capture", None, 0, 1200),
    Benchmark("apply", None, 0, 1800),
    Benchmark("log_latency", None, 0, 900),
    Benchmark("log_memory", None, 0, 1800),
    Benchmark("shared_load", None, 0, 1800),
)


def run(benchmark: Benchmark, folder: Path, *, full: bool) -> str:
    """Run one to its end; return why it has no figures, or nothing if it has."""
    limit_s = benchmark.full_s if full else benchmark.short_s
    flags = () if full else benchmark.short or ()
    command = [sys.executable, "-m", f"benchmarks.{benchmark.name}", f"--results={folder}", *flags]
    process = subprocess.Popen(command, start_new_session=True)  # so that Ctrl-C reaches it once, through us
    try:
        code = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        return f"not done within {limit_s} s"
    finally:
        _end(process)
    return f"ended with exit code {code}" if code else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let it stop its servers, if it still runs."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> int:
    with terminated_like_interrupted():
        try:
            return run_all()
        except KeyboardInterrupt:
            print("\nstopped; what was measured before stays", file=sys.stderr)
            return 130


def run_all() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="all items, at their full sizes")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER", help="where the figures go")
    parser.add_argument("names", nargs="*", choices=[[], *(each.name for each in BENCHMARKS)], metavar="NAME")
    given = parser.parse_args()
    asked = [each for each in BENCHMARKS if each.name in given.names or not given.names]
    chosen = [each for each in asked if given.all or each.short is not None]
    failed: dict[str, str] = {}
    console = Console()
    for number, each in enumerate(chosen, 1):
        limit_min = (each.full_s if given.all else each.short_s) / 60
        console.rule(f"{number} of {len(chosen)}: {each.name}, at most {limit_min:.0f} minutes")
        began = time.monotonic()
        if reason := run(each, given.results, full=given.all):
            failed[each.name] = reason
        console.print(f"{each.name}: {reason or 'done'} after {time.monotonic() - began:.0f} s")
    summary(console, given.results, chosen, failed)
    if given.results == RESULTS:
        page.write()
        console.print("written: docs/appendix/benchmarks.md")
    return 1 if failed else 0


def summary(console: Console, folder: Path, chosen: list[Benchmark], failed: dict[str, str]) -> None:
    """All figures that have a goal, and what failed."""
    table = Table(*GOAL_COLUMNS, title="figures that have a goal")
    for each in chosen:
        item = None if each.name in failed else read(folder, each.name)
        for section in item.sections if item else ():
            for row in goal_rows([goal for goal in section.goals if goal.wanted]):
                table.add_row(f"{section.title}: {row[0]}", *row[1:])
    console.print(table)
    for name, reason in failed.items():
        console.print(f"[red]{name} has no figures: {reason}")


if __name__ == "__main__":
    sys.exit(main())
