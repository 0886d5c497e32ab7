"""What a benchmark found: tables, and the figures that have a goal; on the terminal, as JSON, and read back."""

import json
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"

Cell = str | float | None


@dataclass(frozen=True)
class Goal:
    """A figure with a goal: at least, or at most. `low` and `high` are its spread over the rounds."""

    measure: str
    value: float
    low: float
    high: float
    least: float | None = None
    most: float | None = None
    unit: str = ""

    @property
    def reached(self) -> bool:
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    @property
    def told(self) -> str:
        """The value as text; with more digits if the usual ones would make a missed goal look reached."""
        just_missed = not self.reached and shown(self.value) in (shown(self.least), shown(self.most))
        return f"{self.value:.4g}{self.unit}" if just_missed else f"{shown(self.value)}{self.unit}"

    @property
    def wanted(self) -> str:
        if self.least is None and self.most is None:
            return ""
        word, goal = ("at least", self.least) if self.most is None else ("at most", self.most)
        return f"{word} {shown(goal)}{self.unit}"

    @property
    def verdict(self) -> str:
        if not self.wanted:
            return ""
        return "reached" if self.reached else "missed"


@dataclass(frozen=True)
class Section:
    """One table of an item. `raw` keeps the rounds behind its medians."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    goals: Sequence[Goal] = ()
    notes: Sequence[str] = ()
    raw: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Item:
    """One benchmark's file: what was found, where and when, and with which sizes."""

    name: str
    sizes: dict[str, Any]
    machine: dict[str, str]
    at: str
    commit: str
    sections: Sequence[Section]


def shown(value: Cell) -> str:
    """Return a cell as people read it."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def spread(low: float, high: float) -> str:
    """Return `1,200 to 1,300`."""
    return f"{shown(low)} to {shown(high)}"


def goal_rows(goals: Sequence[Goal]) -> list[list[str]]:
    """Goals as rows of a table."""
    return [[each.measure, each.told, spread(each.low, each.high), each.wanted, each.verdict] for each in goals]


GOAL_COLUMNS = ("measure", "median", "spread", "goal", "")


def write(folder: Path, item: Item) -> None:
    """Replace the item's file; a reader sees the old one or the new one."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f".{item.name}.json"
    unfinished.write_text(json.dumps(asdict(item), indent=1) + "\n", encoding="utf-8")
    unfinished.replace(folder / f"{item.name}.json")


def read(folder: Path, name: str) -> Item | None:
    """Return an item as it was written, or None if it was never measured."""
    file = folder / f"{name}.json"
    if not file.exists():
        return None
    held = json.loads(file.read_text(encoding="utf-8"))
    sections = [Section(**{**each, "goals": [Goal(**goal) for goal in each["goals"]]}) for each in held.pop("sections")]
    return Item(**held, sections=sections)


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def commit() -> str:
    """Return the commit under test, with a plus if files differ from it."""
    head = _git("rev-parse", "--short=10", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", "../src", "../benchmarks/*.py")
    return f"{head}+" if head and changed else head or "unknown"


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def machine(versions: dict[str, str]) -> dict[str, str]:
    """What the figures depend on; `versions` are those of the servers and drivers."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "CPU": _cpu(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory:.0f} GB",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        **versions,
    }


def _cpu() -> str:
    processors = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.+)$", processors.read_text(), re.MULTILINE) if processors.exists() else None
    return found.group(1) if found else platform.processor() or platform.machine()
