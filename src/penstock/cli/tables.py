"""Results as text: on a terminal they fit its width without cutting a word, in a pipe each row is one line."""

import json
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence

import typer
from rich.text import Text

from penstock.observe.wording import printable

_READABLE = 30
_COLOURS = re.compile("(\x1b\\[(?:0|1|31|32|33)m)")
"""What `typer.style` writes for the styles that commands use."""


def say(line: str, *, err: bool = False) -> None:
    """Print one line; whatever it quotes from outside cannot move the cursor, change the terminal or begin a line."""
    pieces = _COLOURS.split(line)
    typer.echo("".join(each if place % 2 else printable(each) for place, each in enumerate(pieces)), err=err)


def terminal_width() -> int | None:
    """Return the columns of the terminal, or None if standard output is not a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def wrapped(text: str, *, indent: str, width: int | None) -> list[str]:
    """Return the text in lines that begin with the indent; a word too long for a line gets its own."""
    if width is None:
        return [indent + text]
    lines = textwrap.wrap(text, max(20, width - len(indent)), break_long_words=False, break_on_hyphens=False)
    return [indent + line for line in lines or [""]]


def aligned(rows: Sequence[Sequence[str]], *, texts: int) -> list[str]:
    """Return the rows with aligned columns: the first `texts` columns to the left, the others to the right."""
    widths = [max(map(_columns, column)) for column in zip(*rows, strict=True)]

    def cell(number: int, text: str) -> str:
        space = " " * (widths[number] - _columns(text))
        return text + space if number < texts else space + text

    return ["  ".join(cell(number, text) for number, text in enumerate(row)).rstrip() for row in rows]


def as_table_or_lists(rows: Sequence[Sequence[str]], *, texts: int, width: int | None) -> Iterator[str]:
    """Yield the rows (the first is the head) as a table if it fits the width, else each row as a list."""
    table = aligned(rows, texts=texts)
    if width is None or max(map(_columns, table)) <= width:
        yield from table
        return
    head, *others = rows
    for row in others:
        yield row[0]
        yield from (f"  {line}" for line in aligned(list(zip(head[1:], row[1:], strict=True)), texts=2))


def cut(rows: Sequence[Sequence[str]], *, width: int | None) -> Sequence[Sequence[str]]:
    """Return the rows with their last column shortened to fit the terminal, if that leaves enough to read."""
    if width is None:
        return rows
    left = width - sum(max(map(_columns, column)) + 2 for column in list(zip(*rows, strict=True))[:-1])
    if left < _READABLE:
        return rows
    return [[*row[:-1], row[-1] if len(row[-1]) <= left else row[-1][: left - 1] + "…"] for row in rows]


def on_one_line(text: str) -> str:
    """Return the text as it is, or as JSON if a terminal would not print it."""
    return text if text.isprintable() else json.dumps(text)


def _columns(text: str) -> int:
    """Return the columns that a text takes on a terminal, without its colour codes."""
    return Text.from_ansi(text).cell_len
