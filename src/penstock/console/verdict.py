"""From what status sees to one true sentence: all is in step, or what is wrong and the command that heals it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from penstock.console.words import number, percent, seconds
from penstock.observe.wording import counted
from penstock.operations.status.reactions import ReactionStatus
from penstock.operations.status.report import CollectionStatus, Status
from penstock.operations.status.workers import WorkerStatus

Kind = Literal["bad", "warn", "busy", "good"]

SHORT_OF_TIME_S: Final = 30 * 60.0
"""A position that the source keeps for less than this is nearly lost."""

_MANY_RECORDS: Final = 10_000
"""Above this number of records the topics of an index pile up."""

_ORDER: Final[dict[Kind, int]] = {"bad": 0, "warn": 1, "busy": 2, "good": 3}


@dataclass(frozen=True)
class Remark:
    """What is to be said of a collection or a reaction; `command` heals it. `cause` is the same for all it concerns."""

    kind: Kind
    cause: str
    text: str
    command: str = ""


@dataclass(frozen=True)
class Sentence:
    """The sentence on top; `moving` is the end of it that changes all the time."""

    kind: Kind
    text: str
    moving: str = ""
    command: str = ""


@dataclass(frozen=True)
class Judged:
    """A collection, and what is to be said of it, the worst first."""

    status: CollectionStatus
    remarks: Sequence[Remark]
    eta_s: float | None

    @property
    def kind(self) -> Kind:
        """How it is: the worst of the remarks."""
        return self.remarks[0].kind if self.remarks else "good"

    @property
    def text(self) -> str:
        """What a filter looks for, in lower case."""
        status = self.status
        return " ".join([status.namespace, status.index, status.state, *(each.text for each in self.remarks)]).lower()

    @property
    def share_left(self) -> float:
        """The time left for its position, of what is enough."""
        return min(1.0, max(0.0, (self.status.position_left_s or 0.0) / (4 * SHORT_OF_TIME_S)))

    @property
    def place(self) -> tuple[int, int, str]:
        """Where it stands in a list with the worst first. Small changes of the lag do not move it."""
        lag = int(self.status.lag_s or 0).bit_length() if (self.status.lag_s or 0) >= 16 else 0
        return _ORDER[self.kind], -lag, self.status.namespace


def judge(each: CollectionStatus, *, in_step_s: float) -> Judged:
    """Return what is to be said of a collection."""
    remarks = sorted(_remarks(each, in_step_s), key=lambda remark: _ORDER[remark.kind])
    return Judged(each, remarks, _eta_s(each))


def sentence_of(found: Status, judged: Sequence[Judged]) -> Sentence:
    """Return the sentence on top of the overview."""
    if found.source_problem:
        return Sentence("bad", f"The source cannot be asked. {found.source_problem}", command="penstock check")
    remarks = [(each.status.namespace, remark) for each in judged for remark in each.remarks[:1]]
    remarks += [(each.name, remark) for each in found.reactions for remark in _of_reaction(each)]
    remarks += [(each.name, _silent(each)) for each in found.workers if each.state == "silent"]
    if found.index_slow:
        slow = f"answers slowly or takes no writes: {found.index_slow}. That a worker is gone is not noticed meanwhile"
        remarks.append(("OpenSearch", Remark("busy", "", slow)))
    for kind in ("bad", "warn", "busy"):
        worst = [(name, remark) for name, remark in remarks if remark.kind == kind]
        if worst:
            return _of_worst(worst, judged)
    return _all_is_well(judged)


def _of_worst(worst: Sequence[tuple[str, Remark]], judged: Sequence[Judged]) -> Sentence:
    """Say the commonest cause among the worst, for all that have it."""
    causes = [remark.cause for _, remark in worst]
    cause = max(dict.fromkeys(causes), key=causes.count)
    same = [(name, remark) for name, remark in worst if remark.cause == cause]
    first = same[0][1]
    whom = _whom([name for name, _ in same], total=len(judged))
    others = 0 if first.kind == "busy" else len(worst) - len(same)
    more = f" {counted(others, 'other')} {'needs' if others == 1 else 'need'} a look too." if others else ""
    text = f"{whom} {first.cause}" if len(same) > 1 else f"{whom} {first.text}"
    return Sentence(first.kind, f"{text}.{more}", command=first.command if len(same) == 1 else _common(same))


def _common(same: Sequence[tuple[str, Remark]]) -> str:
    commands = {remark.command for _, remark in same}
    return commands.pop() if len(commands) == 1 else ""


def _whom(names: Sequence[str], *, total: int) -> str:
    if len(names) == 1:
        return names[0]
    return f"All {len(names)} collections" if len(names) == total else f"{len(names)} of {total} collections"


def _all_is_well(judged: Sequence[Judged]) -> Sentence:
    live = [each.status for each in judged]
    if not live:
        return Sentence("warn", "No collection is declared.", command="penstock init")
    if all(each.state == "mapped" for each in live):
        return Sentence("good", f"{_all(live)} fed by AWS Lambda, which alone knows how far.")
    lag = max((each.lag_s for each in live if each.lag_s is not None), default=None)
    moving = "" if lag is None else f"; {'it' if len(live) == 1 else 'the slowest'} is {_behind(lag)} behind"
    return Sentence("good", f"{_all(live)} in step", moving=f"{moving}.")


def _behind(lag_s: float) -> str:
    return seconds(lag_s) if lag_s >= 0.1 else "less than 0.1 s"


def _all(live: Sequence[CollectionStatus]) -> str:
    return f"{live[0].namespace} is" if len(live) == 1 else f"All {number(len(live))} collections are"


def _eta_s(each: CollectionStatus) -> float | None:
    """How long a load still takes at the present rate, about."""
    if each.load:
        return each.load.eta_s
    if each.state not in ("loading", "reconciling") or not each.writes_per_s:
        return None
    if each.documents_source is None or each.documents_index is None:
        return None
    return max(0, each.documents_source - each.documents_index) / each.writes_per_s


def _remarks(each: CollectionStatus, in_step_s: float) -> Iterator[Remark]:
    yield from _of_state(each)
    if each.lost:
        yield Remark("bad", "lost their position and are being loaded again", f"lost its position ({each.lost})")
    if each.held_for:
        yield Remark(
            "bad",
            "are not fed, because a worker holds their pipeline for other collections",
            f"is not fed: a worker holds the pipeline {each.pipeline} for {each.held_for}. Let it feed all of them, or"
            " give each deployment a [pipeline] name",
        )
    if each.position_left_s is not None and each.position_left_s < SHORT_OF_TIME_S:
        left = seconds(max(0.0, each.position_left_s))
        yield Remark(
            "bad",
            "will soon lose their position",
            f"loses its position in {left}: the source forgets the changes that it needs next",
            "penstock run",
        )
    for generation in each.generations:
        if generation.failed:
            kind: Kind = "bad" if generation.role == "serving" else "warn"
            yield Remark(
                kind, "have an index that is not updated", f"does not update {generation.index}: {generation.failed}"
            )
    if each.state == "live" and each.records_behind is not None and each.records_behind > _MANY_RECORDS:
        yield Remark("warn", "have many records to go", f"has {counted(each.records_behind, 'record')} to go")
    if each.state == "live" and each.lag_s is not None and each.lag_s > in_step_s:
        yield Remark("warn", "are behind the source", f"is {seconds(each.lag_s)} behind the source")
    yield from _of_documents(each)


def _of_state(each: CollectionStatus) -> Iterator[Remark]:
    if each.capture and each.capture.is_missing:
        yield Remark("bad", "are not captured", "is not captured: no process is known to do so", _CAPTURE)
    if each.brought_by == "topics" and each.state in ("stopped", "standby", "waiting"):
        nobody = "no process has partitions of its topics" if each.members else "no process applies its topics"
        yield Remark("bad", "are not fed from their topics", f"is not fed: {nobody}", _APPLY)
    elif each.state == "stopped":
        yield Remark("bad", "have stopped, because no worker is running", "has stopped: no worker is running", _RUN)
    elif each.state == "unserved":
        yield Remark("bad", "cannot be served", f"cannot be served: {each.unserved}", "penstock check")
    elif each.state == "waiting":
        yield Remark("warn", "wait for their first worker", "waits for its first worker", _RUN)
    elif each.state == "dropped":
        yield Remark("warn", "were dropped at the source", "was dropped at the source; its documents are kept")
    elif each.state in ("loading", "reconciling"):
        share = "" if each.loaded is None else f", {percent(each.loaded)} so far"
        yield Remark("busy", "are being loaded", f"is being loaded{share}")


def _of_documents(each: CollectionStatus) -> Iterator[Remark]:
    if each.dead_letters:
        yield Remark(
            "warn",
            "have documents that the index refused",
            f"has {counted(each.dead_letters, 'document')} that the index refused",
            f"penstock dead-letters list {each.namespace}",
        )
    if each.searched_in:
        yield Remark(
            "warn",
            "are searched in an index of somebody else",
            f"is searched in {each.searched_in}, which penstock does not update: its alias {each.index} was moved",
        )


_RUN: Final = "penstock run"
_APPLY: Final = "penstock apply"
_CAPTURE: Final = "penstock capture"


def _silent(each: WorkerStatus) -> Remark:
    text = f"(a worker) has given no sign of life for {seconds(each.silent_s)}"
    return Remark("warn", "give no sign of life", text)


def _of_reaction(each: ReactionStatus) -> Iterator[Remark]:
    if each.state in ("stopped", "failed"):
        why = each.reason or "no worker is running"
        kind: Kind = "bad" if each.state == "stopped" else "warn"
        yield Remark(kind, "have reactions that stand still", f"(a reaction) has {each.state}: {why}", _RUN)
    elif each.dead_letters:
        yield Remark(
            "warn",
            "have events that their target refused",
            f"(a reaction) has {counted(each.dead_letters, 'event')} that its target refused",
            f"penstock dead-letters list --reaction {each.name}",
        )
