"""The progress of a long command: a bar for each collection on a terminal, plain lines elsewhere."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from penstock.observe.wording import counted, printable

LINE_EVERY_S = 10.0


class QuietProgress:
    """Shows only results. Called from several threads; `documents` counts those since the last call."""

    def started(self, namespace: str, total: int | None) -> None:
        """The work on a collection started or resumed; `total` is an estimate."""

    def advanced(self, namespace: str, documents: int) -> None:
        """Count more documents as done."""

    def finished(self, namespace: str) -> None:
        """The collection is done."""

    def say(self, line: str) -> None:
        """Print a result on standard output."""
        print(printable(line), flush=True)


class TerminalProgress(QuietProgress):
    """Bars on standard error; log lines appear above them."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def started(self, namespace: str, total: int | None) -> None:
        self._tasks[namespace] = self._bars.add_task(escape(printable(namespace)), total=total)

    def advanced(self, namespace: str, documents: int) -> None:
        self._bars.advance(self._tasks[namespace], documents)

    def finished(self, namespace: str) -> None:
        task = self._tasks[namespace]
        done = next(each.completed for each in self._bars.tasks if each.id == task)
        self._bars.update(task, total=done, refresh=True)


@dataclass
class _Line:
    total: int | None
    documents: int = 0
    said_at: float = field(default_factory=time.monotonic)


class PlainProgress(QuietProgress):
    """A line on standard error when a collection starts, every ten seconds, and when it is done."""

    def __init__(self, doing: str = "loading", done: str = "loaded") -> None:
        self._doing, self._done = doing, done
        self._lines: dict[str, _Line] = {}
        self._lock = threading.Lock()

    def started(self, namespace: str, total: int | None) -> None:
        with self._lock:
            self._lines[namespace] = _Line(total)
        self._print(f"{namespace}: {self._doing}" + ("" if total is None else f" about {counted(total, 'document')}"))

    def advanced(self, namespace: str, documents: int) -> None:
        with self._lock:
            line = self._lines[namespace]
            line.documents += documents
            if time.monotonic() - line.said_at < LINE_EVERY_S:
                return
            line.said_at = time.monotonic()
        share = f" ({line.documents / line.total:.0%})" if line.total else ""
        self._print(f"{namespace}: {counted(line.documents, 'document')}{share}")

    def finished(self, namespace: str) -> None:
        self._print(f"{namespace}: {self._done}")

    def _print(self, line: str) -> None:
        print(printable(line), file=sys.stderr, flush=True)


@contextmanager
def progress_display(doing: str = "loading", done: str = "loaded", *, plain: bool = False) -> Iterator[QuietProgress]:
    """Yield bars if standard error is a terminal, else (or with `plain`) lines."""
    console = Console(stderr=True)
    if plain or not console.is_terminal:
        yield PlainProgress(doing, done)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console, redirect_stdout=True, redirect_stderr=True) as bars:
        yield TerminalProgress(bars)
