"""How far the verify of one generation has come."""

from collections.abc import Mapping
from typing import Any

from penstock.opensearch.state.claim import ClaimedDocument
from penstock.opensearch.state.ids import verify_id
from penstock.opensearch.state.store import StateDocument, StateStore


class VerifyState:
    """Opening it shuts out whoever had it open before: their next save raises LeaseLost."""

    def __init__(self, store: StateStore, collection: str, generation: str, *, owner: str) -> None:
        state_id = verify_id(collection, generation)
        taken = f"Another `penstock verify` was started on the same index, so this one ends ({state_id})."
        self._claimed = ClaimedDocument(store, state_id, owner=owner, taken=taken)
        self._start = {"kind": "verify", "name": collection, "generation": generation}

    def open(self, basis: Mapping[str, Any], *, restart: bool) -> Mapping[str, Any] | None:
        """Claim the document. Return the saved progress, None where there is none, or only one of another `basis`."""

        def begin(before: StateDocument) -> StateDocument:
            progress = before.get("progress") if not restart and before.get("basis") == basis else None
            return {**self._start, **before, "basis": dict(basis), "progress": progress}

        self._claimed.claim(begin)
        progress: Mapping[str, Any] | None = self._claimed.document["progress"]
        return progress

    def save(self, progress: Mapping[str, Any]) -> None:
        """Save how far it has come."""
        self._claimed.write({"progress": dict(progress)})

    def finish(self, result: Mapping[str, Any]) -> None:
        """Save the result; the next verify begins anew."""
        self._claimed.write({"progress": None, "result": dict(result)})
