"""A state document that one process writes at a time: opening it shuts out the process that had it open before."""

import secrets
import threading
from collections.abc import Callable, Mapping
from typing import Any

from penstock.errors import LeaseLost
from penstock.opensearch.state.store import Conflict, StateDocument, StateStore, Stored


class ClaimedDocument:
    """Every write carries a beat of its own, so that no two are alike. Several threads may use it.

    `taken` is the message of the LeaseLost that a write raises after another process has claimed the document.
    """

    def __init__(self, store: StateStore, state_id: str, *, owner: str, taken: str) -> None:
        self._store = store
        self._id = state_id
        self._owner = f"{owner}/{secrets.token_hex(4)}"
        self._taken = taken
        self._lock = threading.Lock()
        self._stored: Stored | None = None

    def claim(self, begin: Callable[[StateDocument], StateDocument]) -> None:
        """Claim the document and write the result of `begin`, which is given an empty one if there is none yet.

        Raises LeaseLost if another process claims it at the same moment.
        """
        found = self._store.get([self._id]).get(self._id)
        before = found.document if found else {}
        with self._lock:
            self._put({"beat": 0, **begin(before), "owner": self._owner}, found)

    @property
    def document(self) -> dict[str, Any]:
        """The document as last written. Raises LeaseLost."""
        if self._stored is None:
            raise LeaseLost(self._taken)
        return self._stored.document

    def write(self, changes: Mapping[str, Any]) -> None:
        """Write the document with the changes. Raises LeaseLost."""
        with self._lock:
            self._put({**self.document, **changes}, self._stored)

    def _put(self, document: dict[str, Any], expected: Stored | None) -> None:
        try:
            self._stored = self._store.put(self._id, {**document, "beat": document["beat"] + 1}, expected)
        except Conflict as error:
            self._stored = None
            raise LeaseLost(self._taken) from error
