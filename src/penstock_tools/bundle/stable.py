"""Makes builds reproducible: one modification time, one mode for files and one for folders."""

import hashlib
from os import utime
from pathlib import Path
from typing import Final

_CHANGED_AT: Final = 315_576_000
"""Noon of 1980-01-01, UTC: a zip file cannot store an earlier day, in any time zone."""


def make_stable(folder: Path) -> None:
    """Give everything in the folder, and the folder itself, fixed times and modes."""
    for path in [*folder.rglob("*"), folder]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    for path in [*folder.rglob("*"), folder]:
        utime(path, (_CHANGED_AT, _CHANGED_AT))


def digest(folder: Path) -> str:
    """Return the SHA-256 of the folder's content: names, modes, modification times and contents."""
    summed = hashlib.sha256()
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        status = path.stat()
        content = "" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        line = f"{path.relative_to(folder).as_posix()}\0{status.st_mode:o}\0{status.st_mtime_ns}\0{content}\n"
        summed.update(line.encode())
    return summed.hexdigest()
