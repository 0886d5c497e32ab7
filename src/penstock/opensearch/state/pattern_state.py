"""The collections that were found by a pattern, in the order in which they were found.

One that is gone stays among them: its index is there, and it may come back.
"""

import secrets
from collections.abc import Iterable

from penstock.opensearch.state.store import Conflict, StateStore


class PatternState:
    """Several processes may note what they find at once."""

    def __init__(self, store: StateStore) -> None:
        self._store = store

    def read(self, patterns: Iterable[str]) -> dict[str, list[str]]:
        """By pattern, what was found so far. Raises SettingsError for a newer form, Stopped."""
        names = list(patterns)
        found = self._store.get(map(_id_of, names))
        return {name: list(found[_id_of(name)].document["found"]) if _id_of(name) in found else [] for name in names}

    def note(self, pattern: str, namespaces: Iterable[str]) -> list[str]:
        """Add those that are not noted yet, and answer all."""
        those = list(namespaces)
        while True:
            stored = self._store.get([_id_of(pattern)]).get(_id_of(pattern))
            before = list(stored.document["found"]) if stored else []
            after = [*before, *(each for each in those if each not in before)]
            if after == before:
                return before
            document = {"kind": "pattern", "name": pattern, "found": after, "written": secrets.token_hex(4)}
            try:
                self._store.put(_id_of(pattern), document, stored)
            except Conflict:
                continue
            return after


def _id_of(pattern: str) -> str:
    return f"pattern/{pattern}"
