"""All jobs of a deployment: started, looked at and asked to stop, from whatever console.

A job has a document of its own, which holds its lease. Their list names those that are to be done, each with the number
of its run, so that consoles need not search: it is written after the document, and a start of a job that is there
already writes it again. So a process that ends between the two costs nothing but another click.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from penstock.console.jobs.job import OPEN, Job, JobKind, JobName, Person, new_run, now_text
from penstock.errors import PenstockError
from penstock.opensearch.state.ids import job_id, jobs_id
from penstock.opensearch.state.store import StateDocument, StateStore, Stored

_RECENT: Final = 50
_OPEN: Final = 1000


class JobRuns(PenstockError):
    """The same was started before and is still to be done."""


class JobBoard:
    """Raises SinkUnavailable where the index is away: nothing here waits for it."""

    def __init__(self, store: StateStore, deployment: str | None) -> None:
        self.store = store
        self._deployment = deployment

    def start(self, name: JobName, arguments: Mapping[str, Any], by: Person, *, lease_s: float) -> Job:
        """Leave a job to the next console with a free place. Raises JobRuns, SinkUnavailable."""

        def begin(before: StateDocument | None) -> StateDocument | None:
            if before and before["run"]["state"] in OPEN:
                return None
            number = before["run"]["number"] + 1 if before else 1
            kept = {"epoch": before["epoch"], "history": before["history"]} if before else {"epoch": 0, "history": []}
            return {
                "kind": "job",
                "name": str(name),
                "job": name.kind,
                "subject": name.subject,
                **kept,
                "owner": "",
                "lease_s": lease_s,
                "beat": 0,
                "stop": None,
                "run": new_run(number, arguments, by),
            }

        document, begun = self.store.change(self.id_of(name), begin)
        job = Job.of(document)
        self._list(self.id_of(name), job.run.number)
        if not begun:
            raise JobRuns(
                f"{name}: {job.run.by.name} started it at {job.run.started_at:%Y-%m-%d %H:%M:%S} UTC, and it is"
                f" {job.run.state}. Wait for its end, or stop it."
            )
        return job

    def wish_stop(self, name: JobName, by: Person) -> bool:
        """Ask the console that runs a job to stop it; return False if it is at its end. Raises SinkUnavailable."""

        def wish(before: StateDocument | None) -> StateDocument | None:
            if before is None or before["run"]["state"] not in OPEN or before["stop"]:
                return None
            return {**before, "stop": {"by": by.name, "at": now_text()}}

        document, _ = self.store.change(self.id_of(name), wish)
        return bool(document) and document["run"]["state"] in OPEN

    def job(self, kind: JobKind, subject: str) -> Job | None:
        """The last run of a job with the results of those before. Raises SinkUnavailable."""
        return self.jobs([JobName(kind, subject)]).get(JobName(kind, subject))

    def jobs(self, names: Iterable[JobName]) -> dict[JobName, Job]:
        """The same of several; what was never started is left out."""
        found = self.stored(map(self.id_of, names))
        jobs = (Job.of(each.document) for each in found.values())
        return {job.name: job for job in jobs}

    def open(self) -> list[Job]:
        """Those that are to be done, the oldest first. Raises SinkUnavailable."""
        jobs = [Job.of(each.document) for each in self.stored(self.listed()).values()]
        return sorted((each for each in jobs if each.is_open), key=lambda each: each.run.started_at)

    def recent(self) -> list[Job]:
        """Those that ended last, the latest first."""
        ids = (self._read(self._jobs_id) or {}).get("recent", ())
        jobs = [Job.of(each.document) for each in self.stored(ids).values()]
        return sorted((each for each in jobs if not each.is_open), key=lambda each: each.run.started_at, reverse=True)

    def listed(self) -> dict[str, int]:
        """The state ids of those that are to be done, with the numbers of their runs."""
        listed: dict[str, int] = (self._read(self._jobs_id) or {}).get("open", {})
        return listed

    def stored(self, ids: Iterable[str]) -> dict[str, Stored]:
        """Their documents, to be replaced."""
        wanted = list(ids)
        return self.store.get(wanted) if wanted else {}

    def unlist(self, state_id: str, number: int) -> None:
        """Take a run from the list that is at its end, unless the job was started again meanwhile."""

        def without(before: StateDocument | None) -> StateDocument | None:
            if before is None or before["open"].get(state_id) != number:
                return None
            recent = [state_id, *(each for each in before["recent"] if each != state_id)][:_RECENT]
            left = {name: each for name, each in before["open"].items() if name != state_id}
            return {**before, "open": left, "recent": recent}

        self.store.change(self._jobs_id, without)

    def id_of(self, name: JobName) -> str:
        """The id of a job's document."""
        return job_id(name.kind, name.subject, self._deployment)

    @property
    def _jobs_id(self) -> str:
        return jobs_id(self._deployment)

    def _list(self, state_id: str, number: int) -> None:
        def with_it(before: StateDocument | None) -> StateDocument | None:
            before = before or {"kind": "jobs", "name": self._deployment or "", "open": {}, "recent": []}
            if before["open"].get(state_id) == number:
                return None
            others = {name: each for name, each in before["open"].items() if name != state_id}
            newest = list(others.items())[-_OPEN:]
            return {**before, "open": {**dict(newest), state_id: number}}

        self.store.change(self._jobs_id, with_it)

    def _read(self, state_id: str) -> StateDocument | None:
        stored = self.stored([state_id]).get(state_id)
        return stored.document if stored else None
