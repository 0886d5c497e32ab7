"""docs/faults.md, from faults/results.json and the words in page.md: `python -m faults.page [--check]`."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from faults import HERE
from faults.result import RESULTS, Result, read

TEMPLATE = HERE / "page.md"
PAGE = HERE.parent / "docs" / "faults.md"

_HEAD = "<!-- Made by faults/page.py from faults/page.md and faults/results.json; edit these. -->\n"
_COLUMNS = ("fault", "times", "lost", "doubled", "resurrected", "counters", "recovered, median", "most", "changes")


def made_of(results: Sequence[Result]) -> str:
    """The whole page."""
    parts = {"results": _table(results), "remarks": _remarks(results)}
    return _HEAD + re.sub(r"<!-- (\w+) -->", lambda mark: parts[mark[1]], TEMPLATE.read_text(encoding="utf-8"))


def _table(results: Sequence[Result]) -> str:
    rows = [_COLUMNS, ["---", *["---:" for _ in _COLUMNS[1:]]], *map(_row, results)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(result: Result) -> list[str]:
    times = [result.times, result.lost, result.doubled, result.resurrected]
    recovered = [f"{of(result.recovered_s):.1f} s" for of in (median, max)] if result.recovered_s else ["-", "-"]
    balance = "balance" if result.balanced else "do not balance"
    return [result.title, *(f"{each:,}" for each in times), balance, *recovered, f"{result.changes:,}"]


def _remarks(results: Sequence[Result]) -> str:
    """What the table cannot say: when it was measured, how some were healed, what was not kept."""
    commits = sorted({each.commit for each in results})
    days = sorted({each.at[:10] for each in results})
    lines = [f"Made on {', '.join(days)}, at commit {', '.join(commits)}." if results else "Not made yet."]
    lines += [f"- {each.title}: mended by `{mended}`." for each in results if (mended := each.more.get("mended by"))]
    lines += [f"- {each.title}: **not kept**, see `faults/results.json`." for each in results if not each.kept]
    return "\n".join(lines[:1] + ([""] if lines[1:] else []) + lines[1:])


def _ordered(file: Path) -> list[Result]:
    """In the order in which they are made."""
    import faults.made  # noqa: F401, PLC0415
    from faults.fault import FAULTS  # noqa: PLC0415

    found = read(file)
    return [found[name] for name in FAULTS if name in found]


def write_page(file: Path = RESULTS) -> None:
    """Write the page anew, unless the results are not the ones that are kept."""
    if file == RESULTS:
        PAGE.write_text(made_of(_ordered(file)), encoding="utf-8")


def main() -> int:
    if "--check" not in sys.argv:
        write_page()
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == made_of(_ordered(RESULTS)):
        return 0
    print("docs/faults.md is not what faults/page.py makes of the results: run `python -m faults.page`")
    return 1


if __name__ == "__main__":
    sys.exit(main())
