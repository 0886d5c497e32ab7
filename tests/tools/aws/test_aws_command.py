"""`penstock aws local` as a user runs it: started, tried, stopped."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import urllib3
from typer.testing import CliRunner

from penstock_tools.aws.command import app
from testkit.workspace import until

BIN = Path(sys.executable).parent


@contextmanager
def running(*flags: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, once it has said all; what it printed."""
    process = subprocess.Popen(
        [str(BIN / "penstock"), "aws", "local", *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Stop with Ctrl-C"):
                break
        yield process, "".join(lines)
    finally:
        process.kill()
        process.communicate()


def value(printed: str, name: str) -> str:
    found = re.search(rf"^{re.escape(name)}  +(\S+)", printed, re.MULTILINE)
    assert found, printed
    return found[1]


@pytest.mark.parametrize("enabled_first", [False, True])
def test_the_printed_commands_lead_to_a_document_that_is_found_in_either_order(
    tmp_path: Path, *, enabled_first: bool
) -> None:
    """The tutorial's way: the mapping is there, disabled; POST /config and the enabling follow."""
    folder = tmp_path / "kept"
    with running("--folder", str(folder), "--as-in-sample") as (process, printed):
        configure, enable, show, store, search, load = [
            line.strip() for line in printed.splitlines() if line.startswith("  ")
        ]
        for command in (enable, configure) if enabled_first else (configure, enable):
            typed(command)
        until(lambda: reads(json.loads(typed(show))), lambda: typed(show))
        assert list(json.loads(typed(store))) == ["ids"]
        until(lambda: "penstock" in typed(search), lambda: typed(show))
        assert json.loads(typed(show))["UUID"] == value(printed, "esm-id")
        assert "mapped" in typed(load)
        stop(process, signal.SIGINT)
    require_left(folder)


def reads(mapping: dict[str, Any]) -> bool:
    """Whether a mapping reads, as the printed words have it."""
    return mapping["State"] == "Enabled" and "PROBLEM" not in mapping["LastProcessingResult"]


def typed(command: str) -> str:
    """Run a command as a shell does; what it printed."""
    environ = {"PATH": f"{BIN}:/usr/bin:/bin"}
    done = subprocess.run(command, shell=True, env=environ, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_account_of_the_shell_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "unknown")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-another-account")
    with running("--folder", str(tmp_path)) as (process, printed):
        post(printed)
        words = next(line.strip() for line in printed.splitlines() if line.strip().startswith(". "))
        load = subprocess.run(["/bin/sh", "-c", words], capture_output=True, text=True, check=False, timeout=240)
        assert load.returncode == 0, load.stderr
        assert "mapped" in load.stdout
        stop(process, signal.SIGTERM)
    require_left(tmp_path)


def post(printed: str) -> None:
    """Store a document by the API, as the command says how."""
    key, api = value(printed, "api key"), value(printed, "api")
    with urllib3.PoolManager(headers={"x-api-key": key}) as http:
        stored = http.request("POST", f"{api}/demo-data", body=b'{"title": "penstock"}')
    assert (stored.status, list(stored.json())) == (201, ["ids"])


def stop(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Send a signal: the command ends in order, and so does everything it started."""
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(number)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert not psutil.wait_procs(children, timeout=120)[1]


def require_left(folder: Path) -> None:
    """What a deployment leaves in its folder after one call of the writer."""
    assert (folder / "logs" / "writer.log").read_text().count("REPORT RequestId") == 1
    assert (folder / "operations.env").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("flags", [["--retry", "never"], ["--lambda-port", "70000"], ["--folder", __file__]])
def test_a_wrong_flag_is_told_at_once(flags: list[str]) -> None:
    assert CliRunner().invoke(app, ["local", *flags]).exit_code == 2


def test_a_port_that_is_taken_is_told_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        flags = ["--lambda-port", str(taken.getsockname()[1])]
        command = [str(BIN / "penstock"), "aws", "local", *flags]
        told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert told.returncode != 0
    assert "Lambda's API" in told.stderr
    assert "Traceback" not in told.stderr
