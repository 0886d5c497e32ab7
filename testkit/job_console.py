"""A console's keeper of jobs as a process of its own, which can be killed, or ended in order."""

import subprocess
import sys
from pathlib import Path

from penstock.console.jobs.keeper import JobKeeper
from penstock.runtime.intervals import Intervals
from penstock.settings import read_settings


class JobConsole:
    """Runs jobs by the settings in a folder."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "testkit.job_console"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def kill(self) -> None:
        """End it by SIGKILL."""
        self._process.kill()
        self._process.communicate()

    def close(self) -> None:
        """End it in order."""
        self._process.communicate(b"\n", timeout=120)
        assert self._process.returncode == 0


def main() -> None:
    settings = read_settings(file=Path("penstock.toml"))
    with JobKeeper(settings, intervals=Intervals.fast()):
        print("ready", flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    main()
