"""How far the verify of one generation has come."""

import secrets
from collections.abc import Mapping
from typing import Any

from penstock.errors import LeaseLost
from penstock.opensearch.state.store import Conflict, StateStore, Stored


class VerifyState:
    """Opening it shuts out whoever had it open before: their next save raises LeaseLost."""

    def __init__(self, store: StateStore, collection: str, generation: str, *, owner: str) -> None:
        self._store = store
        self._id = f"verify/{collection}/{generation}"
        self._start = {"kind": "verify", "name": collection, "generation": generation, "beat": 0}
        self._owner = f"{owner}/{secrets.token_hex(4)}"
        self._stored: Stored | None = None

    def open(self, basis: Mapping[str, Any], *, restart: bool) -> Mapping[str, Any] | None:
        """Claim the document; answers the saved progress, None to begin: there is none, or it is of another `basis`."""
        found = self._store.get([self._id]).get(self._id)
        before = found.document if found else {}
        progress = before.get("progress") if not restart and before.get("basis") == basis else None
        document = {**self._start, **before, "owner": self._owner, "basis": dict(basis), "progress": progress}
        self._put(document, found)
        return progress

    def save(self, progress: Mapping[str, Any]) -> None:
        """Save how far it has come."""
        self._change({"progress": dict(progress)})

    def finish(self, result: Mapping[str, Any]) -> None:
        """Save the result; the next verify begins anew."""
        self._change({"progress": None, "result": dict(result)})

    def _change(self, changes: Mapping[str, Any]) -> None:
        if self._stored is None:
            raise self._lost()
        self._put({**self._stored.document, **changes}, self._stored)

    def _put(self, document: Mapping[str, Any], expected: Stored | None) -> None:
        try:
            self._stored = self._store.put(self._id, {**document, "beat": document["beat"] + 1}, expected)
        except Conflict as error:
            self._stored = None
            raise self._lost() from error

    def _lost(self) -> LeaseLost:
        return LeaseLost(f"Another `penstock verify` has begun on the same index, so this one ends ({self._id}).")
