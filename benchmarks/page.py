"""docs/appendix/benchmarks.md, from the figures in benchmarks/results and the words in page.md.

    .venv/bin/python -m benchmarks.page [--check]

A line `<!-- figures: NAME -->` of page.md becomes the tables of that benchmark, `<!-- machine -->` what they were
measured on, `<!-- goals -->` all figures that have a goal. So the words stay when the figures are renewed.
"""

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.results import GOAL_COLUMNS, HERE, RESULTS, Item, Section, goal_rows, read, shown

TEMPLATE = HERE / "page.md"
PAGE = HERE.parent / "docs" / "appendix" / "benchmarks.md"
NAMES = (
    "load",
    "catch_up",
    "latency",
    "lambda_calls",
    "cost",
    "growth",
    "verify",
    "capture",
    "apply",
    "log_latency",
    "log_memory",
    "shared_load",
)

_MARK = re.compile(r"^<!-- (figures|machine|goals)(?:: (\w+))? -->$", re.MULTILINE)
_HEAD = "<!-- Made by benchmarks/page.py from benchmarks/page.md and benchmarks/results; edit these. -->\n"


def made(template: str, folder: Path = RESULTS) -> str:
    """Return the whole page."""
    items = {name: read(folder, name) for name in NAMES}
    measured = [item for item in items.values() if item]
    parts: dict[str, Callable[[str], str]] = {
        "figures": lambda name: _figures(items[name]),
        "machine": lambda _: _machine(measured),
        "goals": lambda _: _goals(measured),
    }
    return _HEAD + _MARK.sub(lambda mark: parts[mark[1]](mark[2]), template)


def _figures(item: Item | None) -> str:
    if item is None:
        return "Not measured yet."
    return "\n\n".join(_section(section) for section in item.sections)


def _section(section: Section) -> str:
    parts = [f"**{section.title}**", _table(section.columns, [[shown(cell) for cell in row] for row in section.rows])]
    if section.goals:
        parts.append(_table(GOAL_COLUMNS, goal_rows(section.goals)))
    return "\n\n".join([*parts, *section.notes])


def _machine(items: Sequence[Item]) -> str:
    """Return one table if all were measured on the same machine with the same versions; else one for each."""
    if not items:
        return "Nothing measured yet."
    tables: dict[str, list[Item]] = {}
    for item in items:
        tables.setdefault(_table(("", ""), list(item.machine.items())), []).append(item)
    when = _table(
        ("benchmark", "measured at", "commit", "sizes"),
        [[item.name, item.at, item.commit, _sizes(item)] for item in items],
    )
    if len(tables) == 1:
        return f"{next(iter(tables))}\n\n{when}"
    named = [f"{', '.join(item.name for item in those)}:\n\n{table}" for table, those in tables.items()]
    return "\n\n".join([*named, when])


def _sizes(item: Item) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in item.sizes.items())


def _goals(items: Sequence[Item]) -> str:
    rows = [
        [f"{section.title}: {row[0]}", *row[1:]]
        for item in items
        for section in item.sections
        for row in goal_rows([goal for goal in section.goals if goal.wanted])
    ]
    return _table(GOAL_COLUMNS, rows) if rows else "Nothing measured yet."


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---", *["---:" for _ in columns[1:]]], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write() -> None:
    """Write the page."""
    PAGE.write_text(made(TEMPLATE.read_text(encoding="utf-8")), encoding="utf-8")


def main() -> int:
    if "--check" not in sys.argv:
        write()
        return 0
    if PAGE.read_text(encoding="utf-8") == made(TEMPLATE.read_text(encoding="utf-8")):
        return 0
    print("docs/appendix/benchmarks.md is not what benchmarks/page.py makes of the figures: run it")
    return 1


if __name__ == "__main__":
    sys.exit(main())
