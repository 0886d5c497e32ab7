"""Why a document is, or is not, in the index as one expects: from what was seen to one sentence."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from penstock.model import seconds_of
from penstock.operations.inspect.differences import FieldComparison

SourceSays = Literal["there", "not there", "unreadable", "no collection"]
TransformSays = Literal["", "indexed", "left out", "refused"]
WorkerSays = Literal["running", "stopped", "waiting", "mapped"]
"""Running, or stopped; waiting: none has begun yet; mapped: an event source mapping of AWS Lambda does its work."""

Verdict = Literal[
    "in step",
    "left out",
    "absent",
    "ignored",
    "dead letter",
    "collection gone",
    "not loaded",
    "settings changed",
    "behind",
    "differs",
]
EXPECTED: frozenset[Verdict] = frozenset({"in step", "left out", "absent"})


@dataclass(frozen=True)
class Evidence:
    """What was seen of one document.

    `time` is the source's cluster time from before it was asked. `transformed` and `reason` say what the transform
    made of it; `fields` is the comparison with the index. `letter` is a dead letter's reason that nothing newer has
    answered. `position` is the saved one's time. `runs_other_code`: the function is not the one any more that the index
    was made with. `moved_on`: what is set otherwise by now than when it was made. `is_passed`: it was the same in an
    earlier look, and the worker has come beyond that since.
    """

    namespace: str
    source: SourceSays
    time: int
    index: str | None
    version: int | None
    transformed: TransformSays = ""
    reason: str = ""
    fields: Mapping[str, FieldComparison] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    letter: str = ""
    load: str | None = None
    worker: WorkerSays = "waiting"
    position: int | None = None
    runs_other_code: bool = False
    moved_on: tuple[str, ...] = ()
    is_passed: bool = False

    @property
    def is_indexed(self) -> bool:
        """Whether the index holds it."""
        return self.version is not None

    @property
    def behind_s(self) -> int:
        """How many seconds the saved position is before the look."""
        return max(0, seconds_of(self.time) - seconds_of(self.position or 0)) if self.position else 0


class Diagnosis(NamedTuple):
    """The verdict, and the sentence that says why and what to do."""

    verdict: Verdict
    sentence: str

    @property
    def is_expected(self) -> bool:
        """Whether the index is as source and settings say."""
        return self.verdict in EXPECTED


def conclude(seen: Evidence) -> Diagnosis:
    """Judge what was seen."""
    if seen.source == "no collection":
        return _of_no_collection(seen)
    what = _difference(seen)
    if what is None:
        return _as_expected(seen)
    if seen.letter:
        return Diagnosis(
            "dead letter",
            f"The index or the transform refused it: {seen.letter}. Mend the cause, then run"
            f" `penstock dead-letters replay {seen.namespace}`.",
        )
    verdict, why = _cause(seen)
    return Diagnosis(verdict, f"{what}: {why}")


def _of_no_collection(seen: Evidence) -> Diagnosis:
    if not seen.is_indexed:
        return Diagnosis(
            "absent", f"There is no collection {seen.namespace} at the source, and the index has no such document."
        )
    return Diagnosis(
        "collection gone",
        f"There is no collection {seen.namespace} at the source; its documents are kept in the index until it is back"
        ' (on_drop = "keep"), unless the drop is still to be followed.',
    )


def _difference(seen: Evidence) -> str | None:
    """What is not as it should be, None when nothing is."""
    if seen.source == "unreadable" or seen.transformed == "refused":
        return f"It cannot be indexed ({seen.reason}), and has no dead letter yet"
    if seen.source == "not there":
        return "It is deleted at the source and still in the index" if seen.is_indexed else None
    if seen.transformed == "left out":
        return "The transform leaves it out, and it is still in the index" if seen.is_indexed else None
    if not seen.is_indexed:
        return "It is at the source and not in the index"
    wrong = [path for path, each in seen.fields.items() if each.state != "equal"]
    return f"The index has another state of it ({', '.join(wrong[:5])})" if wrong else None


def _as_expected(seen: Evidence) -> Diagnosis:
    if seen.source == "not there":
        return Diagnosis(
            "absent",
            "Neither the source nor the index has a document with this id. (The document id of the number 5 is n:5,"
            " that of an ObjectId its 24 digits.)",
        )
    if seen.transformed == "left out":
        return Diagnosis("left out", "The transform leaves it out, and it is not in the index, as it should be.")
    if seen.ignored:
        return Diagnosis(
            "ignored",
            f"The index has it whole, but cannot search it by {', '.join(seen.ignored)}: the value is not of the"
            " field's type in the mapping. Map the field in another way, or mend the value.",
        )
    if seen.moved_on:
        return Diagnosis(
            "settings changed",
            f"The index holds it in the way it was made; the settings have moved on since ({', '.join(seen.moved_on)})."
            f" `penstock reindex {seen.namespace}` makes a new index by them.",
        )
    return Diagnosis("in step", "The index holds it as the source and the settings say.")


def _cause(seen: Evidence) -> tuple[Verdict, str]:
    """Why the index is not as it should be, and what to do."""
    again = f"`penstock load --again {seen.namespace}`"
    if seen.index is None or seen.load is None:
        return "not loaded", "the collection was never loaded. Start `penstock run`, or run `penstock load`."
    if seen.load != "live":
        return "not loaded", f"its load is not finished ({seen.load}). Let `penstock run` or `penstock load` finish it."
    if seen.runs_other_code:
        reindex = f"`penstock reindex {seen.namespace}`"
        return "settings changed", f"the code shapes it otherwise than when it was loaded. Run {reindex}, or {again}."
    return _of_worker(seen, again)


def _of_worker(seen: Evidence, again: str) -> tuple[Verdict, str]:
    if seen.worker == "mapped":
        return "behind", f"an event source mapping feeds this index; look there, or run {again}."
    if seen.worker != "running":
        return "behind", f"no worker is running, the saved position is {seen.behind_s:,} s old. Start `penstock run`."
    if not seen.is_passed:
        return "behind", f"the worker's saved position is {seen.behind_s:,} s before this look. Look again in a moment."
    return "differs", f"the worker has passed its last change, so it will not mend by itself. Run {again}."
