"""Who did what on the pages, when, and with which result: a bounded log in penstock-state, the newest first."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from penstock.console.jobs.job import Person, now_text
from penstock.opensearch.state.ids import activity_id
from penstock.opensearch.state.store import StateDocument, StateStore

KEPT: Final = 500
"""Older entries are dropped."""

_MAX_TEXT: Final = 1000


@dataclass(frozen=True)
class ActivityEntry:
    """What somebody did, or what became of it. `at`: by the clock of the machine that noted it."""

    at: datetime
    by: Person
    what: str
    subject: str
    result: str
    is_good: bool


class ActivityLog:
    """Raises SinkUnavailable where the index is away."""

    def __init__(self, store: StateStore, deployment: str | None) -> None:
        self._store = store
        self._id = activity_id(deployment)

    def note(
        self, by: Person, what: str, subject: str, result: str = "", *, is_good: bool = True, key: str = ""
    ) -> None:
        """Add an entry; one with a key that is noted already is not noted twice."""
        entry = {
            "at": now_text(),
            "by": list(by),
            "what": what,
            "subject": subject,
            "result": result[:_MAX_TEXT],
            "is_good": is_good,
            "key": key,
        }

        def with_it(before: StateDocument | None) -> StateDocument | None:
            before = before or {"kind": "activity", "name": self._id, "entries": []}
            if key and any(each["key"] == key for each in before["entries"]):
                return None
            return {**before, "entries": [entry, *before["entries"]][:KEPT]}

        self._store.change(self._id, with_it)

    def entries(self) -> list[ActivityEntry]:
        """All that is kept, the newest first."""
        stored = self._store.get([self._id]).get(self._id)
        return [
            ActivityEntry(
                datetime.fromisoformat(each["at"]),
                Person(*each["by"]),
                each["what"],
                each["subject"],
                each["result"],
                each["is_good"],
            )
            for each in (stored.document["entries"] if stored else ())
        ]
