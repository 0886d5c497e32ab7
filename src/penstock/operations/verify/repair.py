"""Repair: writes to the index what the source holds, in the way in which everything outside the stream is written.

A write carries the higher of two versions: the source's time from before its reading, and the version that the index
had before that. What the stream brought after the look is newer than both, so the write is refused. The index's is the
higher one only where it is beyond the source's log (the source was restored): no other is accepted there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from penstock.errors import SystemicFault
from penstock.model import Letter, Outcome, Position, Refusal, TransformedChange, Write
from penstock.operations.verify.look import BothSides
from penstock.pipeline.fold import letter
from penstock.planner import FedGeneration
from penstock.wiring import Adapters


@dataclass
class Repairing:
    """Repairs the documents of one generation; stores as dead letters what is refused."""

    adapters: Adapters
    collection: FedGeneration
    alias: str
    letters: int = 0

    def write(self, looks: Sequence[BothSides]) -> list[Outcome]:
        """Write what was seen at the looks; a document that has no form in the index is refused.

        Raises ReadAgain, Stopped, SinkUnavailable, and SystemicFault when too much is refused.
        """
        able = [look for look in looks if look.wanted.state != "refused"]
        first_read = min((look.read_at for look in able), default=None)
        send_before = None if first_read is None else first_read + self.adapters.intervals.send_within_s
        written = iter(self.adapters.sink.write([_write(look, self.alias) for look in able], send_before=send_before))
        outcomes = [
            Refusal(0, look.wanted.reason) if look.wanted.state == "refused" else next(written) for look in looks
        ]
        self._store(_letter(self.collection, self.alias, *each) for each in zip(looks, outcomes, strict=True))
        return outcomes

    def _store(self, letters: Iterable[Letter | None]) -> None:
        kept = [each for each in letters if each]
        self.letters += len(kept)
        self.adapters.dead_letters.store(kept)
        limit = self.adapters.rules().dead_letter_limit
        if self.letters > limit:
            raise SystemicFault(
                f"{self.collection.namespace}: the repair made {self.letters} dead letters, the limit is {limit}. The"
                f" index {self.alias} or the transform refuses too many documents; see the reasons with `penstock"
                " dead-letters list`. Fix the cause, or raise [pipeline] dead_letter_limit."
            )


def _write(look: BothSides, alias: str) -> Write:
    body = look.wanted.body if look.wanted.state == "body" else None
    return Write(alias, look.id, look.version_to_write, body)


def _letter(collection: FedGeneration, alias: str, look: BothSides, outcome: Outcome) -> Letter | None:
    """The dead letter of what was refused for good."""
    if not isinstance(outcome, Refusal):
        return None
    version = look.version_to_write
    change = TransformedChange(collection.namespace, "upsert", version, look.source_id)
    reason = f"{outcome.status}: {outcome.reason}" if outcome.status else outcome.reason
    return letter(change, alias, look.id, Position("", look.version), reason, look.wanted.body or None)
