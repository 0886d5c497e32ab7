"""docs/appendix/faults.md, from faults/results.json and the words in page.md: `python -m faults.page [--check]`."""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from faults import HERE
from faults.result import RESULTS, Result, read

TEMPLATE = HERE / "page.md"
PAGE = HERE.parent / "docs" / "appendix" / "faults.md"

_HEAD = "<!-- Made by faults/page.py from faults/page.md and faults/results.json; edit these. -->\n"
_COLUMNS = ("fault", "times", "lost", "doubled", "resurrected", "counters", "recovered, median", "most", "changes")


def made_of(found: Mapping[str, Result], titles: Mapping[str, str]) -> str:
    """Return the whole page; `titles` are those of all faults, by name, in the order of the table."""
    results = [found[name] for name in titles if name in found]
    rows = [_row(found[name]) if name in found else _not_made(title) for name, title in titles.items()]
    parts = {"results": _table(rows), "remarks": _remarks(results)}
    return _HEAD + re.sub(r"<!-- (\w+) -->", lambda mark: parts[mark[1]], TEMPLATE.read_text(encoding="utf-8"))


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = [_COLUMNS, ["---", *["---:" for _ in _COLUMNS[1:]]], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _not_made(title: str) -> list[str]:
    return [title, "not made yet", *["-" for _ in _COLUMNS[2:]]]


def _row(result: Result) -> list[str]:
    times = [result.times, result.lost, result.doubled, result.resurrected]
    recovered = [f"{of(result.recovered_s):.1f} s" for of in (median, max)] if result.recovered_s else ["-", "-"]
    balance = "balance" if result.balanced else "do not balance"
    return [result.title, *(f"{each:,}" for each in times), balance, *recovered, f"{result.changes:,}"]


def _remarks(results: Sequence[Result]) -> str:
    """Return what the table cannot say: when it was measured, how some were repaired, what was not kept."""
    commits = sorted({each.commit for each in results})
    days = sorted({each.at[:10] for each in results})
    lines = [f"Made on {', '.join(days)}, at commit {', '.join(commits)}." if results else ""]
    lines += [
        f"- {each.title}: repaired by `{command}`." for each in results if (command := each.more.get("repaired by"))
    ]
    lines += [f"- {each.title}: **not kept**, see `faults/results.json`." for each in results if not each.kept]
    return "\n".join(lines[:1] + ([""] if lines[1:] else []) + lines[1:])


def _made() -> str:
    """Return the page for the committed results."""
    import faults.made  # noqa: F401, PLC0415
    from faults.fault import FAULTS  # noqa: PLC0415

    return made_of(read(), {name: each.title for name, each in FAULTS.items()})


def write_page(file: Path = RESULTS) -> None:
    """Write the page, unless the results are not the ones that are kept."""
    if file == RESULTS:
        PAGE.write_text(_made(), encoding="utf-8")


def main() -> int:
    if "--check" not in sys.argv:
        write_page()
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == _made():
        return 0
    print("docs/appendix/faults.md is not what faults/page.py makes of the results: run `python -m faults.page`")
    return 1


if __name__ == "__main__":
    sys.exit(main())
