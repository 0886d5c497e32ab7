"""The results of the faults, stored in faults/results.json."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from faults import HERE

RESULTS = HERE / "results.json"


@dataclass(frozen=True)
class Result:
    """The result of a fault. `recovered_s`: from the end of each fault until what was written then is in the index.

    `lost`: documents that are missing or old in the index. `doubled`: those that are in the index twice. `resurrected`:
    those that are in the index but no longer in the source. `balanced`: every change read has an outcome, and if one
    worker survived all of it, it read every change of the source.
    """

    name: str
    title: str
    seed: int
    times: int
    lost: int
    doubled: int
    resurrected: int
    balanced: bool
    recovered_s: Sequence[float]
    changes: int
    documents: int
    dead_letters: int
    equal: bool
    at: str = ""
    commit: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kept(self) -> bool:
        """Whether nothing was lost, doubled or resurrected."""
        return self.equal and self.balanced and not (self.lost or self.doubled or self.resurrected)


def read(file: Path = RESULTS) -> dict[str, Result]:
    """Return all results so far, by name."""
    if not file.exists():
        return {}
    return {each["name"]: Result(**each) for each in json.loads(file.read_text(encoding="utf-8"))}


def write(result: Result, file: Path = RESULTS) -> None:
    """Replace the last result of a fault."""
    found = {**read(file), result.name: result}
    text = json.dumps([asdict(found[name]) for name in sorted(found)], indent=1)
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(text + "\n", encoding="utf-8")
    unfinished.replace(file)
