"""The commands as processes, in a folder with a settings file or without one."""

import os
import subprocess

import pytest

from testkit.workspace import PENSTOCK, WITHIN_S


@pytest.fixture
def environ(tmp_path):
    """An environment without settings, whose current folder is empty."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}


@pytest.fixture
def run(tmp_path, environ):
    """Run a command to its end."""

    def run(*arguments, **more):
        done = subprocess.run(
            [*PENSTOCK, *arguments],
            cwd=tmp_path,
            env={**environ, **more},
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


@pytest.fixture
def started(tmp_path, environ):
    """Start a command; what still runs at the end of the test is killed."""
    processes = []

    def start(*arguments, **more):
        process = subprocess.Popen(
            [*PENSTOCK, *arguments],
            cwd=tmp_path,
            env={**environ, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate(timeout=WITHIN_S)


@pytest.fixture
def settings(tmp_path, source_uri, sink_url, database, index_prefix):
    """A settings file for one collection of 300 documents."""
    database.items.insert_many([{"_id": number, "text": "x" * 100} for number in range(300)])
    (tmp_path / "penstock.toml").write_text(
        f'[source]\nuri = "{source_uri}"\nretention_s = 7200\n[sink]\nurl = "{sink_url}"\n'
        f'[pipeline]\nlease_s = 3\n[observe]\nlisten = "127.0.0.1:0"\nlog_format = "json"\n'
        f'[[collections]]\nnamespace = "{database.name}.items"\nindex = "{index_prefix}items"\nreplicas = 0\n'
    )
    return f"{database.name}.items"
