"""The command line: one file per command. `app` gathers them and turns errors into messages and exit codes.

A command imports what it needs when it runs, so that `--help` and a wrong setting answer at once.
"""

from penstock.cli.app import main

__all__ = ["main"]
