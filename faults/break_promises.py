"""Break each promise on purpose, and see the tests that guard it fail.

    .venv/bin/python faults/break_promises.py [NAME ...]        (make break-promises)

Each defect is an edit of one place in a copy of the sources; the checkout is left as it is. The tests run on that copy,
and once without an edit. Ends with 1 when an edit does not apply any more, when its tests pass all the same, or when
they fail without it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
PACKAGE = Path("src/penstock")
_TESTS_FAILED = 1  # pytest's own exit code; any other means that they did not run


@dataclass(frozen=True)
class Defect:
    """An edit of one file, and the tests that must see it."""

    name: str
    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]


DEFECTS = (
    Defect(
        "checkpoint before acknowledgement",
        "pipeline.py",
        "position, read_at, future))\n",
        "position, read_at, future))\n        self._unsaved = position\n        self._save(every_s=0)\n",
        ("tests/unit/test_pipeline.py::test_a_position_behind_an_unfinished_batch_is_never_saved",),
    ),
    Defect(
        "external instead of external_gte",
        "opensearch/bulk.py",
        '"version_type":"external_gte"',
        '"version_type":"external"',
        ("tests/contract/test_sink.py", "-k", "equal_version"),
    ),
    Defect(
        "no folding of equal cluster times",
        "batch.py",
        "(room or (whole_times and _one_time(batch, answer)))",
        "room",
        ("tests/unit/test_batch.py::test_a_batch_does_not_end_between_changes_of_one_cluster_time",),
    ),
    Defect(
        "the first instead of the last change of a document",
        "prepare.py",
        "            del last[text_id]  # so that documents stay in the order of their last change\n",
        "            continue\n",
        ("tests/crash/test_stop_anywhere.py",),
    ),
    Defect(
        "a load's version taken after its read",
        "mongo/load.py",
        "changes_of(raw, self._namespace, version)",
        "changes_of(raw, self._namespace, committed_time(self._client, self._namespace))",
        ("tests/contract/test_source_loads.py", "-k", "range_began"),
    ),
    Defect(
        "an old range sent instead of read again",
        "opensearch/sink.py",
        "if call.send_before is not None and time.monotonic() >= call.send_before:",
        "if False:",
        ("tests/contract/test_sink.py", "-k", "after_its_time"),
    ),
    Defect(
        "no lease",
        "opensearch/pipeline_state.py",
        'return unchanged_s >= max(lease_s, float(found.document.get("lease_s", 0)))',
        "return True",
        ("tests/contract/test_checkpoints_lease.py", "-k", "standby_waits"),
    ),
    Defect(
        "delete ignored",
        "mongo/events.py",
        'elif operation == "delete":',
        'elif operation == "never":',
        ("tests/contract/test_source_streams.py", "-k", "in_order"),
    ),
)


def passes(tests: tuple[str, ...], sources: Path) -> bool:
    """Run the tests on these sources."""
    environment = os.environ | {"PYTHONPATH": str(sources)}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    if ended.returncode not in (0, _TESTS_FAILED):
        raise SystemExit(f"{' '.join(tests)} did not run:\n{ended.stdout[-2000:]}{ended.stderr[-2000:]}")
    return ended.returncode == 0


def seen(defect: Defect, folder: Path) -> str:
    """What became of one defect: `seen` by its tests, or what is wrong."""
    sources = folder / "src"
    shutil.copytree(ROOT / PACKAGE, sources / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    if not passes(defect.tests, sources):
        return "its tests fail without it"
    file = sources / PACKAGE.name / defect.file
    text = file.read_text()
    if text.count(defect.right) != 1:
        return f"{defect.file} has changed: the edit does not apply"
    file.write_text(text.replace(defect.right, defect.wrong))
    return "not seen: its tests pass" if passes(defect.tests, sources) else "seen"


def main() -> int:
    asked = [each for each in DEFECTS if not sys.argv[1:] or each.name in sys.argv[1:]]
    table, console = Table("broken", "in", "guarded by", "is"), Console(width=160)
    unseen = 0
    for each in asked:
        with tempfile.TemporaryDirectory() as folder:
            found = seen(each, Path(folder))
        unseen += found != "seen"
        console.print(f"{each.name}: {found}")
        table.add_row(each.name, each.file, " ".join(each.tests).removeprefix("tests/"), found)
    console.print(table)
    return 1 if unseen else 0


if __name__ == "__main__":
    sys.exit(main())
