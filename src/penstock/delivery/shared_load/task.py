"""A range of a load as a record of the topic of its tasks."""

import json
from dataclasses import dataclass
from typing import Self

from penstock.errors import PositionLost
from penstock.mongo.id_ranges import IdSlice
from penstock.opensearch.state.shared_load import LoadPlan


@dataclass(frozen=True)
class Task:
    """One range, or without a part none. `load` is the plan that it belongs to, `number` counts them from 1 on."""

    load: str
    number: int
    part: IdSlice | None

    def encoded(self) -> bytes:
        """Return the value of the record."""
        part = self.part.text() if self.part else None
        return json.dumps({"load": self.load, "number": self.number, "part": part}).encode()

    @classmethod
    def of(cls, value: bytes | None, plan: LoadPlan) -> Self | None:
        """Read a record; None for one of another plan, and for what is no task."""
        try:
            task = json.loads(value or b"")
            if task["load"] != plan.id:
                return None
            return cls(task["load"], int(task["number"]), IdSlice.of(task["part"]) if task["part"] else None)
        except (ValueError, TypeError, KeyError, PositionLost):
            return None


def group_of(group: str, index: str) -> str:
    """Return the group of the load of an index; no index is called so."""
    return f"{group}.{index}.load"
