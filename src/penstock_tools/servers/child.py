"""A server as a child process that prints `READY <port>` on its standard output.

The server ends when its standard input closes, so it cannot outlive us: the operating system closes our end of the
pipe, no matter how we end. It runs in its own session, so that Ctrl-C in a terminal reaches only us, and we stop it in
order.
"""

import os
import re
import signal
import subprocess
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from penstock_tools.servers.errors import LocalServerError

_READY = re.compile(rb"READY (\d+)\s*$")
_LAST_LINES = 25

_open_pipes: "weakref.WeakSet[IO[bytes]]" = weakref.WeakSet()


def _close_pipes_in_fork() -> None:
    for pipe in list(_open_pipes):
        os.close(pipe.fileno())


os.register_at_fork(after_in_child=_close_pipes_in_fork)


class Child:
    """A running server; `port` and `seconds_to_ready` are known once `wait_ready` has returned."""

    def __init__(
        self, name: str, command: Sequence[str | Path], *, log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = log
        self.port = 0
        self.seconds_to_ready = 0.0
        self._said_ready_or_ended = threading.Event()
        log.parent.mkdir(parents=True, exist_ok=True)
        self._started = time.monotonic()
        with log.open("ab") as errors:
            self._log_start = errors.tell()
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
        self._output = threading.Thread(target=self._read_output, name=f"{name}-output", daemon=True)
        self._output.start()

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its process group."""
        return self._process.pid

    def running(self) -> bool:
        """Whether the server is running."""
        return self._process.poll() is None

    def wait_ready(self, seconds: float) -> int:
        """Wait for the server and return its port. Raises LocalServerError with the server's last log lines."""
        self._said_ready_or_ended.wait(seconds)
        if self.port:
            return self.port
        cause = "ended while starting" if self._ends_now() else f"did not get ready within {seconds:.0f} s"
        self.stop(patience=0)
        raise self.failure(cause)

    def failure(self, cause: str) -> LocalServerError:
        """Return an error that quotes the end of the server's log and names the log file."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()[-_LAST_LINES:]
        quoted = "\n".join(f"    {line}" for line in lines)
        return LocalServerError(f"{self.name} {cause}. The last lines of its log, {self.log}:\n{quoted}")

    def close_input(self) -> None:
        """Ask the server to end; return at once."""
        assert self._process.stdin is not None
        _open_pipes.discard(self._process.stdin)
        self._process.stdin.close()

    def stop(self, patience: float = 10.0) -> None:
        """Close the input, then terminate, then kill, waiting `patience` seconds after each. May be called twice."""
        self.close_input()
        for insist in (signal.SIGTERM, signal.SIGKILL):
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(self.pid, insist)
        self._process.wait()
        self._output.join()

    def _ends_now(self) -> bool:
        """Whether the process has ended or is about to; its output ends a moment before it."""
        try:
            self._process.wait(1 if self._said_ready_or_ended.is_set() else 0)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _read_output(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output, self.log.open("ab", buffering=0) as log:
            for line in output:
                ready = _READY.match(line)
                if ready:
                    self.seconds_to_ready = time.monotonic() - self._started
                    self.port = int(ready.group(1))
                    self._said_ready_or_ended.set()
                else:
                    log.write(line)
        self._said_ready_or_ended.set()
