"""Runs jobs in threads, a few at a time, each under the lease in its document.

    look    with each beat: write the progress of our own, see who else's lease is free, take what waits for a console
    lease   free when the document did not change for the lease's time on our own clock, while we could see it all along
    end     the result is written; a console that sees the end takes the job from the list and notes it in the activity

No wall clocks are compared. While the index is away nothing can be seen, so nobody's lease counts as free: the count
begins again afterwards. A console that was paused for longer than its lease notices at its next beat, and ends the
operation; until then two may run, which versions and the operations' own states make harmless.
"""

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, Self

import structlog

from penstock.connections import sink_client
from penstock.console.jobs.activity import ActivityLog
from penstock.console.jobs.board import JobBoard
from penstock.console.jobs.job import Job, JobKind, JobName, JobState, Person, ended
from penstock.console.jobs.report import JobReport
from penstock.console.jobs.work import RULES, JobRule, Work, WorkResult, run
from penstock.errors import PenstockError, SettingsError, Stopped
from penstock.model import Namespace
from penstock.observe.logs import mask_credentials
from penstock.opensearch.http.waiting import FailFast
from penstock.opensearch.state.store import Conflict, StateDocument, StateStore, Stored
from penstock.runtime.intervals import INTERVALS, Intervals
from penstock.runtime.threads import ChildEvent
from penstock.settings import Settings
from penstock.worker.collections.expansion import matching

log = structlog.get_logger(__name__)

AT_ONCE: Final = 3
"""How many jobs one console runs side by side; more of them wait."""

_END_WITHIN_S: Final = 10.0
_LOOKS_PER_LEASE: Final = 5
"""At least: two looks that are further apart than half a lease do not count as seeing it all along."""
_INTERRUPTED: Final = (
    "The console that ran it ended. What was done stays done; start it again for the rest, which does no harm."
)


@dataclass
class _Held:
    """A job that runs here."""

    stored: Stored
    report: JobReport
    stop: threading.Event
    result: "Future[WorkResult]" = field(default_factory=Future)


