"""The progress of verifying a generation."""

import time
from collections.abc import Mapping
from typing import Any, Final

from penstock.opensearch.state.claim import ClaimedDocument
from penstock.opensearch.state.ids import verify_id
from penstock.opensearch.state.store import StateDocument, StateStore

_RESUMES_WITHIN_S: Final = 3600.0
"""By the clocks of the machines. What was compared long before says nothing about an index as it is now."""


class VerifyState:
    """Opening it shuts out the process that had it open before: its next save raises LeaseLost."""

    def __init__(self, store: StateStore, collection: str, generation: str, *, owner: str) -> None:
        state_id = verify_id(collection, generation)
        taken = f"Another `penstock verify` was started on the same index, so this one ends ({state_id})."
        self._claimed = ClaimedDocument(store, state_id, owner=owner, taken=taken)
        self._start = {"kind": "verify", "name": collection, "generation": generation}

    def open(self, basis: Mapping[str, Any], *, restart: bool) -> Mapping[str, Any] | None:
        """Claim the document. Return the saved progress, None if there is none.

        Progress of another `basis`, or that was saved more than an hour ago, is forgotten.
        """

        def begin(before: StateDocument) -> StateDocument:
            is_recent = time.time() - before.get("saved_at", 0.0) <= _RESUMES_WITHIN_S
            resumes = is_recent and not restart and before.get("basis") == basis
            progress = before.get("progress") if resumes else None
            return {**self._start, **before, "basis": dict(basis), "progress": progress}

        self._claimed.claim(begin)
        progress: Mapping[str, Any] | None = self._claimed.document["progress"]
        return progress

    def save(self, progress: Mapping[str, Any]) -> None:
        """Save the progress."""
        self._claimed.write({"progress": dict(progress), "saved_at": time.time()})

    def finish(self, result: Mapping[str, Any]) -> None:
        """Save the result; the next verify starts from the beginning."""
        self._claimed.write({"progress": None, "result": dict(result)})
