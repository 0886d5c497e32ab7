"""What the tables of the settings stand for: the collections that a pattern has found, and those that are not served.

One that is gone stays in the list of its pattern: its index exists, and it may come back.
"""

import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress

from penstock.opensearch.state.ids import pattern_id, unserved_id
from penstock.opensearch.state.store import Conflict, StateDocument, StateStore


class PatternState:
    """Stores what patterns find; several processes may do so at once."""

    def __init__(self, store: StateStore, deployment: str | None = None) -> None:
        self._store = store
        self._deployment = deployment

    def read(self, patterns: Iterable[str]) -> dict[str, list[str]]:
        """Return what was found so far, by pattern. Raises SettingsError for a newer format, Stopped."""
        names = list(patterns)
        ids = {name: pattern_id(name, self._deployment) for name in names}
        stored = self._store.get(ids.values())
        found = {name: stored.get(state_id) for name, state_id in ids.items()}
        return {name: list(each.document["found"]) if each else [] for name, each in found.items()}

    def note(self, pattern: str, namespaces: Iterable[str]) -> list[str]:
        """Add those that are new, and return all."""
        those, state_id = list(namespaces), pattern_id(pattern, self._deployment)

        def with_them(stored: StateDocument | None) -> StateDocument | None:
            before = list(stored["found"]) if stored else []
            new = [each for each in those if each not in before]
            return {"kind": "pattern", "name": pattern, "found": [*before, *new]} if new else None

        document, _ = self._store.change(state_id, with_them)
        return list(document.get("found", ()))


class UnservedState:
    """Stores why collections cannot be served at present, by the table of the settings; read by `status`."""

    def __init__(self, store: StateStore, deployment: str | None = None) -> None:
        self._store = store
        self._deployment = deployment

    def read(self, tables: Iterable[str]) -> dict[str, str]:
        """Return the reasons, by the name of the collection. Raises SettingsError for a newer format, Stopped."""
        stored = self._store.get(unserved_id(table, self._deployment) for table in tables)
        return {name: reason for each in stored.values() for name, reason in each.document["reasons"].items()}

    def note(self, table: str, reasons: Mapping[str, str]) -> None:
        """Replace what is known of a table. Another process may do so too: then that one looks again as well."""
        state_id = unserved_id(table, self._deployment)
        stored = self._store.get([state_id]).get(state_id)
        if (dict(stored.document["reasons"]) if stored else {}) != reasons:
            document = {
                "kind": "unserved",
                "name": table,
                "reasons": dict(reasons),
                "written": secrets.token_hex(4),
            }
            with suppress(Conflict):
                self._store.put(state_id, document, stored)
