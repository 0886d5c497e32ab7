"""`penstock local up`: both servers until Ctrl-C."""

import os
import re
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated

import typer

from penstock.errors import SettingsError
from penstock_tools.servers.opensearch import DEFAULT_HEAP
from penstock_tools.servers.platform import Platform, terminated_like_interrupted
from penstock_tools.servers.progress import progress_here
from penstock_tools.servers.source import MODES, PASSWORD_VARIABLE, UNENABLED, LocalSourceSettings

app = typer.Typer(no_args_is_help=True, help="Real servers on this machine, without Docker.")

_LEAST_HEAP_MB = 128


@app.callback()
def _local() -> None:
    """Keep `up` a command of its own: typer drops the name of an only command."""


def _known_mode(mode: str) -> str:
    if mode not in MODES:
        raise typer.BadParameter(f"must be one of {', '.join(MODES)}, not {mode!r}")
    return mode


def _known_answer(answer: str) -> str:
    if answer not in UNENABLED:
        raise typer.BadParameter(f"must be one of {', '.join(UNENABLED)}, not {answer!r}")
    return answer


def _heap_size(heap: str) -> str:
    """The smallest heap that OpenSearch starts with is somewhat above 100 MB."""
    size = re.fullmatch(r"(\d+)([mg])", heap, re.IGNORECASE)
    if not size or int(size[1]) * (1 if size[2] in "mM" else 1024) < _LEAST_HEAP_MB:
        raise typer.BadParameter(f"must be a size of at least {_LEAST_HEAP_MB}m, such as 512m or 2g, not {heap!r}")
    return heap


_Mode = Annotated[str, typer.Option(help=f"What the source behaves like: {', '.join(MODES)}.", callback=_known_mode)]
_Unenabled = Annotated[
    str,
    typer.Option(
        help=f"What a DocumentDB does to change streams that were not enabled: {', '.join(UNENABLED)}.",
        callback=_known_answer,
    ),
]
_Heap = Annotated[str, typer.Option(help="Memory for OpenSearch's Java heap, such as 512m or 2g.", callback=_heap_size)]


@app.command()
def up(  # noqa: PLR0913 (one argument for each flag)
    *,
    source_port: Annotated[int, typer.Option(help="Port of the source; 0 takes a free one.")] = 0,
    opensearch_port: Annotated[int, typer.Option(help="Port of OpenSearch; 0 takes a free one.")] = 0,
    data: Annotated[
        Path | None, typer.Option(help="Folder for indexes and logs, kept. Without it a temporary one is used.")
    ] = None,
    mode: _Mode = MODES[0],
    user: Annotated[str | None, typer.Option(help="Ask the source's clients for this user and a password.")] = None,
    password_env: Annotated[
        str, typer.Option(help="The environment variable that holds the password.")
    ] = PASSWORD_VARIABLE,
    tls: Annotated[bool, typer.Option("--tls", help="TLS on the source, with a certificate made for it.")] = False,
    heap: _Heap = DEFAULT_HEAP,
    log_size: Annotated[
        int | None, typer.Option(help="Changes the source remembers before positions are lost.")
    ] = None,
    log_retention_s: Annotated[
        int | None, typer.Option(help="For how many seconds it remembers them, at most.", min=1)
    ] = None,
    unenabled_streams: _Unenabled = UNENABLED[0],
    one_time_per_command: Annotated[
        bool, typer.Option("--one-time-per-command", help="The writes of one command share one cluster time.")
    ] = False,
) -> None:
    """Start OpenSearch and a source with change streams, print their addresses, stay until Ctrl-C."""
    source = LocalSourceSettings(
        port=source_port,
        mode=mode,
        user=user,
        password=_password(password_env) if user else None,
        tls=tls,
        log_size=log_size,
        log_retention_s=log_retention_s,
        unenabled_streams=unenabled_streams,
        one_time_per_command=one_time_per_command,
    )
    with suppress(KeyboardInterrupt), terminated_like_interrupted(), ExitStack() as stack:
        with progress_here() as progress:  # ended before anything is printed: it would break the lines
            platform = stack.enter_context(
                Platform(data, source=source, opensearch_port=opensearch_port, heap=heap, progress=progress)
            )
        _show(platform)
        platform.watch()


def _password(variable: str) -> str:
    password = os.environ.get(variable)
    if not password:
        raise SettingsError(f"--user asks for a password, and the environment variable {variable} is not set")
    return password


def _show(platform: Platform) -> None:
    print(f"source      {platform.source.shown_uri}")
    print(f"opensearch  {platform.opensearch.url}")
    print(f"data        {platform.folder}")
    print("Stop with Ctrl-C.", flush=True)
