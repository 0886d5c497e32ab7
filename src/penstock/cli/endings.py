"""How a process ends: every error that penstock raises on purpose becomes a message and its exit code."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from penstock.errors import PenstockError, SettingsError


@contextmanager
def said() -> Iterator[None]:
    """Say the error that ends the block, and end the process with its exit code."""
    try:
        yield
    except typer.Exit as ended:
        sys.exit(ended.exit_code)
    except PenstockError as error:
        from penstock.cli.tables import say
        from penstock.observe.logs import mask_credentials

        for problem in error.problems if isinstance(error, SettingsError) else [str(error)]:
            say(f"error: {mask_credentials(problem)}", err=True)
        sys.exit(error.exit_code)
