"""One server as a child process that says `READY <port>` on its standard output.

The server ends when its standard input closes, so it cannot outlive us: the operating system closes our end of the
pipe however we end. It runs in its own session, so that Ctrl-C in a terminal reaches only us, and we stop it in order.
"""

import os
import re
import subprocess
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from penstock.local.errors import LocalServerError

_READY = re.compile(rb"READY (\d+)\s*$")
_LAST_LINES = 25

_open_pipes: "weakref.WeakSet[IO[bytes]]" = weakref.WeakSet()


def _close_pipes_in_fork() -> None:
    for pipe in list(_open_pipes):
        os.close(pipe.fileno())


os.register_at_fork(after_in_child=_close_pipes_in_fork)


class Child:
    """A running server; `port` is known once `wait_ready` has returned."""

    def __init__(
        self, name: str, command: Sequence[str | Path], *, log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = log
        self.port = 0
        self._said_ready_or_ended = threading.Event()
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        with log.open("ab") as errors:
            self._process = subprocess.Popen(  # noqa: S603
                [str(word) for word in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        assert self._process.stdin is not None
        _open_pipes.add(self._process.stdin)
        threading.Thread(target=self._read_output, name=f"{name}-output", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def running(self) -> bool:
        return self._process.poll() is None

    def wait_ready(self, seconds: float) -> int:
        """Answer the port, or raise LocalServerError with the server's last log lines."""
        self._said_ready_or_ended.wait(seconds)
        if self.port == 0:
            cause = f"did not get ready within {seconds:.0f} s" if self.running() else "ended while starting"
            self.stop(patience=0)
            raise LocalServerError(f"{self.name} {cause}. {self.last_log_lines()}")
        return self.port

    def last_log_lines(self) -> str:
        """Quote the end of the server's own log, with the place of the rest."""
        lines = self.log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        return f"The last lines of {self.log}:\n" + "\n".join(f"    {line}" for line in lines)

    def close_input(self) -> None:
        """Tell the server to end; returns at once."""
        assert self._process.stdin is not None
        _open_pipes.discard(self._process.stdin)
        self._process.stdin.close()

    def stop(self, patience: float = 10.0) -> None:
        """Close the input, then terminate, then kill, waiting `patience` seconds after each. May be called twice."""
        self.close_input()
        for insist in (self._process.terminate, self._process.kill):
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                insist()
        self._process.wait()

    def _read_output(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output, self.log.open("ab", buffering=0) as log:
            for line in output:
                ready = _READY.match(line)
                if ready:
                    self.port = int(ready.group(1))
                    self._said_ready_or_ended.set()
                else:
                    log.write(line)
        self._said_ready_or_ended.set()


def seconds_since(start: float) -> str:
    return f"{time.monotonic() - start:.1f} s"
