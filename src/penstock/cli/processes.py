"""Several processes of one command, under one parent that starts again what ends by itself.

The parent has the port for metrics and health, and the console; each process has a pipe to it. Through that it reports,
and learns that it is to stop: by a word, or by the end of its parent.
"""

import multiprocessing
import multiprocessing.resource_tracker
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import NoReturn

import structlog
import typer

from penstock.cli.console import console_server
from penstock.cli.endings import said
from penstock.cli.preparation import set_up_process
from penstock.cli.service import Work, serve
from penstock.cli.signals import TERMINATED, stop_signals
from penstock.documents.user_function import folder, look_in
from penstock.errors import PositionLost, SettingsError, SystemicFault
from penstock.observe.health import Health, serving
from penstock.observe.metrics import Metrics
from penstock.observe.processes import ProcessReport, ProcessReports
from penstock.runtime.intervals import Intervals
from penstock.settings import Settings

log = structlog.get_logger(__name__)

_LOOK_S = 0.1
_MOST_PAUSE_S = 60.0
_STOP = "stop"
_FOR_GOOD = frozenset({each.exit_code for each in (SettingsError, PositionLost, SystemicFault)})
"""What a process ends with that would end the same way again."""

_SPAWNS = multiprocessing.get_context("spawn")


def serve_in_processes(count: int, command: str, work: Work, settings: Settings, intervals: Intervals) -> NoReturn:
    """Do the work in `count` processes until a signal, or until one of them ends with what another start cannot heal.

    Raises typer.Exit.
    """
    set_up_process(settings)
    reports = ProcessReports(Metrics())
    with (
        stop_signals() as signals,
        serving(settings.observe.listen, exposition=reports.exposition, report=reports.health),
        console_server(settings, settings.console.listen, intervals),
    ):
        log.info(f"{command} begins", processes=count)
        share = _Share(command, work, _of_one_process(settings), intervals, folder())
        processes = [_Process(number, share, reports) for number in range(1, count + 1)]
        failed = _keep_running(processes, signals.stop)
    log.info(f"{command} ends", signal=signal.Signals(signals.received).name if signals.received else None)
    raise typer.Exit(failed or signals.exit_code(endless=True))


def _of_one_process(settings: Settings) -> Settings:
    """Return the settings without what the parent has for all."""
    observe = settings.observe.model_copy(update={"listen": None})
    return settings.model_copy(
        update={"observe": observe, "console": settings.console.model_copy(update={"listen": None})}
    )


def _keep_running(processes: "list[_Process]", stop: threading.Event) -> int:
    """Return the exit code of what failed for good, 0 when all ended because they were asked to."""
    multiprocessing.resource_tracker.ensure_running()  # which lets signals through, so it comes before they are held
    while not stop.is_set() and not any(each.failed for each in processes):
        for each in processes:
            each.start_if_due()
        _listen(processes)
    for each in processes:
        each.ask_to_stop()
    while any(each.is_running for each in processes):
        _listen(processes)
    return max(each.failed for each in processes)


def _listen(processes: "list[_Process]") -> None:
    """Take what they say, or see that they have ended, for a moment."""
    waited_for = [waited for each in processes for waited in each.waited_for]
    if waited_for:
        wait(waited_for, _LOOK_S)
    else:
        time.sleep(_LOOK_S)
    for each in processes:
        each.take()


@dataclass(frozen=True)
class _Share:
    """What each process does."""

    command: str
    work: Work
    settings: Settings
    intervals: Intervals
    folder: Path | None

    def do(self, number: int, connection: Connection) -> None:
        """Do it, in the new process; the parent is at the other end of the connection."""
        if self.folder:
            look_in(self.folder)

        def work(
            settings: Settings, *, stop: threading.Event, metrics: Metrics, health: Health, intervals: Intervals
        ) -> None:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

            def report() -> None:
                _report(connection, stop, metrics, health, intervals.report_s)

            threading.Thread(target=report, name="report", daemon=True).start()
            self.work(settings, stop=stop, metrics=metrics, health=health, intervals=intervals)

        with said():
            serve(self.command, work, self.settings, self.intervals, process=number)


def _report(connection: Connection, stop: threading.Event, metrics: Metrics, health: Health, every_s: float) -> None:
    """Report from time to time; stop when the parent says so, or is gone, and at once when both have happened."""
    try:
        while not connection.poll(every_s):
            connection.send(ProcessReport.of(health.report(), metrics))
        connection.recv()
        stop.set()
        while not connection.poll(every_s):
            connection.send(ProcessReport.of(health.report(), metrics))
    except (EOFError, OSError):
        pass
    if stop.is_set():
        os._exit(TERMINATED)
    log.warning("the process that started this one is gone")
    stop.set()


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Hold signals back. A process that starts meanwhile does so too, until it can take them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass
class _Process:
    """One process, as its parent sees it; `failed` is the exit code by which it ended for good, else 0."""

    number: int
    share: _Share
    reports: ProcessReports
    failed: int = 0
    _process: SpawnProcess | None = None
    _connection: Connection | None = None
    _started_at: float = 0.0
    _due_at: float = 0.0
    _pause_s: float = 0.0
    _is_asked: bool = False

    def start_if_due(self) -> None:
        """Start it, unless it runs or has to wait because it ended by itself lately."""
        if self._process is not None or time.monotonic() < self._due_at:
            return
        self._connection, theirs = _SPAWNS.Pipe()
        self._process = _SPAWNS.Process(
            target=self.share.do, args=(self.number, theirs), name=f"{self.share.command}-{self.number}"
        )
        with _signals_held():
            self._process.start()
        theirs.close()
        self._started_at = time.monotonic()
        self.reports.gone(self.number, "it starts")
        log.info("process started", process=self.number, pid=self._process.pid)

    @property
    def is_running(self) -> bool:
        """Whether it is there; `take` sees its end."""
        return self._process is not None

    @property
    def waited_for(self) -> "list[Connection | int]":
        """What says that there is something to take."""
        if self._process is None:
            return []
        return [self._process.sentinel, *([self._connection] if self._connection else [])]

    def take(self) -> None:
        """Take what it said, and its end."""
        try:
            while self._connection and self._connection.poll():
                self.reports.heard(self.number, self._connection.recv())
        except (EOFError, OSError):
            self._connection = None
        if self._process and self._process.exitcode is not None:
            self._ended(self._process.exitcode)

    def ask_to_stop(self) -> None:
        """Have it end cleanly."""
        self._is_asked = True
        try:
            if self._connection:
                self._connection.send(_STOP)
        except OSError:  # it has ended by itself
            self._connection = None

    def _ended(self, code: int) -> None:
        assert self._process is not None
        self._process.close()
        ran_s = time.monotonic() - self._started_at
        self._process = self._connection = None
        self.reports.gone(self.number, f"it has ended: {_why(code)}")
        if self._is_asked or code in _FOR_GOOD:
            self.failed = max(code, 0)
            return
        first_s = self.share.intervals.process_pause_s
        self._pause_s = first_s if ran_s > _MOST_PAUSE_S else min(max(first_s, 2 * self._pause_s), _MOST_PAUSE_S)
        self._due_at = time.monotonic() + self._pause_s
        self.reports.metrics.count("penstock_process_restarts_total", process=str(self.number))
        log.warning("a process has ended by itself; it is started again", process=self.number, reason=_why(code))


def _why(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
