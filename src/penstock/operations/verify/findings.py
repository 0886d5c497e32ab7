"""What a verify finds, in bounded form: counts, and the first documents of each kind."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from penstock.opensearch.read.ignored import IgnoredValues

FindingKind = Literal["missing", "different", "too many", "moving", "left out", "dead-lettered"]
"""Missing, different, too many: of the document in the index. Moving: it differs, and its version in the index has
moved all the time that it was looked at, so somebody is writing it. Left out: by the transform, and not in the index.
Dead-lettered: what it is now was refused by the index or the transform, and a dead letter says so."""

KINDS: Final[tuple[FindingKind, ...]] = ("missing", "different", "too many", "moving", "left out", "dead-lettered")
REPAIRABLE: Final[tuple[FindingKind, ...]] = ("missing", "different", "too many")
"""What a repair writes or deletes."""

KEPT: Final = 20
"""How many findings of each kind are kept."""


Cause = Literal["", "changed on its way", "function not repeatable"]
"""Why a document differs, where that is known: something (an ingest pipeline) stored other values than the repair sent;
or the function makes something else of the same document each time."""

_WHAT_TO_DO: Final[dict[Cause, str]] = {
    "changed on its way": "something changes documents on their way into the index (fields: {}), such as an ingest"
    " pipeline: remove it, or name the fields in `not_compared`",
    "function not repeatable": "the function gives another result for the same document each time (fields: {}): it must"
    " depend on the document alone",
}


class VerifyFinding(NamedTuple):
    """One document that is not simply equal; `fields` are the names of those that differ, never their values.

    `repaired`: it is equal since.
    """

    kind: FindingKind
    id: str
    fields: tuple[str, ...] = ()
    repaired: bool = False
    cause: Cause = ""


def causes(findings: Iterable[VerifyFinding]) -> list[str]:
    """Return a sentence for each known cause among the findings, with the fields and with what to do."""
    fields: dict[Cause, set[str]] = {}
    for each in findings:
        fields.setdefault(each.cause, set()).update(each.fields)
    return [what.format(", ".join(sorted(fields[cause]))) for cause, what in _WHAT_TO_DO.items() if cause in fields]


@dataclass
class VerifyTally:
    """Counts of what was gone through, and the first findings of each kind."""

    documents: int = 0
    equal: int = 0
    repaired: int = 0
    found: dict[FindingKind, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    kept: list[VerifyFinding] = field(default_factory=list)

    def note(self, finding: VerifyFinding) -> bool:
        """Count a finding; answers whether it is kept."""
        self.found[finding.kind] += 1
        self.repaired += finding.repaired
        return self._keep(finding)

    def add(self, other: "VerifyTally") -> None:
        """Add what another one has."""
        self.documents += other.documents
        self.equal += other.equal
        self.repaired += other.repaired
        for kind, count in other.found.items():
            self.found[kind] += count
        for finding in other.kept:
            self._keep(finding)

    def _keep(self, finding: VerifyFinding) -> bool:
        is_kept = sum(each.kind == finding.kind for each in self.kept) < KEPT
        if is_kept:
            self.kept.append(finding)
        return is_kept

    def stored(self) -> dict[str, Any]:
        """A form for a state document."""
        plain = {"documents": self.documents, "equal": self.equal, "repaired": self.repaired, "found": self.found}
        return {**plain, "kept": [finding._asdict() for finding in self.kept]}

    @classmethod
    def of(cls, stored: Mapping[str, Any] | None) -> "VerifyTally":
        """Read it back; empty without any."""
        if stored is None:
            return cls()
        kept = [
            VerifyFinding(each["kind"], each["id"], tuple(each["fields"]), each["repaired"], each.get("cause", ""))
            for each in stored["kept"]
        ]
        found = {**dict.fromkeys(KINDS, 0), **stored["found"]}
        return cls(stored["documents"], stored["equal"], stored["repaired"], found, kept)


@dataclass(frozen=True)
class Verified:
    """What became of the verify of one generation.

    `tally` counts the source's documents, `in_index` is how many documents of the index were gone through. `ignored`
    is what the index does not search by, in documents that are equal all the same; None where that is not known.
    `not_compared` names the fields that may hold anything.
    `dropped`: the collection is not there and its index is kept as it is, so nothing was compared.
    """

    namespace: str
    index: str
    tally: VerifyTally
    in_index: int = 0
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    dropped: bool = False
    ignored: IgnoredValues | None = None
    not_compared: tuple[str, ...] = ()

    @property
    def is_equal(self) -> bool:
        """Whether the index holds exactly what the collection says it should."""
        found = self.tally.found
        wrong = sum(found[kind] for kind in REPAIRABLE) - self.tally.repaired
        return not (self.dropped or wrong or found["moving"] or found["dead-lettered"])

    @property
    def documents_per_s(self) -> float:
        """Documents of the source a second, both directions together."""
        return self.tally.documents / self.seconds if self.seconds else 0.0
