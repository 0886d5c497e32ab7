"""`penstock init`."""

from pathlib import Path
from typing import Annotated

import typer

from penstock.settings import Settings
from penstock.settings.table import DEFAULT_FILE


def init(
    settings: Settings,
    given: dict[str, object],
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="The file to write.")] = Path(DEFAULT_FILE),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a commented settings file: every setting with its default, and the values given as flags.

    With --source-uri, the file gets a table for each collection of that server. It never gets a password or a key.
    """
    from penstock.operations import init as writing

    writing.refuse_existing(file, overwrite=force)
    found = writing.collections_of(settings.source) if "source_uri" in given else []
    text = writing.settings_file(found, given=given, folder=file.parent)
    writing.write_settings_file(file, text, overwrite=force)
    typer.echo(f"wrote {file}; collections in it: {len(found)}; review it, then run: penstock check")
