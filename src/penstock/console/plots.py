"""Small pictures of numbers over time, made at the server: for who has no JavaScript, and for one line of a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from penstock.operations.status.history import History

WIDTH, HEIGHT = 600, 120
"""The picture's own units; a page gives it its size."""

_SPARK_POINTS = 40
_CHART_POINTS = 120


@dataclass(frozen=True)
class Line:
    """One line of a chart: its name, the class that gives it its colour, its path, and its lowest, highest and last."""

    title: str
    kind: str
    path: str
    least: float | None
    most: float | None
    last: float | None


@dataclass(frozen=True)
class Chart:
    """A chart with its lines; `name` is how the script calls it. `top` is the number at its upper edge."""

    name: str
    title: str
    unit: str
    lines: Sequence[Line]
    top: float

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known."""
        return all(each.last is None for each in self.lines)


Titles = Mapping[str, str]


def spark(history: History | None, column: str) -> str:
    """Return the path of a small line, 100 wide and 20 high; empty without numbers."""
    if history is None:
        return ""
    values = history.buckets(column, _SPARK_POINTS)
    most = max((each for each in values if each is not None), default=None)
    return "" if most is None else path_of(values, top=most or 1.0, width=100, height=20)


def chart(history: History, name: str, title: str, unit: str, columns: Titles) -> Chart:
    """Return a chart of some columns, each with its name."""
    values = {column: history.buckets(column, _CHART_POINTS) for column in columns}
    known = [each for its in values.values() for each in its if each is not None]
    top = max(known, default=0.0) or 1.0
    lines = []
    for number, (column, words) in enumerate(columns.items()):
        its = [each for each in history.columns[column] if each is not None]
        least, most = (min(its), max(its)) if its else (None, None)
        path = path_of(values[column], top=top, width=WIDTH, height=HEIGHT)
        lines.append(Line(words, f"line-{number + 1}", path, least, most, history.last(column)))
    return Chart(name, title, unit, lines, top)


def path_of(values: Sequence[float | None], *, top: float, width: int, height: int) -> str:
    """Return an SVG path through the numbers, with a gap where there is none."""
    step = width / max(1, len(values) - 1)
    points = [
        None if each is None else f"{number * step:.1f} {height - each / top * height:.1f}"
        for number, each in enumerate(values)
    ]
    pieces = []
    for before, point in pairwise([None, *points]):
        if point is not None:
            pieces.append(f"{'L' if before is not None else 'M'}{point}")
    alone = [point for point in points if point is not None]
    return f"M{alone[0]}h0.1" if len(alone) == 1 else "".join(pieces)
