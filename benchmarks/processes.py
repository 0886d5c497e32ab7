"""Processes next to the one that measures: they write notes of what they saw, and only we stop them.

Times are of the monotonic clock, which is one for all processes of a machine.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

import orjson

_WITHIN_S = 60


class Beside:
    """A script of this folder in a process of its own: a context manager that leaves nothing running.

    The last argument that the script gets is the file for its notes.
    """

    def __init__(self, folder: Path, script: str, *arguments: str, cwd: Path | None = None) -> None:
        self._notes = folder / f"{script}-{os.urandom(4).hex()}.json"
        self._log = self._notes.with_suffix(".log")
        command = [sys.executable, "-m", f"benchmarks.{script}", *arguments, str(self._notes)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=cwd, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )

    def ask(self, question: Mapping[str, Any]) -> None:
        """Send a line; `answer` reads what comes back."""
        pipe = _open(self.process.stdin)
        pipe.write(orjson.dumps(question) + b"\n")
        pipe.flush()

    def answer(self) -> Any:
        """Return the next line it prints. Raises SystemExit with the end of its log if it ended instead."""
        line = _open(self.process.stdout).readline()
        return orjson.loads(line) if line else self._fail("ended")

    def ended(self) -> dict[str, Any]:
        """Wait for its end and return its notes. Raises SystemExit if it failed."""
        if code := self.process.wait(_WITHIN_S * 10):
            self._fail(f"ended with exit code {code}")
        return orjson.loads(self._notes.read_bytes())

    def stopped(self) -> dict[str, Any]:
        """Ask it to stop, then do the same as `ended`."""
        self.process.terminate()
        return self.ended()

    def require_running(self) -> None:
        """Raise SystemExit if it has ended."""
        if self.process.poll() is not None:
            self._fail("ended")

    def _fail(self, what: str) -> None:
        lines = self._log.read_text(errors="replace").splitlines()[-15:]
        raise SystemExit("\n".join([f"{self._notes.name} {what}: no figures", *lines]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            _open(pipe).close()


def penstock(folder: Path, settings: str, arguments: Sequence[str], *, watched: bool = False) -> Beside:
    """Return a command of penstock with these settings. `watched`: it notes when each write was acknowledged."""
    (folder / "penstock.toml").write_text(settings)
    return Beside(folder, "command", *(["--watched"] if watched else []), *arguments, cwd=folder)


def _open(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
