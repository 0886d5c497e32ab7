"""Runs the demo and writes what it prints to demo.svg: `.venv/bin/python docs/images/demo_picture.py`.

It is the demo's real output, colours included. The picture loads no font from another host, as rich's own would.
"""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).with_name("demo.svg")
COMMAND = ("penstock", "demo", "--once")
_WIDTH = 100


def output() -> str:
    """Return what the command prints on a terminal that knows colours. Raises CalledProcessError when it fails."""
    surroundings = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(_WIDTH)}
    program = Path(sys.executable).with_name(COMMAND[0])
    done = subprocess.run(  # noqa: S603 (a command of our own)
        [program, *COMMAND[1:]], env=surroundings, capture_output=True, text=True, check=True
    )
    return done.stdout


def picture(printed: str) -> str:
    """Return the SVG of a terminal with the command and what it printed."""
    console = Console(record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True, highlight=False)
    console.print(f"[bold]$ {' '.join(COMMAND)}[/]")
    console.print(Text.from_ansi(printed))
    frame = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    frame = frame.replace("Fira Code,", "Fira Code, DejaVu Sans Mono, Menlo, Consolas,")
    return console.export_svg(title="penstock demo", code_format=frame, unique_id="demo")


if __name__ == "__main__":
    PICTURE.write_text(picture(output()), encoding="utf-8")
