"""The history of a pipeline or a reaction: a sample every ten seconds, in documents of an hour; and one for each ten
minutes, in documents of a day.

    SampleRing   what the holder of the lease writes, and what it deletes in time
    read_samples what was written of a span of time, for a reader

A sample is a row of numbers; a document has a list for each column. Nothing waits for it: rows that cannot be written
stay in memory, as many as a document holds, and are written with a later one.
"""

import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from statistics import fmean, median
from typing import Final, Literal, NamedTuple

from penstock.opensearch.state.ids import samples_id
from penstock.opensearch.state.store import Conflict, StateDocument, StateStore, Stored

FINE_KEPT_S: Final = 7 * 24 * 3600
COARSE_KEPT_S: Final = 90 * 24 * 3600
COARSE_S: Final = 600
MOST_ROWS: Final = 360
"""In one document; the oldest rows give way."""

_HOUR_S, _DAY_S = 3600, 24 * 3600

Row = Mapping[str, float | None]
"""One sample. `at` is the time of the worker's clock in seconds, `for_s` how long it covers."""


class Column(NamedTuple):
    """How a column is kept, and what ten minutes of it become.

    Numbers are kept as whole ones, times `scale`; `steps`: as differences from the one before.
    """

    coarse: Literal["sum", "max", "mean", "median", "last"]
    scale: int = 1
    steps: bool = False


COLUMNS: Final[Mapping[str, Column]] = {
    "at": Column("last", steps=True),
    "for_s": Column("sum", steps=True),
    "clock_s": Column("last", scale=10, steps=True),
    "lag_s": Column("max", scale=10),
    "written": Column("sum"),
    "folded": Column("sum"),
    "superseded": Column("sum"),
    "filtered": Column("sum"),
    "dead_lettered": Column("sum"),
    "control": Column("sum"),
    "accepted": Column("sum"),
    "pending": Column("max"),
    "batches": Column("sum"),
    "write_p50_ms": Column("median"),
    "write_p99_ms": Column("max"),
    "documents_source": Column("last", steps=True),
    "documents_index": Column("last", steps=True),
    "letters": Column("last", steps=True),
    "loaded": Column("last", scale=1000, steps=True),
    "memory_mb": Column("max", steps=True),
    "cpu": Column("mean", scale=100),
}
"""Of a reaction `accepted` and `pending`, of a pipeline the others. `clock_s` is how far the source's clock is ahead of
the worker's; `loaded` the share of the documents that is loaded."""


def hour_of(at: float) -> str:
    """Return the part of the fine samples of a time."""
    return f"h{int(at) // _HOUR_S}"


def day_of(at: float) -> str:
    """Return the part of the coarse samples of a time."""
    return f"d{int(at) // _DAY_S}"


