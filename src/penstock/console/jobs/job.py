"""What is kept of a job: the lease, the run that was started last, and the results of those before it.

waiting       started; the next console with a free place takes it, also one that was resumed after its console ended
running       a console has the lease and writes the progress with each beat
done          the operation came to its end; `result` says what it found or did
failed        it ended with an error
stopped       somebody pressed stop
interrupted   its console ended, and such an operation is not begun again by itself
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple, get_args

from penstock.opensearch.state.store import StateDocument
from penstock.operations.verify.findings import REPAIRABLE

JobKind = Literal["verify", "repair", "replay", "drop", "replay-events", "drop-events", "reindex", "load"]
KINDS: Final[tuple[JobKind, ...]] = get_args(JobKind)

JobState = Literal["waiting", "running", "done", "failed", "stopped", "interrupted"]
OPEN: Final[frozenset[str]] = frozenset({"waiting", "running"})

HISTORY: Final = 20
"""How many results are kept of each kind and subject."""


class Person(NamedTuple):
    """Who does something: the name given at log-in, or the role's where none was given."""

    name: str
    role: str


class JobName(NamedTuple):
    """What a lease is for: two of one name never run at once. `subject`: a collection, or a reaction."""

    kind: JobKind
    subject: str

    def __str__(self) -> str:
        return f"{self.kind} of {self.subject}"


@dataclass(frozen=True)
class JobFinding:
    """One document that is not simply equal: its id and the names of the fields, never their values."""

    kind: str
    id: str
    fields: tuple[str, ...] = ()
    repaired: bool = False
    cause: str = ""

    @property
    def is_repairable(self) -> bool:
        """Whether a repair may help."""
        return self.kind in REPAIRABLE and not self.repaired


@dataclass(frozen=True)
class JobRun:
    """One run of a job. Times are those of the machine that wrote them: shown, never compared.

    `total` is an estimate of what is to be done, `done` how much of it was, at `per_s` a second. `counts` is what the
    operation counts; `found` counts findings by kind, and `findings` are the first of each. `resumed`: how often it was
    taken up after its console had ended. `is_good`: whether the result needs nobody's attention.
    """

    number: int
    state: JobState
    arguments: Mapping[str, Any]
    by: Person
    started_at: datetime
    ended_at: datetime | None
    resumed: int
    doing: str
    total: int | None
    done: int
    per_s: float | None
    counts: Mapping[str, int]
    found: Mapping[str, int]
    findings: tuple[JobFinding, ...]
    lines: tuple[tuple[datetime, str], ...]
    result: str
    is_good: bool

    @property
    def is_open(self) -> bool:
        """Whether it is still to be done."""
        return self.state in OPEN

    @property
    def share(self) -> float | None:
        """How much of it is done, between 0 and 1; None where nobody knows."""
        return min(1.0, self.done / self.total) if self.total else None

    @property
    def left_s(self) -> float | None:
        """How long it may still take."""
        return max(0, self.total - self.done) / self.per_s if self.total and self.per_s else None

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "JobRun":
        """Read it; a summary in the history lacks what is only shown while it runs."""
        ended = stored.get("ended_at")
        return cls(
            number=stored["number"],
            state=stored["state"],
            arguments=stored["arguments"],
            by=Person(*stored["by"]),
            started_at=datetime.fromisoformat(stored["started_at"]),
            ended_at=datetime.fromisoformat(ended) if ended else None,
            resumed=stored["resumed"],
            doing=stored.get("doing", ""),
            total=stored.get("total"),
            done=stored.get("done", 0),
            per_s=stored.get("per_s"),
            counts=stored.get("counts", {}),
            found=stored.get("found", {}),
            findings=tuple(_finding(each) for each in stored.get("findings", ())),
            lines=tuple((datetime.fromisoformat(at), text) for at, text in stored.get("lines", ())),
            result=stored["result"],
            is_good=stored["is_good"],
        )


@dataclass(frozen=True)
class Job:
    """A job as it is kept. `stop` is who has asked it to stop; `owner` the console that runs it, empty for none."""

    name: JobName
    run: JobRun
    history: tuple[JobRun, ...]
    owner: str
    stop: str = ""

    @property
    def is_open(self) -> bool:
        """Whether the run is still to be done."""
        return self.run.is_open

    @classmethod
    def of(cls, stored: StateDocument) -> "Job":
        """Read it."""
        history = tuple(map(JobRun.of, stored["history"]))
        return cls(
            _name(stored), JobRun.of(stored["run"]), history, stored["owner"], (stored["stop"] or {}).get("by", "")
        )


def new_run(number: int, arguments: Mapping[str, Any], by: Person) -> dict[str, Any]:
    """Return a run that waits for a console."""
    return {
        "number": number,
        "state": "waiting",
        "arguments": dict(arguments),
        "by": list(by),
        "started_at": now_text(),
        "ended_at": None,
        "resumed": 0,
        "result": "",
        "is_good": True,
    }


def ended(document: StateDocument, state: JobState, result: str, *, is_good: bool) -> dict[str, Any]:
    """Return the document with its run at an end and among the results; nobody has the lease."""
    run = {**document["run"], "state": state, "result": result, "is_good": is_good, "ended_at": now_text()}
    summary = {name: value for name, value in run.items() if name not in ("lines", "findings", "doing", "per_s")}
    return {**document, "run": run, "history": [summary, *document["history"]][:HISTORY], "owner": "", "stop": None}


def now_text() -> str:
    """Return the time of now as it is kept."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _finding(stored: Mapping[str, Any]) -> JobFinding:
    fields = tuple(stored["fields"])
    return JobFinding(stored["kind"], stored["id"], fields, stored["repaired"], stored["cause"])


def _name(stored: StateDocument) -> JobName:
    return JobName(stored["job"], stored["subject"])
