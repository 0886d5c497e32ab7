"""`penstock console`, and the console within `penstock run`."""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import typer

from penstock.cli.preparation import set_up_process
from penstock.cli.signals import stop_signals
from penstock.errors import SettingsError
from penstock.runtime.extras import not_installed
from penstock.runtime.intervals import Intervals
from penstock.settings import Settings

if TYPE_CHECKING:
    from penstock.console.server import Served

_OF_THE_EXTRA = ("starlette", "uvicorn", "jinja2", "itsdangerous", "markupsafe", "anyio")
_ENDED_EVERY_S = 1.0


def console(settings: Settings, intervals: Intervals) -> None:
    """Serve the console: pages that show how everything stands, and where operators act.

    It needs no worker, and shows all of them by the state that they keep. It only shows unless [console] actions is
    set. SIGTERM and Ctrl-C stop it.
    """
    set_up_process(settings)
    with stop_signals() as signals, console_server(settings, settings.console.address, intervals) as served:
        assert served is not None
        typer.echo(f"penstock console: {served.address}")
        while not signals.stop.wait(_ENDED_EVERY_S):
            if not served.thread.is_alive():
                raise SettingsError("the console has ended by itself; its log says why")
    raise typer.Exit(signals.exit_code(endless=True))


def console_server(
    settings: Settings, listen: str | None, intervals: Intervals
) -> AbstractContextManager["Served | None"]:
    """Return what serves the console within a block; nothing without `listen`. Raises SettingsError."""
    if listen is None:
        return nullcontext()
    try:
        from penstock.console.server import serving
    except ModuleNotFoundError as error:
        raise not_installed(
            error, "the console", extra="console", packages=_OF_THE_EXTRA, parts=("penstock.console",)
        ) from None
    return serving(settings, listen, intervals)