class SampleRing:
    """Writes the history of one pipeline, under its lease: what an earlier holder has begun goes on.

    `may_write` says whether the lease is held, `epoch` is that of the lease. One thread adds rows, another one writes.
    """

    def __init__(self, store: StateStore, pipeline: str, *, epoch: int, may_write: Callable[[], bool]) -> None:
        self._store = store
        self._pipeline = pipeline
        self._epoch = epoch
        self._may_write = may_write
        self._lock = threading.Lock()
        self._pending: deque[tuple[str, Row]] = deque(maxlen=MOST_ROWS)
        """Rows that are not written yet, with the part that each belongs to."""
        self._slot: list[Row] = []
        """The rows of the ten minutes that are not over."""
        self._has_resumed = False
        self._parts: dict[str, tuple[Stored | None, list[Row]]] = {}
        """By part, at most an hour and a day: what is stored, and its rows."""

    def add(self, row: Row) -> None:
        """Take a row; it is written with the next `write`."""
        with self._lock:
            if self._slot and _slot(self._slot[-1]) != _slot(row):
                self._pending.append(_coarse_row(self._slot))
                self._slot = []
            self._slot.append(row)
            self._pending.append((hour_of(_at(row)), row))

    def write(self) -> None:
        """Write the rows that were added since. Raises SinkUnavailable, SystemicFault, SettingsError, Conflict.

        Nothing is written without the lease, nor over what a later holder has written.
        """
        while self._pending and self._may_write():
            if not self._has_resumed:
                self._resume()
            with self._lock:
                part = self._pending[0][0]
                rows = [row for its, row in self._pending if its == part]
            self._append(part, rows)
            with self._lock:
                left = (each for each in self._pending if not any(each[1] is row for row in rows))
                self._pending = deque(left, maxlen=MOST_ROWS)

    def _resume(self) -> None:
        """Go on with the ten minutes that an earlier holder has begun, however long ago."""
        now = hour_of(next(_at(row) for _, row in self._pending))
        hours = [each for each in self._listed()[1] if each[0] == "h" and int(each[1:]) <= int(now[1:])]
        rows = self._part(max(hours, key=lambda each: int(each[1:])))[1] if hours else []
        with self._lock:
            begun = [row for row in rows if _slot(row) == _slot(rows[-1])]
            if begun and self._slot and _slot(begun[-1]) == _slot(self._slot[0]):
                self._slot = [*begun, *self._slot]
            elif begun:
                self._pending.appendleft(_coarse_row(begun))
        self._has_resumed = True

    def _append(self, part: str, rows: Sequence[Row]) -> None:
        stored, before = self._part(part)
        if stored is None:
            self._begin(part)
        there = {round(_at(row)) for row in before}  # of a write that had no answer, too
        kept = [*before, *(row for row in rows if round(_at(row)) not in there)][-MOST_ROWS:]
        document = {
            "kind": "samples",
            "name": self._pipeline,
            "epoch": self._epoch,
            "columns": columns_of(kept),
            "written": _token(),
        }
        try:
            self._parts[part] = self._store.put(samples_id(self._pipeline, part), document, stored), kept
        except Conflict:
            self._parts.pop(part, None)  # read again next time
            raise

    def _part(self, part: str) -> tuple[Stored | None, list[Row]]:
        if part not in self._parts:
            state_id = samples_id(self._pipeline, part)
            stored = self._store.get([state_id]).get(state_id)
            self._parts[part] = stored, rows_of(stored.document["columns"]) if stored else []
        stored, rows = self._parts[part]
        if stored and stored.document["epoch"] > self._epoch:
            raise Conflict(f"A later holder of the lease of {self._pipeline} writes its history.")
        return stored, rows

    def _begin(self, part: str) -> None:
        """Note a new part, after the ones whose time is over were deleted."""
        stored, known = self._listed()
        over = [each for each in known if is_over(each, part)]
        for each in over:
            self._store.delete(samples_id(self._pipeline, each))
        parts = [each for each in known if each not in over and each != part]
        document = {"kind": "samples-list", "name": self._pipeline, "parts": [*parts, part], "written": _token()}
        self._store.put(samples_id(self._pipeline, "list"), document, stored)
        for each in [each for each in self._parts if each[0] == part[0] and each != part]:
            del self._parts[each]

    def _listed(self) -> tuple[Stored | None, list[str]]:
        """Return the list of the parts that there are, as it is stored, and as it says."""
        state_id = samples_id(self._pipeline, "list")
        stored = self._store.get([state_id]).get(state_id)
        return stored, list(stored.document["parts"]) if stored else []


def forget_samples(store: StateStore, pipeline: str) -> None:
    """Delete the history of a pipeline that nobody will run again. Raises Stopped."""
    state_id = samples_id(pipeline, "list")
    stored = store.get([state_id]).get(state_id)
    for part in stored.document["parts"] if stored else ():
        store.delete(samples_id(pipeline, part))
    store.delete(state_id)