class JobKeeper:
    """Starts jobs and, unless it only looks, runs them. Close it: what runs is stopped, and left to other consoles.

    `rules` are what each kind of job does.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        intervals: Intervals = INTERVALS,
        at_once: int = AT_ONCE,
        runs: bool = True,
        rules: Mapping[JobKind, JobRule] = RULES,
    ) -> None:
        self._settings = settings
        self._intervals = intervals
        self._at_once = at_once
        self._rules = rules
        self._lease_s = settings.pipeline.lease_s
        self._owner = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
        self._closing = threading.Event()
        self._client = sink_client(settings, stop=self._closing)
        store = StateStore(self._client, FailFast(self._client.url))
        self.board = JobBoard(store, settings.pipeline.name)
        self.activity = ActivityLog(store, settings.pipeline.name)
        self._held: dict[str, _Held] = {}
        self._seen: dict[str, tuple[tuple[int, int], float]] = {}
        self._looked_at = 0.0
        self._is_away = False
        self._wake = threading.Event()
        self._pool = ThreadPoolExecutor(at_once, "penstock-job")
        self._thread = threading.Thread(target=self._watch, name="penstock-jobs", daemon=True) if runs else None
        if self._thread:
            self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, name: JobName, arguments: Mapping[str, Any], by: Person) -> Job:
        """Start a job. Raises JobRuns if the same one is to be done already, SettingsError, SinkUnavailable."""
        if not self._is_ours(name):
            raise SettingsError(f"{name.subject} is not declared in the settings of this console.")
        job = self.board.start(name, arguments, by, lease_s=self._lease_s)
        self.activity.note(
            by, f"started {name.kind}", name.subject, in_words(arguments), key=f"{name}/{job.run.number}"
        )
        self._wake.set()
        return job

    def stop(self, name: JobName, by: Person) -> bool:
        """Ask for a job to be stopped, wherever it runs; return False if it is at its end. Raises SinkUnavailable."""
        wished = self.board.wish_stop(name, by)
        if wished:
            self.activity.note(by, f"stopped {name.kind}", name.subject)
            self._wake.set()
        return wished

    def close(self) -> None:
        """Stop what runs here, and leave it to the next console where its operation can go on."""
        self._closing.set()
        self._wake.set()
        if self._thread:
            self._thread.join()
        self._pool.shutdown(wait=True)
        until = time.monotonic() + _END_WITHIN_S
        while self._held and time.monotonic() < until:
            if not self._attempt(self._beat_all):
                time.sleep(self._intervals.report_s)
        self._client.close()

    def _watch(self) -> None:
        while not self._closing.is_set():
            self._attempt(self._look)
            self._wake.wait(min(self._intervals.report_s, self._lease_s / _LOOKS_PER_LEASE))
            self._wake.clear()

    def _attempt(self, what: Callable[[], None]) -> bool:
        """Do what asks the index; return whether it answered."""
        try:
            what()
        except PenstockError as error:
            if not self._is_away:
                log.warning("jobs cannot be looked at", reason=str(error))
            self._is_away = True
            return False
        if self._is_away:
            log.info("jobs can be looked at again")
        self._is_away = False
        return True

    def _look(self) -> None:
        self._beat_all()
        now = time.monotonic()
        if now - self._looked_at > self._lease_s / 2:  # the index did not answer, or this process was paused
            self._seen.clear()
        listed = self.board.listed()
        for state_id, stored in self.board.stored(listed).items():
            if state_id not in self._held:
                self._look_at(state_id, stored)
        self._seen = {state_id: seen for state_id, seen in self._seen.items() if state_id in listed}
        self._looked_at = time.monotonic()

    def _look_at(self, state_id: str, stored: Stored) -> None:
        """See to a job that does not run here."""
        job = Job.of(stored.document)
        if not job.is_open:
            self._note_end(state_id, job)
        elif not self._is_ours(job.name) or not self._is_free(state_id, stored, job):
            return
        elif job.stop:
            self._put_end(state_id, stored, "stopped", f"stopped by {job.stop}", is_good=True)
        elif job.run.state == "running" and not self._rules[job.name.kind].is_resumed:
            self._put_end(state_id, stored, "interrupted", _INTERRUPTED, is_good=False)
        elif len(self._held) < self._at_once:
            self._take(state_id, stored, job)

    def _is_ours(self, name: JobName) -> bool:
        """Whether the settings say what the job is about; consoles of others may share the index."""
        if name.kind not in self._rules:
            return False  # a newer version's
        if self._rules[name.kind].of_reaction:
            return any(each.name == name.subject for each in self._settings.reactions)
        if any(each.namespace == name.subject for each in self._settings.collections):
            return True
        return any(matching(self._settings, [Namespace.named(name.subject)]).values())

    def _is_free(self, state_id: str, stored: Stored, job: Job) -> bool:
        if job.run.state == "waiting":
            return True
        place, now = (stored.seq_no, stored.primary_term), time.monotonic()
        seen, since = self._seen.get(state_id, (None, now))
        if seen != place:
            since = now
        self._seen[state_id] = (place, since)
        return now - since >= max(self._lease_s, float(stored.document["lease_s"]))

    def _take(self, state_id: str, stored: Stored, job: Job) -> None:
        before = stored.document
        resumed = job.run.resumed + (before["beat"] > 0)
        document = {
            **before,
            "owner": self._owner,
            "epoch": before["epoch"] + 1,
            "beat": before["beat"] + 1,
            "lease_s": self._lease_s,
            "run": {**before["run"], "state": "running", "resumed": resumed},
        }
        try:
            taken = self.board.store.put(state_id, document, stored)
        except Conflict:
            return  # another console was faster
        held = _Held(taken, JobReport(map(tuple, before["run"].get("lines", ()))), ChildEvent(self._closing))
        if resumed:
            held.report.say("resumed: the console that ran it before ended")
        has_begun = job.run.total is not None
        work = Work(
            self._settings, job.name.subject, job.run.arguments, held.report, held.stop, self._intervals, has_begun
        )
        log.info("job begins", job=str(job.name), by=job.run.by.name, resumed=resumed)
        held.result = self._pool.submit(run, self._rules[job.name.kind], work)
        held.result.add_done_callback(lambda _: self._wake.set())
        self._held[state_id] = held

    def _beat_all(self) -> None:
        for state_id, held in list(self._held.items()):
            is_over = held.result.done()
            if self._beat(state_id, held) and is_over:
                self._end(state_id, held)

    def _beat(self, state_id: str, held: _Held) -> bool:
        """Write how far it is, and hear of a wish to stop; return False if another console has taken it."""
        while True:
            document = held.stored.document
            now = {**document, "beat": document["beat"] + 1, "run": {**document["run"], **held.report.snapshot()}}
            try:
                held.stored = self.board.store.put(state_id, now, held.stored)
            except Conflict:
                found = self.board.stored([state_id]).get(state_id)
                if found is None:
                    self._let_go(state_id, held, "what is kept of the job was deleted, so it ends")
                    return False
                if (found.document["owner"], found.document["epoch"]) != (self._owner, document["epoch"]):
                    self._let_go(state_id, held, "another console has taken the job over")
                    return False
                held.stored = found  # somebody has asked for a stop, or our last write had no answer
                continue
            if held.stored.document["stop"]:
                held.stop.set()
            return True

    def _let_go(self, state_id: str, held: _Held, reason: str) -> None:
        log.warning(reason, job=state_id)
        held.stop.set()
        del self._held[state_id]

    def _end(self, state_id: str, held: _Held) -> None:
        """Write what became of it; what conflicts with that is looked at with the next beat."""
        stored, error = held.stored, held.result.exception()
        document = stored.document
        if error is None:
            result = held.result.result()
            is_written = self._put_end(state_id, stored, "done", result.text, is_good=result.is_good)
        elif document["stop"]:
            is_written = self._put_end(
                state_id, stored, "stopped", f"stopped by {document['stop']['by']}", is_good=True
            )
        elif isinstance(error, Stopped) and self._closing.is_set():
            is_written = self._leave(state_id, stored, is_resumed=self._rules[document["job"]].is_resumed)
        else:
            is_written = self._put_end(state_id, stored, "failed", _cause(state_id, error), is_good=False)
        if is_written:
            del self._held[state_id]

    def _leave(self, state_id: str, stored: Stored, *, is_resumed: bool) -> bool:
        """Leave it to the next console, at once: this one ends."""
        if not is_resumed:
            return self._put_end(state_id, stored, "interrupted", _INTERRUPTED, is_good=False)
        run = {**stored.document["run"], "state": "waiting"}
        return self._put(state_id, {**stored.document, "owner": "", "run": run}, stored)

    def _put_end(self, state_id: str, stored: Stored, state: JobState, text: str, *, is_good: bool) -> bool:
        log.info("job ends", job=state_id, state=state, result=text)
        return self._put(state_id, ended(stored.document, state, text, is_good=is_good), stored)

    def _put(self, state_id: str, document: StateDocument, stored: Stored) -> bool:
        try:
            self.board.store.put(state_id, {**document, "beat": document["beat"] + 1}, stored)
        except Conflict:
            return False
        return True

    def _note_end(self, state_id: str, job: Job) -> None:
        run, name = job.run, job.name
        key = f"{name}/{run.number}/end"
        self.activity.note(run.by, f"{name.kind} {run.state}", name.subject, run.result, is_good=run.is_good, key=key)
        self.board.unlist(state_id, run.number)


def in_words(arguments: Mapping[str, Any]) -> str:
    """What a job was asked for, on one line."""
    given = {name: value for name, value in arguments.items() if value not in (None, "", False)}
    return ", ".join(
        f"{name.removesuffix('_s').replace('_', ' ')}: {_word(name, each)}" for name, each in given.items()
    )


def _word(name: str, value: Any) -> str:
    if value is True:
        return "yes"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else text
    return f"{text} s" if name.endswith("_s") else text


def _cause(job: str, error: BaseException) -> str:
    """Return why a job failed. What is no error of ours is a defect, and goes to the log as a whole."""
    if isinstance(error, PenstockError):
        return mask_credentials(str(error))
    log.error("a job ended by a defect of penstock", job=job, exc_info=error)
    return f"a defect of penstock ended it ({type(error).__name__}); the log of the console has the details"
