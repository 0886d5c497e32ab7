"""Looks at suspects again until each of them is judged, and repaired where that is asked for."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import structlog

from penstock.errors import ReadAgain, Stopped
from penstock.model import WRITTEN, Refusal
from penstock.opensearch.dead_letters.letter import StoredLetter
from penstock.opensearch.dead_letters.store import MAX_BODY_BYTES
from penstock.operations.verify.directions import CheckedPage
from penstock.operations.verify.findings import Cause, FindingKind, VerifyFinding
from penstock.operations.verify.look import BothSides, DocumentLooks, DocumentVerdict, ExpectedDocument, Side, judged
from penstock.operations.verify.repair import Repairing
from penstock.operations.verify.suspects import Suspect, Suspects

log = structlog.get_logger(__name__)

TRIES: Final = 3
"""So often a document is repaired that differs again afterwards, because others write it."""

_LOOK_EVERY_S = 1.0


class _Case(NamedTuple):
    """A suspect whose time is over, as it was seen last."""

    suspect: Suspect
    look: BothSides
    verdict: DocumentVerdict


@dataclass
class Judging:
    """Judges the suspects of one generation; without `repairing` it only tells."""

    looking: DocumentLooks
    repairing: Repairing | None
    alias: str
    wait_s: float
    stop: threading.Event
    on_finding: Callable[[VerifyFinding], None]
    suspects: Suspects = field(default_factory=Suspects)
    _reported: set[Cause] = field(default_factory=set)

    def take(self, passed: CheckedPage) -> None:
        """Hold a page's suspects."""
        for suspect in passed.suspects:
            suspect.page.open += 1
            self.suspects.put(suspect)

    def settle(self, *, down_to: int) -> None:
        """Look at those that are due; wait for more while there are more than `down_to`. Raises Stopped too."""
        while not self.stop.is_set():
            if due := self.suspects.take_due():
                self._look(due)
            elif len(self.suspects) <= down_to:
                return
            else:
                self.stop.wait(min(self.suspects.next_in_s(), _LOOK_EVERY_S))
        raise Stopped("stopped before all differences were checked again")

    def _look(self, batch: Sequence[Suspect]) -> None:
        looks = self.looking.at({each.id: each.source_id for each in batch})
        over = []
        for suspect in batch:
            look = looks[suspect.id]
            verdict = judged(look.wanted, look.indexed, _side(suspect, look), self.looking.not_compared)
            suspect.saw(look.indexed_version)
            if verdict.kind in ("equal", "left out"):
                self._settled(suspect, verdict)
            elif verdict.kind == "different" and (cause := _cause(suspect, look, verdict)):
                self._found(suspect, "different", verdict, cause=cause)
            elif not suspect.is_over or (suspect.moved and suspect.gets_more_time(self.wait_s)):
                self.suspects.put(suspect)
            elif suspect.moved:
                self._found(suspect, "moving", verdict)
            else:
                over.append(_Case(suspect, look, verdict))
        if over:
            self._judge(over)

    def _settled(self, suspect: Suspect, verdict: DocumentVerdict) -> None:
        if suspect.written and suspect.first:
            self._found(suspect, _kind(suspect.first), suspect.first, repaired=True)
        elif verdict.kind == "left out":
            self._found(suspect, "left out", verdict)
        else:
            suspect.page.open -= 1
            suspect.page.tally.equal += suspect.side == "source"

    def _found(
        self,
        suspect: Suspect,
        kind: FindingKind,
        verdict: DocumentVerdict,
        *,
        repaired: bool = False,
        cause: Cause = "",
    ) -> None:
        suspect.page.open -= 1
        finding = VerifyFinding(kind, suspect.id, verdict.fields, repaired, cause)
        if cause and cause not in self._reported:
            self._reported.add(cause)
            log.warning(f"a document differs: {cause}", index=self.looking.index, fields=list(verdict.fields))
        suspect.page.tally.note(finding)
        if kind != "left out":
            self.on_finding(finding)

    def _judge(self, over: Sequence[_Case]) -> None:
        letters = self._letters(over)
        to_repair = []
        for case in over:
            suspect, letter = case.suspect, letters.get(case.suspect.id)
            if letter and _is_about(letter, case, self.alias):
                self._found(suspect, "dead-lettered", case.verdict)
            elif self.repairing and suspect.tries < TRIES:
                to_repair.append(case)
            else:
                self._found(suspect, _kind(case.verdict), case.verdict)
        if self.repairing and to_repair:
            self._repair(self.repairing, to_repair)

    def _letters(self, over: Sequence[_Case]) -> Mapping[str, StoredLetter]:
        ids = [case.suspect.id for case in over if case.verdict.kind in ("missing", "different")]
        namespace = self.looking.collection.namespace
        return self.looking.adapters.dead_letters.find(namespace, ids, self.alias) if ids else {}

    def _repair(self, repairing: Repairing, cases: Sequence[_Case]) -> None:
        """Repair, and look again; what may have arrived, or was read too long ago, is looked at and written again."""
        for case in cases:
            case.suspect.sent = True
        try:
            outcomes = repairing.write([case.look for case in cases])
        except ReadAgain as reason:
            log.info("checking again before the repair", reason=str(reason))
            for case in cases:
                self.suspects.put(case.suspect, at_once=True)
            return
        for case, outcome in zip(cases, outcomes, strict=True):
            if isinstance(outcome, Refusal):
                self._found(case.suspect, "dead-lettered", case.verdict)
                continue
            look = case.look
            wrote = (look.version_to_write, hash(look.wanted.body)) if outcome == WRITTEN else None
            case.suspect.was_mended(case.verdict, self.wait_s, wrote=wrote)
            self.suspects.put(case.suspect, at_once=True)


def _side(suspect: Suspect, look: BothSides) -> Side:
    """From which side to judge. What was deleted while it was repaired must not be back in the index by the repair."""
    return "index" if suspect.sent and look.wanted.state == "gone" else suspect.side


def _cause(suspect: Suspect, look: BothSides, verdict: DocumentVerdict) -> Cause:
    """Return why no repair helps: the index has just what the repair wrote, or nobody can know what it should hold."""
    if suspect.wrote == (look.indexed_version, hash(look.wanted.body)):
        return "changed on its way"
    return "function not repeatable" if look.unsteady and set(verdict.fields) <= set(look.unsteady) else ""


def _kind(verdict: DocumentVerdict) -> FindingKind:
    """The kind of finding that a verdict is which is not settled."""
    if verdict.kind == "equal":
        raise AssertionError("what is equal is no finding")
    return verdict.kind


def _is_about(letter: StoredLetter, case: _Case, alias: str) -> bool:
    """Whether a dead letter tells of what the document is now, and not of what it was before."""
    if letter.alias != alias or letter.version < case.look.indexed_version:
        return False
    return case.look.wanted.state == "refused" or _is_of(letter, case.look.wanted)


def _is_of(letter: StoredLetter, wanted: ExpectedDocument) -> bool:
    kept = wanted.body[:MAX_BODY_BYTES].decode("utf-8", "ignore")
    return letter.body_bytes == len(wanted.body) and letter.body == kept
