"""A server as a child process: readiness, failures, the end. Small programs stand for the servers."""

import os
import signal
import sys
import time

import pytest

from penstock_tools.servers.child import Child
from penstock_tools.servers.errors import LocalServerError

OBEDIENT = "import sys; print('READY 4711', flush=True); sys.stdin.read()"
STUBBORN = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('READY 1', flush=True); time.sleep(600)"
)
FAILING = "import sys; print('out of luck'); sys.exit('the disk is made of cheese')"
SILENT = "import sys; print('still thinking', flush=True); sys.stdin.read()"


@pytest.fixture
def start(tmp_path):
    started = []

    def start(code):
        child = Child("The server", [sys.executable, "-c", code], log=tmp_path / "logs" / "server.log")
        started.append(child)
        return child

    yield start
    for child in started:
        child.stop(patience=0)


def test_a_ready_server_tells_its_port(start):
    child = start(OBEDIENT)
    assert child.wait_ready(10) == 4711
    assert child.running()


def test_a_server_that_ends_while_starting_is_quoted(start):
    with pytest.raises(LocalServerError, match=r"(?s)ended while starting.*cheese") as failure:
        start(FAILING).wait_ready(10)
    assert "out of luck" in str(failure.value)
    assert "server.log" in str(failure.value)


def test_a_server_that_does_not_get_ready_is_stopped_and_quoted(start):
    child = start(SILENT)
    with pytest.raises(LocalServerError, match=r"did not get ready within 1 s"):
        child.wait_ready(1)
    assert not child.running()


def test_only_the_lines_of_this_start_are_quoted(start):
    with pytest.raises(LocalServerError):
        start(FAILING).wait_ready(10)
    with pytest.raises(LocalServerError) as failure:
        start("import sys; sys.exit('another reason')").wait_ready(10)
    assert "another reason" in str(failure.value)
    assert "cheese" not in str(failure.value)


def test_closing_the_input_ends_the_server_even_while_a_fork_of_ours_lives(start):
    child = start(OBEDIENT)
    child.wait_ready(10)
    fork = os.fork()
    if fork == 0:
        signal.pause()
    try:
        before = time.monotonic()
        child.stop(patience=30)
        assert time.monotonic() - before < 20
    finally:
        os.kill(fork, signal.SIGKILL)
        os.waitpid(fork, 0)


def test_a_server_that_heeds_neither_input_nor_term_is_killed(start):
    child = start(STUBBORN)
    child.wait_ready(10)
    child.stop(patience=0.2)
    assert not child.running()


def test_stopping_twice_is_harmless(start):
    child = start(OBEDIENT)
    child.wait_ready(10)
    child.stop()
    child.stop()
    assert not child.running()
