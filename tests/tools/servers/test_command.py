"""`penstock local up` as a process: what it prints, and that nothing is left however it ends."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from penstock_tools.servers.command import app
from penstock_tools.servers.errors import LocalServerError

UP = [str(Path(sys.executable).with_name("penstock")), "local", "up"]
STOP_SECONDS = 120


class Up:
    """A running `penstock local up` and the servers it started."""

    def __init__(self, *flags):
        self.process = subprocess.Popen([*UP, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addresses = {}
        for line in self.process.stdout:
            if line.startswith("Stop with"):
                break
            name, _, value = line.partition(" ")
            self.addresses[name] = value.strip()
        self.servers = psutil.Process(self.process.pid).children(recursive=True)

    def left_over(self):
        """Wait until the servers have ended; answer those that have not."""
        return psutil.wait_procs(self.servers, timeout=STOP_SECONDS)[1]


@pytest.fixture
def up():
    started = []

    def start(*flags):
        started.append(Up(*flags))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.communicate()
        for server in each.left_over():
            server.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_both_servers_and_ends_cleanly(up, number):
    running = up()
    assert set(running.addresses) == {"source", "opensearch", "data"}
    assert len(running.servers) == 2
    running.process.send_signal(number)
    _, errors = running.process.communicate(timeout=STOP_SECONDS)
    assert running.process.returncode == 0
    assert "Traceback" not in errors
    assert running.left_over() == []
    assert not Path(running.addresses["data"]).exists()


def test_a_killed_parent_leaves_no_server_behind(up, tmp_path):
    running = up("--data", str(tmp_path))
    assert len(running.servers) == 2
    running.process.kill()
    assert running.left_over() == []


def test_a_parent_killed_while_the_servers_start_leaves_none_behind(tmp_path):
    process = subprocess.Popen([*UP, "--data", str(tmp_path)], stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("Starting OpenSearch"):
            break
    servers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    assert servers
    assert psutil.wait_procs(servers, timeout=STOP_SECONDS)[1] == []


def test_a_server_that_ends_by_itself_ends_the_command_with_its_name(up, tmp_path):
    running = up("--data", str(tmp_path))
    os.kill(running.servers[0].pid, signal.SIGKILL)
    _, errors = running.process.communicate(timeout=STOP_SECONDS)
    assert running.process.returncode == 1
    assert "has ended by itself" in errors
    assert "Traceback" not in errors
    assert running.left_over() == []


def test_a_busy_port_is_a_message_without_a_traceback():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = subprocess.run(
            [*UP, "--opensearch-port", str(port)], capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    assert f"cannot use port {port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_user_without_a_password_is_refused_at_once():
    environment = {name: value for name, value in os.environ.items() if name != "PENSTOCK_SOURCE_PASSWORD"}
    done = subprocess.run([*UP, "--user", "reader"], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert "PENSTOCK_SOURCE_PASSWORD is not set" in done.stderr


@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("--mode", "foo", "must be one of mongodb-5.0, mongodb-4.0"),
        ("--heap", "12", "must be a size of at least 128m"),
        ("--heap", "much", "must be a size of at least 128m"),
        ("--heap", "12m", "must be a size of at least 128m"),
    ],
)
def test_a_value_that_cannot_be_is_a_usage_error(flag, value, words):
    result = CliRunner().invoke(app, ["up", flag, value], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert words in result.output


@pytest.mark.parametrize("flag", ["--source-port", "--opensearch-port"])
def test_a_busy_port_is_refused_before_anything_is_started(flag, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        result = CliRunner().invoke(app, ["up", flag, str(port), "--data", str(tmp_path / "data")])
    assert isinstance(result.exception, LocalServerError)
    assert f"cannot use port {port}" in str(result.exception)
    assert not (tmp_path / "data").exists()
