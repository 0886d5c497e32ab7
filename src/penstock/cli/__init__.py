"""The command line: one file per command. `app` gathers them and turns errors into messages and exit codes."""

from penstock.cli.app import main

__all__ = ["main"]
