"""The signs of life of worker processes: a document for each, written every second, and the list of them.

A lease is renewed every few seconds only, and says nothing of who stands by.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from penstock.opensearch.state.ids import worker_id, workers_id
from penstock.opensearch.state.store import Conflict, StateDocument, StateStore, Stored


class WorkerState:
    """What one process writes of itself. A write that fails is not repeated: the next one follows."""

    def __init__(self, store: StateStore, deployment: str | None, name: str) -> None:
        self.name = name
        self._store = store
        self._list_id = workers_id(deployment)
        self._is_listed = False
        self._beat = 0
        self._stored: Stored | None = None

    def beat(self, report: Mapping[str, Any]) -> None:
        """Write the next sign of life. Raises SinkUnavailable, SystemicFault."""
        if not self._is_listed:
            self._change_list(lambda names: [*names, self.name])
            self._is_listed = True
        self._beat += 1
        document = {"kind": "worker", "name": self.name, **report, "beat": self._beat}
        try:
            self._stored = self._store.put(worker_id(self.name), document, self._stored)
        except Conflict:  # taken off the list after a long silence
            self._is_listed, self._stored = False, None

    def leave(self) -> None:
        """Take the process off the list, at a clean end."""
        if self._is_listed:
            self.forget([self.name])

    def others(self) -> dict[str, tuple[int, int]]:
        """Return the processes of the list, this one too, with the place of their last write."""
        found = self._store.get([self._list_id]).get(self._list_id)
        names = worker_names(found.document if found else None)
        written = self._store.get(map(worker_id, names))
        stored = {name: written.get(worker_id(name)) for name in names}
        return {name: (each.seq_no, each.primary_term) if each else (-1, -1) for name, each in stored.items()}

    def forget(self, names: Iterable[str]) -> None:
        """Take processes off the list that are gone for good, and delete what they wrote."""
        gone = set(names)
        self._change_list(lambda listed: [each for each in listed if each not in gone])
        for name in gone:
            self._store.delete(worker_id(name))

    def _change_list(self, change: Callable[[list[str]], list[str]]) -> None:
        def changed(stored: StateDocument | None) -> StateDocument | None:
            before = worker_names(stored)
            after = list(dict.fromkeys(change(before)))
            return None if after == before else {"kind": "workers", "name": self._list_id, "workers": after}

        self._store.change(self._list_id, changed)


def worker_names(document: StateDocument | None) -> list[str]:
    """Return the names in the list of a deployment's worker processes."""
    return list(document["workers"]) if document else []
