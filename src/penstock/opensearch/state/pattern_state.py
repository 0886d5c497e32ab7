"""The collections that a pattern has found, in the order in which they were found.

One that is gone stays in the list: its index exists, and it may come back.
"""

import secrets
from collections.abc import Iterable

from penstock.opensearch.state.ids import pattern_id
from penstock.opensearch.state.store import Conflict, StateStore


class PatternState:
    """Stores what patterns find; several processes may do so at once."""

    def __init__(self, store: StateStore) -> None:
        self._store = store

    def read(self, patterns: Iterable[str]) -> dict[str, list[str]]:
        """Return what was found so far, by pattern. Raises SettingsError for a newer format, Stopped."""
        names = list(patterns)
        stored = self._store.get(map(pattern_id, names))
        found = {name: stored.get(pattern_id(name)) for name in names}
        return {name: list(each.document["found"]) if each else [] for name, each in found.items()}

    def note(self, pattern: str, namespaces: Iterable[str]) -> list[str]:
        """Add those that are new, and return all."""
        those, state_id = list(namespaces), pattern_id(pattern)
        while True:
            stored = self._store.get([state_id]).get(state_id)
            before = list(stored.document["found"]) if stored else []
            after = [*before, *(each for each in those if each not in before)]
            if after == before:
                return before
            document = {"kind": "pattern", "name": pattern, "found": after, "written": secrets.token_hex(4)}
            try:
                self._store.put(state_id, document, stored)
            except Conflict:
                continue
            return after
