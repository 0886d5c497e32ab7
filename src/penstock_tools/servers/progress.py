"""Shows what the local servers are doing while the user waits."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status


class Steps:
    """Shows nothing; its subclasses do. Called from several threads."""

    def step(self, text: str) -> None:
        """Show that something started or ended."""

    def tick(self, text: str) -> None:
        """Show progress, only where the line can be overwritten."""


class PlainSteps(Steps):
    """One line for each step on standard error, for logs."""

    def step(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class TerminalSteps(Steps):
    """Steps as lines, and below them one line that changes."""

    def __init__(self, console: Console, status: Status) -> None:
        self._console = console
        self._status = status

    def step(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
        self._status.update("")

    def tick(self, text: str) -> None:
        self._status.update(text)


@contextmanager
def progress_here() -> Iterator[Steps]:
    """Yield what suits standard error: a changing line on a terminal, plain lines otherwise."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield PlainSteps()
        return
    with console.status("") as status:
        yield TerminalSteps(console, status)
