"""Writes the locks of functions, operations and image, after a change: `python -m penstock_tools.bundle.lock`.

For maintainers. Versions in the files are kept if they still fit. Flags are passed to `uv pip compile`, so
`python -m penstock_tools.bundle.lock --upgrade` takes the newest versions. One file serves both architectures and every
Python from 3.11 on.
"""

import re
import sys
import tempfile
from importlib.metadata import requires
from pathlib import Path
from typing import Final

from penstock_tools.bundle.packages import FUNCTIONS_LOCK, IMAGE_LOCK, OPERATIONS_LOCK, uv

_ONLY_FOR_THE_COMMAND_LINE: Final = ("rich", "typer", "pymongo-auth-aws")
_PINNED: Final = {"pymongo": "pymongo==4.13.2"}
"""The newest pymongo that supports DocumentDB 4.0; later ones require wire version 8, which only 5.0 has."""

_HEADING = """\
# The packages of the deployed {what}, pinned by hash. `python -m penstock_tools.bundle.lock` writes this file.
"""


def main(flags: list[str]) -> None:
    """Resolve all sets; the others use the versions of the first."""
    functions = [name for name in _required("aws") if _package(name) not in _ONLY_FOR_THE_COMMAND_LINE]
    _write(FUNCTIONS_LOCK, "functions", functions, flags)
    same = ["--constraint", str(FUNCTIONS_LOCK)]
    _write(OPERATIONS_LOCK, "operations task", _required("aws"), [*flags, *same])
    _write(IMAGE_LOCK, "image", _required("aws", "console", "otel", "kafka", "kafka-aws"), [*flags, *same])


def _required(*extras: str) -> list[str]:
    """Return the requirements of the installed penstock with these extras."""
    wanted = (line.partition(";") for line in requires("penstock") or [])
    markers = {"", *(f"extra == '{extra}'" for extra in extras)}
    declared = [name.strip() for name, _, marker in wanted if marker.strip() in markers]
    return [_PINNED.get(_package(name), name) for name in declared]


def _package(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower()


def _write(lock: Path, what: str, requirements: list[str], flags: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder, "requirements.in")
        wanted.write_text("\n".join(requirements), encoding="utf-8")
        words: list[str | Path] = [
            "pip",
            "compile",
            wanted,
            "--output-file",
            lock,
            "--universal",
            "--python-version",
            "3.11",
        ]
        words += ["--generate-hashes", "--no-annotate", "--no-header", *flags]
        uv(f"{lock.name} cannot be resolved", *words)
    lock.write_text(_HEADING.format(what=what) + lock.read_text(encoding="utf-8"), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
