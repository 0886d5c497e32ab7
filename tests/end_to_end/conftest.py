"""The commands as processes, in a folder with a settings file or without one."""

import os
import subprocess
from functools import partial

import pytest

from testkit.workspace import PENSTOCK, WITHIN_S, run_command


@pytest.fixture
def run(tmp_path):
    """Run a command to its end."""
    return partial(run_command, tmp_path)


@pytest.fixture
def started(tmp_path):
    """Start a command in an interpreter of its own; what still runs at the end of the test is killed."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
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
