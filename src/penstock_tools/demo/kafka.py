"""The demo by way of Kafka: one process captures, three apply, and one of these is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from penstock.settings import LogSettings, Settings
from penstock_tools.servers.errors import LocalServerError

APPLIERS = 3
PARTITIONS = 6
SESSION_S = 6.0
_START_S = 90.0
_STOP_S = 30.0
_LOOK_S = 0.05
_SHOWN_CHARACTERS = 1500
_COMMAND = "from penstock.cli import main; main()"


@dataclass
class PenstockProcess:
    """A command of penstock that runs; what it logs can be read meanwhile."""

    command: str
    process: subprocess.Popen[bytes]
    log: Path
    _outputs: list[IO[bytes]] = field(default_factory=list)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Return its log lines of an event. Raises LocalServerError when it has ended by itself."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        code = self.process.poll()
        if code is not None and code != -signal.SIGKILL:
            raise LocalServerError(f"`penstock {self.command}` has ended with {code}: {self.said_last}")
        read = [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]
        return [each for each in read if each["event"] == event]

    @property
    def partitions(self) -> int:
        """How many partitions of the collection it was assigned last; those of a shared load are another group's."""
        assigned = [each for each in self.lines("partitions assigned") if not each["group"].endswith(".load")]
        return int(assigned[-1]["partitions"]) if assigned else 0

    @property
    def said_last(self) -> str:
        """The end of its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-_SHOWN_CHARACTERS:]

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True)
class Applying:
    """The processes of the demo."""

    capture: PenstockProcess
    appliers: Sequence[PenstockProcess]

    def wait_until(self, condition: Callable[[], bool], what: str) -> float:
        """Wait, and return the seconds. Raises LocalServerError when it takes too long or a process has ended."""
        began = time.monotonic()
        processes = (self.capture, *self.appliers)
        while not condition():
            if time.monotonic() - began > _START_S:
                logs = "".join(f"\n`penstock {each.command}`, {each.pid}:\n{each.said_last}" for each in processes)
                raise LocalServerError(f"not within {_START_S:.0f} s: {what}{logs}")
            for each in processes:
                each.lines("")
            time.sleep(_LOOK_S)
        return time.monotonic() - began

    def taken_over(self, killed: PenstockProcess) -> float:
        """Kill one of the processes, and return the seconds until the others have all partitions."""
        killed.kill()
        others = [each for each in self.appliers if each is not killed]
        return self.wait_until(lambda: _is_shared(others), "the others take over")


def _is_shared(appliers: Sequence[PenstockProcess]) -> bool:
    """Whether each has the same number of partitions, as a group shares them in the end."""
    return all(each.partitions == PARTITIONS // len(appliers) for each in appliers)


def log_settings(bootstrap_servers: str) -> LogSettings:
    """Return the settings of a log on one broker."""
    return LogSettings(
        bootstrap_servers=bootstrap_servers,
        own_topics=True,
        topic_partitions=PARTITIONS,
        topic_replication=1,
        session_timeout_s=SESSION_S,
    )


@contextmanager
def applying(settings: Settings, folder: Path) -> Iterator[Applying]:
    """Run the processes; enter the block when one has loaded the collection and all have partitions."""
    file = folder / "penstock.toml"
    file.write_text(_toml(settings))
    with ExitStack() as stack:
        capture = stack.enter_context(_running("capture", 0, file))
        appliers = [stack.enter_context(_running("apply", number + 1, file)) for number in range(APPLIERS)]
        found = Applying(capture, appliers)
        found.wait_until(lambda: any(each.lines("load ends") for each in appliers), "the load ends")
        found.wait_until(lambda: _is_shared(appliers), "each process has partitions")
        yield found


@contextmanager
def _running(command: str, number: int, settings_file: Path) -> Iterator[PenstockProcess]:
    log = settings_file.with_name(f"{command}-{number}.log")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 (our own command)
            [sys.executable, "-c", _COMMAND, command, "--settings", str(settings_file)],
            stdout=output,
            stderr=output,
            env=environ,
            cwd=settings_file.parent,
            start_new_session=True,  # Ctrl-C is for the demo, which ends them in order
        )
    try:
        yield PenstockProcess(command, process, log)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _toml(settings: Settings) -> str:
    assert settings.source.uri is not None
    (collection,) = settings.collections
    sections: dict[str, dict[str, Any]] = {
        "source": {"uri": settings.source.uri.get_secret_value()},
        "sink": {"url": settings.sink.url},
        "pipeline": {"lease_s": SESSION_S},
        "observe": {"listen": "127.0.0.1:0", "log_format": "json"},
        "log": settings.log.model_dump(
            include={"bootstrap_servers", "own_topics", "topic_partitions", "topic_replication", "session_timeout_s"}
        ),
    }
    text = "".join(f"[{name}]\n{_values(values)}" for name, values in sections.items())
    its = {
        "namespace": collection.namespace,
        "index": collection.index,
        "replicas": collection.replicas,
        "mapping_file": str(collection.mapping_file),
    }
    return f"{text}[[collections]]\n{_values(its)}"


def _values(values: dict[str, Any]) -> str:
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
