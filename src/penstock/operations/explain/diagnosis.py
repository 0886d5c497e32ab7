"""Why a document is, or is not, in the index as one expects: from what was seen to one sentence."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from penstock.model import seconds_of
from penstock.operations.inspect.differences import FieldComparison

SourceSays = Literal["there", "not there", "unreadable", "no collection"]
TransformSays = Literal["", "indexed", "left out", "refused"]
WorkerSays = Literal["running", "stopped", "waiting", "mapped", "topics"]
"""Running, or stopped; waiting: none has begun yet; mapped, topics: an event source mapping of
AWS Lambda, or topics of Kafka, bring the changes instead."""

Verdict = Literal[
    "in step",
    "left out",
    "absent",
    "ignored",
    "moved",
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
    answered. `moved` are fields by which the index finds it elsewhere. `position` is the saved one's time.
    `runs_other_code`: the function is not the one any more that the index was made with. `moved_on`: what is set
    differently from when it was made. `is_passed`: it was the same in an earlier look, and the worker has come
    beyond that since.
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
    moved: tuple[str, ...] = ()
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
            f"The index or the transform refused the document: {seen.letter}. Fix the cause, then run"
            f" `penstock dead-letters replay {seen.namespace}`.",
        )
    verdict, why = _cause(seen)
    return Diagnosis(verdict, f"{what}: {why}")


def _of_no_collection(seen: Evidence) -> Diagnosis:
    if not seen.is_indexed:
        return Diagnosis(
            "absent", f"The source has no collection {seen.namespace}, and the index has no such document."
        )
    return Diagnosis(
        "collection gone",
        f"The source has no collection {seen.namespace}. Its documents are kept in the index until it is created again"
        ' (on_drop = "keep"), unless the worker has not reached the drop yet.',
    )


def _difference(seen: Evidence) -> str | None:
    """What is not as it should be, None when nothing is."""
    if seen.source == "unreadable" or seen.transformed == "refused":
        return f"The document cannot be indexed ({seen.reason}), and has no dead letter yet"
    if seen.source == "not there":
        return "The document is deleted at the source but still in the index" if seen.is_indexed else None
    if seen.transformed == "left out":
        return "The transform leaves the document out, but it is still in the index" if seen.is_indexed else None
    if not seen.is_indexed:
        return "The document is at the source but not in the index"
    wrong = [path for path, each in seen.fields.items() if each.state != "equal"]
    return f"The document in the index differs ({', '.join(wrong[:5])})" if wrong else None


def _as_expected(seen: Evidence) -> Diagnosis:
    if seen.source == "not there":
        return Diagnosis(
            "absent",
            "Neither the source nor the index has a document with this id. (The document id of the number 5 is n:5;"
            " that of an ObjectId is its 24 digits.)",
        )
    if seen.transformed == "left out":
        return Diagnosis("left out", "The transform leaves the document out, so it is not in the index.")
    if seen.ignored:
        return Diagnosis(
            "ignored",
            f"The index has the whole document, but cannot search it by {', '.join(seen.ignored)}: the value does not"
            " fit the field's type in the mapping. Change the mapping, or correct the value.",
        )
    if seen.moved:
        return Diagnosis(
            "moved",
            f"The index has the whole document, but finds it at another place by {', '.join(seen.moved)}: OpenSearch"
            " moves a latitude beyond 90 or a longitude beyond 180 degrees into range. Are the two interchanged?"
            " Correct the value. With ignore_malformed set to false for the field, and a reindex, such a document is"
            " refused.",
        )
    if seen.moved_on:
        return Diagnosis(
            "settings changed",
            "The index holds the document according to the settings it was created with, which have changed since"
            f" ({', '.join(seen.moved_on)}). Apply the new ones with `penstock reindex {seen.namespace}`.",
        )
    return Diagnosis("in step", "The index holds the document as it is at the source.")


def _cause(seen: Evidence) -> tuple[Verdict, str]:
    """Why the index is not as it should be, and what to do."""
    again = f"`penstock load --again {seen.namespace}`"
    if seen.index is None or seen.load is None:
        return "not loaded", "the collection was never loaded. Start `penstock run`, or run `penstock load`."
    if seen.load != "live":
        return "not loaded", f"its load is not finished ({seen.load}). Let `penstock run` or `penstock load` finish it."
    if seen.runs_other_code:
        reindex = f"`penstock reindex {seen.namespace}`"
        return "settings changed", f"the function's code has changed since the load. Run {reindex}, or {again}."
    return _of_worker(seen, again)


def _of_worker(seen: Evidence, again: str) -> tuple[Verdict, str]:
    if seen.worker == "mapped":
        return "behind", f"an event source mapping feeds this index; check the mapping, or run {again}."
    if seen.worker == "topics":
        return "behind", f"topics of Kafka feed this index; check that `penstock apply` runs, or run {again}."
    if seen.worker != "running":
        return "behind", f"no worker is running; the saved position is {seen.behind_s:,} s old. Start `penstock run`."
    if not seen.is_passed:
        return "behind", f"the worker's saved position is {seen.behind_s:,} s behind. Try again in a moment."
    return "differs", f"the worker has passed the document's last change, so it will not correct this. Run {again}."