def is_over(part: str, now: str) -> bool:
    """Whether a part is older than what is kept, as of the time of another one."""
    kept_s, length_s = (FINE_KEPT_S, _HOUR_S) if part[0] == "h" else (COARSE_KEPT_S, _DAY_S)
    now_s = int(now[1:]) * (_HOUR_S if now[0] == "h" else _DAY_S)
    return int(part[1:]) * length_s + kept_s < now_s


def parts_between(since: float, until: float) -> list[str]:
    """Return the parts that hold the samples of a span: the fine ones while they are kept, and few."""
    if until - since <= _DAY_S:
        return [f"h{number}" for number in range(int(since) // _HOUR_S, int(until) // _HOUR_S + 1)]
    days = [f"d{number}" for number in range(int(since) // _DAY_S, int(until) // _DAY_S + 1)]
    return [*days, hour_of(until - _HOUR_S), hour_of(until)]


def read_samples(
    states: Mapping[str, StateDocument], pipeline: str, since: float, until: float, only: Iterable[str] = tuple(COLUMNS)
) -> list[Row]:
    """Return the rows of a span, by the state documents of its parts; fine ones go on where coarse ones end.

    `only` these columns, and the time.
    """
    wanted = {"at", "for_s", *only}
    rows: list[Row] = []
    for part in parts_between(since, until):
        document = states.get(samples_id(pipeline, part))
        last = _at(rows[-1]) if rows else 0.0
        columns = {name: its for name, its in document["columns"].items() if name in wanted} if document else {}
        found = rows_of(columns)
        rows += [row for row in found if _at(row) > last]
    return [row for row in rows if since <= _at(row) <= until]


def coarse(rows: Sequence[Row]) -> Row:
    """Return the row that stands for all of these, at least one."""
    return {name: _coarse(column, [row.get(name) for row in rows]) for name, column in COLUMNS.items()}


def _coarse(column: Column, values: Iterable[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    if not known:
        return None
    how: Mapping[str, Callable[[Sequence[float]], float]] = {
        "sum": sum,
        "max": max,
        "mean": fmean,
        "median": median,
        "last": lambda its: its[-1],
    }
    return how[column.coarse](known)


def columns_of(rows: Sequence[Row]) -> dict[str, list[int | None]]:
    """Return the rows as they are kept: whole numbers, by column, without columns of which nothing is known."""
    kept = {}
    for name, column in COLUMNS.items():
        values = [None if (each := row.get(name)) is None else round(each * column.scale) for row in rows]
        if any(each is not None for each in values):
            kept[name] = _steps(values) if column.steps else values
    return kept


def rows_of(columns: Mapping[str, Sequence[int | None]]) -> list[Row]:
    """Return the rows of a document; columns of a later version are left out."""
    known = {name: columns[name] for name in COLUMNS if name in columns}
    values = {name: _sums(its) if COLUMNS[name].steps else its for name, its in known.items()}
    scaled = {
        name: [None if each is None else each / COLUMNS[name].scale for each in its] for name, its in values.items()
    }
    return [dict(zip(scaled, row, strict=True)) for row in zip(*scaled.values(), strict=True)]


def _steps(values: Sequence[int | None]) -> list[int | None]:
    """Differences from the last one that is known; the first of those is kept whole."""
    steps: list[int | None] = []
    last = 0
    for each in values:
        steps.append(None if each is None else each - last)
        last = last if each is None else each
    return steps


def _sums(steps: Sequence[int | None]) -> list[int | None]:
    sums = accumulate(each or 0 for each in steps)
    return [None if step is None else total for step, total in zip(steps, sums, strict=True)]


def _coarse_row(rows: Sequence[Row]) -> tuple[str, Row]:
    return day_of(_at(rows[-1])), coarse(rows)


def _slot(row: Row) -> int:
    return int(_at(row)) // COARSE_S


def _at(row: Row) -> float:
    return row["at"] or 0.0


def _token() -> str:
    return secrets.token_hex(4)
