"""Tells people what the local servers are doing while they wait."""

import sys
import threading
from typing import TextIO

from rich.console import Console


class Progress:
    """Says nothing; the others speak. Called from several threads."""

    def step(self, text: str) -> None:
        """Something began or ended."""

    def tick(self, text: str) -> None:
        """Something moved on: worth showing only where the line can be written over."""


class PlainProgress(Progress):
    """One line for each step, for logs."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr

    def step(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


class TerminalProgress(Progress):
    """Steps as lines, what moves as one line under them; a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("")
        self._lock = threading.Lock()

    def __enter__(self) -> "TerminalProgress":
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def step(self, text: str) -> None:
        with self._lock:
            self._console.print(text, highlight=False)
            self._status.update("")

    def tick(self, text: str) -> None:
        with self._lock:
            self._status.update(text)
