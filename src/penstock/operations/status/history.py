"""The history of pipelines and reactions, from the samples that their workers keep.

What an event source mapping of AWS Lambda feeds has no worker, and so no samples: CloudWatch has its history.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from penstock.opensearch.state.ids import samples_id
from penstock.opensearch.state.samples import COLUMNS, Row, parts_between, read_samples
from penstock.opensearch.state.store import StateDocument

Span = Literal["15m", "1h", "6h", "7d"]

SPANS: Final[tuple[Span, ...]] = get_args(Span)

_SECONDS: Final[Mapping[Span, int]] = {"15m": 900, "1h": 3600, "6h": 6 * 3600, "7d": 7 * 24 * 3600}

_RATES = ("written", "folded", "superseded", "filtered", "dead_lettered", "control", "accepted", "batches")

States = Callable[[Sequence[str]], Mapping[str, StateDocument]]


@dataclass(frozen=True)
class History:
    """The samples of one pipeline within a span of time, oldest first; a column for each number, None for no number.

    `columns` has the time `at` in seconds of the worker's clock, and what opensearch/state/samples.py lists; what
    counts changes (`written` and so on) is a rate in changes per second.
    """

    pipeline: str
    since: float
    until: float
    columns: Mapping[str, Sequence[float | None]]

    @property
    def times(self) -> Sequence[float]:
        """When each sample was taken."""
        return [each or 0.0 for each in self.columns["at"]]

    def last(self, column: str) -> float | None:
        """Return the newest number of a column that is known."""
        return next((each for each in reversed(self.columns[column]) if each is not None), None)

    def buckets(self, column: str, count: int) -> list[float | None]:
        """Return the highest number in each of some equal parts of the span: what a small picture shows."""
        found: list[float | None] = [None] * count
        for at, value in zip(self.times, self.columns[column], strict=True):
            if value is not None:
                place = min(count - 1, int((at - self.since) / (self.until - self.since) * count))
                found[place] = value if (known := found[place]) is None else max(known, value)
        return found

    def as_json(self) -> dict[str, Any]:
        """Return it for people's own programs."""
        return {"pipeline": self.pipeline, "since": self.since, "until": self.until, "columns": dict(self.columns)}


def histories(
    states: States,
    pipelines: Iterable[str],
    span: Span,
    *,
    only: Iterable[str] = tuple(COLUMNS),
    now: float | None = None,
) -> dict[str, History]:
    """Read the history of several pipelines by one request; empty for what has none. Raises SinkUnavailable.

    A reaction goes by the id of its state. `only` these columns are read, beside the time. `now` is the end of the span
    by the clock of who looks.
    """
    until = time.time() if now is None else now
    since = until - _SECONDS[span]
    names, only = list(dict.fromkeys(pipelines)), tuple(only)
    found = states([samples_id(name, part) for name in names for part in parts_between(since, until)])
    return {
        name: History(name, since, until, _columns(read_samples(found, name, since, until, only))) for name in names
    }


def _columns(rows: Sequence[Row]) -> dict[str, list[float | None]]:
    columns = {name: [row.get(name) for row in rows] for name in COLUMNS}
    for name in _RATES:
        columns[name] = [_rate(value, for_s) for value, for_s in zip(columns[name], columns["for_s"], strict=True)]
    return columns


def _rate(count: float | None, for_s: float | None) -> float | None:
    return None if count is None else round(count / max(for_s or 0.0, 1.0), 3)
