"""`penstock local up`: the servers until Ctrl-C."""

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

app = typer.Typer(no_args_is_help=True, help="Start real servers on this machine, without Docker.")

_LEAST_HEAP_MB = 128


@app.callback()
def _local() -> None:
    """Keep `up` a subcommand: typer drops the name of a command that is the only one."""


def _known_mode(mode: str) -> str:
    if mode not in MODES:
        raise typer.BadParameter(f"must be one of {', '.join(MODES)}, not {mode!r}")
    return mode


def _known_answer(answer: str) -> str:
    if answer not in UNENABLED:
        raise typer.BadParameter(f"must be one of {', '.join(UNENABLED)}, not {answer!r}")
    return answer


def _heap_size(heap: str) -> str:
    """Check the heap size: OpenSearch needs somewhat more than 100 MB to start."""
    size = re.fullmatch(r"(\d+)([mg])", heap, re.IGNORECASE)
    if not size or int(size[1]) * (1 if size[2] in "mM" else 1024) < _LEAST_HEAP_MB:
        raise typer.BadParameter(f"must be a size of at least {_LEAST_HEAP_MB}m, such as 512m or 2g, not {heap!r}")
    return heap


_Mode = Annotated[
    str, typer.Option(help=f"Which server the source imitates: {', '.join(MODES)}.", callback=_known_mode)
]
_Unenabled = Annotated[
    str,
    typer.Option(
        help=f"How DocumentDB treats change streams that were not enabled: {', '.join(UNENABLED)}.",
        callback=_known_answer,
    ),
]
_Heap = Annotated[str, typer.Option(help="Memory for OpenSearch's Java heap, such as 512m or 2g.", callback=_heap_size)]


@app.command()
def up(  # noqa: PLR0913 (one argument for each flag)
    *,
    source_port: Annotated[int, typer.Option(help="Port of the source; 0 for any free one.")] = 0,
    opensearch_port: Annotated[int, typer.Option(help="Port of OpenSearch; 0 for any free one.")] = 0,
    data: Annotated[
        Path | None, typer.Option(help="Folder for indexes and logs, which is kept. Default: a temporary one.")
    ] = None,
    mode: _Mode = MODES[0],
    user: Annotated[str | None, typer.Option(help="Require clients of the source to log in as this user.")] = None,
    password_env: Annotated[
        str, typer.Option(help="Environment variable with the user's password.")
    ] = PASSWORD_VARIABLE,
    tls: Annotated[bool, typer.Option("--tls", help="Use TLS on the source, with a new certificate.")] = False,
    kafka: Annotated[bool, typer.Option("--kafka", help="Start Apache Kafka too, for `penstock apply`.")] = False,
    kafka_port: Annotated[int, typer.Option(help="Port of Kafka; 0 for any free one.")] = 0,
    heap: _Heap = DEFAULT_HEAP,
    log_size: Annotated[
        int | None, typer.Option(help="How many changes the source keeps before positions are lost.")
    ] = None,
    log_retention_s: Annotated[
        int | None, typer.Option(help="How many seconds the source keeps changes, at most.", min=1)
    ] = None,
    unenabled_streams: _Unenabled = UNENABLED[0],
    one_time_per_command: Annotated[
        bool, typer.Option("--one-time-per-command", help="Give all writes of a command the same cluster time.")
    ] = False,
) -> None:
    """Start OpenSearch and a source with change streams, print their addresses, and run until Ctrl-C."""
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
        with progress_here() as progress:  # ends before anything is printed, because it would break the lines
            platform = stack.enter_context(
                Platform(
                    data,
                    source=source,
                    opensearch_port=opensearch_port,
                    heap=heap,
                    kafka_port=kafka_port if kafka or kafka_port else None,
                    progress=progress,
                )
            )
        _show(platform)
        platform.watch()


def _password(variable: str) -> str:
    password = os.environ.get(variable)
    if not password:
        raise SettingsError(f"--user needs a password, but the environment variable {variable} is not set; set it")
    return password


def _show(platform: Platform) -> None:
    print(f"source      {platform.source.shown_uri}")
    print(f"opensearch  {platform.opensearch.url}")
    if platform.kafka:
        print(f"kafka       {platform.kafka.bootstrap_servers}")
    print(f"data        {platform.folder}")
    print("Stop with Ctrl-C.", flush=True)
