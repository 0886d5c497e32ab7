"""Ways of doing one thing, in alternating rounds of one run: medians with their spread, and ratios between the ways."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

ROUNDS = 7


class Took(NamedTuple):
    """What one round took: seconds of the wall, and of CPU of the process that did it; 0: not known."""

    seconds: float
    cpu_s: float = 0.0


@dataclass(frozen=True)
class Way:
    """One way of doing it. `before` is not measured; `check` raises when the result is not what it should be."""

    name: str
    run: Callable[[], Took]
    before: Callable[[], None] = lambda: None
    check: Callable[[], None] = lambda: None


@dataclass
class Figure:
    """The rounds of one way, as things a second."""

    name: str
    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.rates)


@dataclass
class Case:
    """One measurement: its ways, and the ratios between medians that were asked for, each with its target."""

    title: str
    things: str
    count: int
    figures: list[Figure]
    ratios: dict[str, tuple[float, float | None]]

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"medians": {each.name: each.median for each in self.figures}}


def measured(
    title: str,
    things: str,
    count: int,
    ways: Sequence[Way],
    ratios: Mapping[tuple[str, str], float | None],
    *,
    rounds: int = ROUNDS,
    warm_up: int = 1,
) -> Case:
    """Run the ways in turn, each round in another order; the first rounds warm the servers up and are thrown away.

    `ratios` names pairs of ways, the first over the second, and the least that the ratio should reach.
    """
    figures = {way.name: Figure(way.name) for way in ways}
    for number in range(warm_up + rounds):
        for way in [*ways[number % len(ways) :], *ways[: number % len(ways)]]:
            way.before()
            took = way.run()
            way.check()
            if number >= warm_up:
                figures[way.name].rates.append(count / took.seconds)
                figures[way.name].cpu_us.append(took.cpu_s / count * 1e6)
    found = {
        f"{one} / {other}": (statistics.median(_pairwise(figures[one], figures[other])), least)
        for (one, other), least in ratios.items()
    }
    return Case(title, things, count, list(figures.values()), found)


def _pairwise(one: Figure, other: Figure) -> list[float]:
    """The ratio within each round, so that a slow minute of the machine weighs on both."""
    return [mine / its for mine, its in zip(one.rates, other.rates, strict=True)]


def show(case: Case) -> None:
    """Print a case as a table, and its ratios."""
    table = Table("way", f"{case.things}/s, median", "spread", "CPU us each", title=case.title)
    for figure in case.figures:
        cpu = statistics.median(figure.cpu_us)
        table.add_row(
            figure.name,
            f"{figure.median:,.0f}",
            f"{min(figure.rates):,.0f} to {max(figure.rates):,.0f}",
            f"{cpu:.1f}" if cpu else "-",
        )
    console = Console()
    console.print(table)
    for name, (ratio, least) in case.ratios.items():
        goal = "" if least is None else f" (goal: at least {least:g})"
        console.print(f"  {name}: {ratio:.2f}{goal}")
