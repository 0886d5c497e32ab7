"""The tutorial's files and commands, as they stand in the page, do what the page says, in order.

Names are other ones, so that tests share servers; digits and the widths of columns may differ, words may not.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from testkit.workspace import PENSTOCK, WITHIN_S, until

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")
_PART = re.compile(r"^(?:[^\n]*`(?P<file>[\w.]+)`:\n\n)?```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_ONLY_LOOKS = ("penstock status", "penstock explain", "penstock dead-letters list", "penstock verify", "curl ")
_OF_THE_READER = ("penstock local up", "export ")


class Command(NamedTuple):
    """A line to type, and what it prints; a line of dots stands for the rest."""

    line: str
    prints: list[str]


def commands(block: str) -> list[Command]:
    pieces = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [Command(lines[0], lines[1:]) for lines in (piece.splitlines() for piece in pieces)]


def normal(line: str) -> str:
    """Words count; numbers, and spaces between columns, do not."""
    return " ".join(re.sub(r"\d[\d,.]*", "9", line).split())


def as_printed(printed: str, command: Command) -> bool:
    lines, wanted = [normal(line) for line in printed.splitlines()], [normal(line) for line in command.prints]
    return lines[: len(wanted) - 1] == wanted[:-1] if wanted[-1:] == ["..."] else lines == wanted


class Reader:
    """Somebody who types what the page says. Commands of penstock run in this process, which is faster."""

    def __init__(self, folder: Path, penstock: Callable[..., subprocess.CompletedProcess]) -> None:
        self.folder = folder
        self.worker: subprocess.Popen | None = None
        self._penstock = penstock

    def type(self, command: Command) -> None:
        if command.line.startswith(_OF_THE_READER):
            return
        if command.line == "penstock run":
            with (self.folder / "run.log").open("wb") as log:
                self.worker = subprocess.Popen([*PENSTOCK, "run"], cwd=self.folder, stderr=log)
            return
        seen = []

        def right() -> bool:
            seen[:] = [self._output(command.line)]
            return as_printed(seen[0], command)

        if command.line.startswith(_ONLY_LOOKS):
            until(right, lambda: f"{command.line} printed\n{seen[0]}")
        else:
            assert right(), f"{command.line} printed\n{seen[0]}"

    def _output(self, line: str) -> str:
        if line.startswith("penstock "):
            return self._penstock(*shlex.split(line)[1:]).stdout
        done = subprocess.run(
            line, shell=True, cwd=self.folder, stdout=subprocess.PIPE, text=True, timeout=WITHIN_S, check=True
        )
        return done.stdout

    def stop(self) -> int:
        assert self.worker
        self.worker.send_signal(signal.SIGTERM)
        return self.worker.wait(WITHIN_S)


@pytest.fixture
def reader(site, penstock, monkeypatch, database):
    """In an empty folder, with the addresses of the servers and the right Python; his worker ends before they do."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PENSTOCK_SOURCE_URI", site.source_uri)
    monkeypatch.setenv("PENSTOCK_SINK_URL", site.sink_url)
    reader = Reader(site.folder, penstock)
    yield reader
    if reader.worker and reader.worker.poll() is None:
        reader.worker.kill()
        reader.worker.wait(WITHIN_S)


def test_everything_in_the_tutorial_does_what_the_page_says(reader, database, index_prefix):
    page = PAGE.replace("shop.orders", f"{database.name}.orders").replace("shop-orders", f"{index_prefix}orders")
    page = page.replace("shop: change stream", f"{database.name}: change stream")
    typed = 0
    for part in _PART.finditer(page):
        if part["kind"] == "console":
            for command in commands(part["text"]):
                reader.type(command)
                typed += 1
        else:
            assert part["file"], part["text"]
            (reader.folder / part["file"]).write_text(part["text"], encoding="utf-8")
    assert typed == page.count("\n$ ")
    assert reader.stop() == 0


def test_other_words_than_those_of_the_page_are_noticed():
    shown = Command("penstock status", ["collection  state", "shop.orders  live  2,000"])
    assert as_printed("collection      state\nshop.orders     live   17\n", shown)
    assert not as_printed("collection      state\nshop.orders     loading   17\n", shown)
    assert not as_printed("collection      state\n", shown)
