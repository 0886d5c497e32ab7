"""Who did what on the pages, when, and with which result: a bounded log in penstock-state, the newest first."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from penstock.console.jobs.job import Person, now_text
from penstock.opensearch.state.ids import activity_id
from penstock.opensearch.state.store import StateDocument, StateStore

Kind = Literal["", "log-in", "refused"]

KEPT: Final[dict[Kind, int]] = {"": 500, "log-in": 100, "refused": 20}
"""How many entries of each kind are kept; log-ins push out nothing that somebody did."""

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
        self,
        by: Person,
        what: str,
        subject: str,
        result: str = "",
        *,
        is_good: bool = True,
        key: str = "",
        kind: Kind = "",
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
            "kind": kind,
        }

        def with_it(before: StateDocument | None) -> StateDocument | None:
            before = before or {"kind": "activity", "name": self._id, "entries": []}
            if key and any(each["key"] == key for each in before["entries"]):
                return None
            return {**before, "entries": _kept([entry, *before["entries"]])}

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


def _kept(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the newest of each kind; entries of earlier versions have none."""
    kept, count = [], Counter[Kind]()
    for each in entries:
        kind: Kind = each.get("kind", "")
        count[kind] += 1
        if count[kind] <= KEPT[kind]:
            kept.append(each)
    return kept
