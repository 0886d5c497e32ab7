"""Ways of doing one thing, in alternating rounds of one run: medians with their spread, and ratios between the ways."""

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.results import Cell, Goal, Section, shown, spread

ROUNDS = 7
WIDTH = 120
"""Of tables that are not shown in a terminal."""


class Took(NamedTuple):
    """What one round took: seconds of the wall, and of CPU of the process that did it; 0: not known."""

    seconds: float
    cpu_s: float = 0.0


def timed(work: Callable[[], None]) -> Took:
    """Run it in this process."""
    began, cpu = time.perf_counter(), time.process_time()
    work()
    return Took(time.perf_counter() - began, time.process_time() - cpu)


@dataclass(frozen=True)
class Way:
    """One way of doing it. `before` is not measured; `check` raises if the result is not what it should be."""

    name: str
    run: Callable[[], Took]
    before: Callable[[], None] = lambda: None
    check: Callable[[], None] = lambda: None

    def round(self) -> Took:
        """Do it once, including what comes before and after."""
        self.before()
        took = self.run()
        self.check()
        return took


@dataclass
class Figure:
    """The rounds of one way, as things per second, and CPU microseconds per thing."""

    name: str
    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.rates)


@dataclass
class Case:
    """One measurement: its ways, and the ratios between them."""

    title: str
    things: str
    count: int
    figures: list[Figure]
    goals: list[Goal]
    notes: list[str] = field(default_factory=list)

    def section(self) -> Section:
        """The case as a table."""
        raw = {each.name: {"rates": each.rates, "cpu_us": each.cpu_us} for each in self.figures}
        columns = ("way", f"{self.things} a second, median", "spread", "CPU us each")
        return Section(self.title, columns, [_row(each) for each in self.figures], self.goals, self.notes, raw)


def _row(figure: Figure) -> list[Cell]:
    cpu = statistics.median(figure.cpu_us)
    rates = figure.rates
    return [figure.name, round(figure.median), spread(round(min(rates)), round(max(rates))), cpu or None]


def measured(
    title: str,
    things: str,
    count: int,
    ways: Sequence[Way],
    ratios: Mapping[tuple[str, str], float | None],
    *,
    cpu_ratios: Mapping[tuple[str, str], float | None] | None = None,
    rounds: int = ROUNDS,
) -> Case:
    """Run the ways in turn, each round in another order; rounds before the first warm the servers up.

    `ratios` names pairs of ways, the first over the second, and the least that the ratio of their rates should reach;
    `cpu_ratios` the most that the ratio of their CPU should be.
    """
    figures = {way.name: Figure(way.name) for way in ways}
    for number in numbered(rounds):
        for way in in_turn(ways, number):
            say(f"{title}: round {number} of {rounds}, {way.name}" if number else f"{title}: warming up, {way.name}")
            took = way.round()
            if number:
                figures[way.name].rates.append(count / took.seconds)
                figures[way.name].cpu_us.append(took.cpu_s / count * 1e6)
    say()
    goals = [
        goal(f"{one} / {other}", pairwise(figures[one].rates, figures[other].rates), least=least)
        for (one, other), least in ratios.items()
    ]
    goals += [
        goal(f"CPU of {one} / {other}", pairwise(figures[one].cpu_us, figures[other].cpu_us), most=most)
        for (one, other), most in (cpu_ratios or {}).items()
    ]
    return Case(title, things, count, list(figures.values()), goals)


def in_turn(ways: Sequence[Way], number: int) -> list[Way]:
    """The order of a round: from another way on, forwards and backwards, so that none always comes after the same one,
    whose remains (garbage, merges, caches) it would have to bear.
    """
    first = number // 2 % len(ways)
    order = [*ways[first:], *ways[:first]]
    return order[::-1] if number % 2 else order


def numbered(rounds: int) -> range:
    """The numbers of the rounds, from 1 on; before them 0 warms up and is thrown away, unless there is only one."""
    return range(0 if rounds > 1 else 1, rounds + 1)


def pairwise(one: Sequence[float], other: Sequence[float]) -> list[float]:
    """The ratio within each round, so that a slow minute of the machine weighs on both."""
    return [mine / its for mine, its in zip(one, other, strict=True)]


def goal(
    measure: str, rounds: Sequence[float], *, least: float | None = None, most: float | None = None, unit: str = ""
) -> Goal:
    """A goal from the figure's rounds: their median and spread."""
    return Goal(measure, statistics.median(rounds), min(rounds), max(rounds), least, most, unit)


def say(text: str = "", *, passing: bool = False) -> None:
    """Show on standard error what is going on: on a terminal in one line that changes; without a text, clear it.

    `passing`: not worth a line of its own elsewhere.
    """
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif text and not passing:
        print(text, file=sys.stderr, flush=True)


def show(found: Section | Case) -> None:
    """Print a section as a table, and its goals."""
    section = found.section() if isinstance(found, Case) else found
    table = Table(*map(escape, section.columns), title=escape(section.title))
    for row in section.rows:
        table.add_row(*(escape(shown(cell)) for cell in row))
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    console.print(table)
    for each in section.goals:
        wanted = f"; goal: {each.wanted}: {each.verdict}" if each.wanted else ""
        console.print(f"  {each.measure}: {each.told} ({spread(each.low, each.high)}){wanted}", highlight=False)
    for note in section.notes:
        console.print(f"  {note}", highlight=False)
