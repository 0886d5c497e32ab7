"""Item 6: more collections, larger documents, more requests in flight, many more documents.

    .venv/bin/python -m benchmarks.growth [--rounds 7] [--documents 50000] [--some 100000] [--many 1000000]

The first three compare loads in this process with raw bulk requests of the same bodies; the last one runs the commands
`penstock load` and `penstock run`, each in a process of its own, on --some documents and on --many,
--rounds-of-many times.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from statistics import median
from typing import TypeVar

from benchmarks.ground import DB, Ground, generated
from benchmarks.item import Given, main
from benchmarks.load import load_way, raw_way, require_equal_load
from benchmarks.memory import Peak, catch_up_apart, load_apart
from benchmarks.results import Section
from benchmarks.rounds import Took, Way, goal, measured, pairwise, say
from penstock.observe.metrics import Metrics
from penstock.worker import worker

COLLECTIONS = (1, 10, 100)
SIZES_KB = (0.5, 5.0, 50.0)
IN_FLIGHT = (1, 2, 4)
PAIR = ("penstock load", "raw bulk")
Found = TypeVar("Found")


class Clock:
    """Follows loads, as `penstock.worker.progress.Progress`: the time from the first start to the last end.

    The indexes are made before the first begins.
    """

    def __init__(self) -> None:
        self.took = Took(0.0)
        self._began: Took | None = None

    def started(self, _namespace: str, _total: int | None) -> None:
        self._began = self._began or self._now()

    def advanced(self, _namespace: str, _documents: int) -> None:
        """See Progress."""

    def finished(self, _namespace: str) -> None:
        assert self._began is not None
        self.took = Took(*(now - then for now, then in zip(self._now(), self._began, strict=True)))

    def _now(self) -> Took:
        return Took(time.perf_counter(), time.process_time())


def load_all(at: Ground, names: Sequence[str]) -> Took:
    clock = Clock()
    only = frozenset(f"{DB}.{name}" for name in names)
    worker.load(at.settings(names), stop=threading.Event(), metrics=Metrics(), progress=clock, only=only)
    return clock.took


def collections_case(at: Ground, collections: int, documents: int, rounds: int) -> Section:
    """Measure with a number of collections that share the documents."""
    names = [f"of{collections}-{number}" for number in range(collections)]
    some = generated(documents)
    count = sum(at.fill(name, islice(some, documents // collections)) for name in names)
    load = Way("penstock load", lambda: load_all(at, names), at.clear, lambda: at.require_total(names, count))
    title = f"{count:,} documents in {collections} {'collection' if collections == 1 else 'collections'}"
    least = 0.7 if collections == COLLECTIONS[-1] else None
    found = measured(title, "documents", count, [load, raw_way(at, names, count)], {PAIR: least}, rounds=rounds)
    at.clear()
    load_all(at, names)
    for name in names:
        at.require_equal(name)
        at.mongo[DB].drop_collection(name)
    return found.section()


def size_case(at: Ground, size_kb: float, documents: int, rounds: int) -> Section:
    """Measure with documents of another size, and correspondingly fewer of them."""
    name = f"kb{size_kb:g}".replace(".", "-")
    count = at.fill(name, generated(max(10, int(documents * SIZES_KB[0] / size_kb)), int(size_kb * 1000)))
    title = f"{count:,} documents of {size_kb:g} KB"
    both = [load_way(at, name, count), raw_way(at, [name], count)]
    found = measured(title, "documents", count, both, {PAIR: None}, rounds=rounds)
    require_equal_load(at, name)
    at.mongo[DB].drop_collection(name)
    return found.section()


def in_flight_case(at: Ground, name: str, requests: int, count: int, rounds: int) -> Section:
    """Measure with a number of requests in flight, on both sides."""
    title = f"{requests} {'request' if requests == 1 else 'requests'} in flight, {count:,} documents"
    both = [load_way(at, name, count, requests_in_flight=requests), raw_way(at, [name], count, threads=requests)]
    found = measured(title, "documents", count, both, {PAIR: None}, rounds=rounds)
    require_equal_load(at, name)
    return found.section()


def many_case(at: Ground, some: int, many: int, rounds: int) -> Iterator[Section]:
    """Rate and memory of the commands, with some documents and with many."""
    for name, count in (("some", some), ("many", many)):
        say(f"filling {count:,} documents")
        at.fill(name, generated(count))
    raw = {name: raw_way(at, [name], count) for name, count in (("some", some), ("many", many))}
    both = alternating(
        rounds, lambda name, count: (count / raw[name].round().seconds, load_apart(at, name)), some, many
    )
    at.require_equal("many")
    at.mongo[DB].drop_collection("many")  # the local source keeps everything in memory
    loads = {count: [load for _, load in several] for count, several in both.items()}
    yield of_many("penstock load", loads, some, many, {count: [rate for rate, _ in both[count]] for count in both})
    catch_ups = alternating(rounds, lambda name, count: catch_up_apart(at, name, count), some, many)
    at.require_equal("many")
    at.mongo[DB].drop_collection("many")
    yield of_many("penstock run, catching up", catch_ups, some, many)


def alternating(rounds: int, run: Callable[[str, int], Found], some: int, many: int) -> dict[int, list[Found]]:
    """The rounds with some documents and with many, by their number."""
    found: dict[int, list[Found]] = {some: [], many: []}
    for number in range(rounds):
        for name, count in (("some", some), ("many", many)):
            say(f"{count:,} documents: round {number + 1} of {rounds}")
            found[count].append(run(name, count))
    say()
    return found


def of_many(
    command: str, found: dict[int, list[Peak]], some: int, many: int, raw: dict[int, list[float]] | None = None
) -> Section:
    """`raw` are the rates of raw bulk requests of the same documents, the limit."""
    peaks = {count: [each.megabytes for each in several] for count, several in found.items()}
    rates = {count: [each.rate for each in several] for count, several in found.items()}
    of_raw = [goal(f"raw bulk: {many:,} documents / {some:,}", pairwise(raw[many], raw[some]))] if raw else []
    return Section(
        f"{command}: {some:,} documents and {many:,}",
        ("documents", "peak memory, MB, median", "documents a second, median"),
        [[count, median(peaks[count]), median(rates[count])] for count in found],
        [
            goal(f"peak memory, {many:,} documents", peaks[many], most=150, unit=" MB"),
            goal(f"peak memory, {many:,} documents / {some:,}", pairwise(peaks[many], peaks[some]), most=1.1),
            goal(f"documents a second: {many:,} documents / {some:,}", pairwise(rates[many], rates[some])),
            *of_raw,
        ],
        raw={"megabytes": peaks, "rates": rates, "raw bulk": raw},
    )


def sections(at: Ground, given: Given, several: Sequence[int] = COLLECTIONS) -> Iterator[Section]:
    for collections in several:
        yield collections_case(at, collections, given.documents, given.rounds)
    for size_kb in SIZES_KB:
        yield size_case(at, size_kb, given.documents, given.rounds)
    count = at.fill("flying", generated(given.documents))
    for requests in IN_FLIGHT:
        yield in_flight_case(at, "flying", requests, count, given.rounds)
    at.mongo[DB].drop_collection("flying")
    at.clear()
    yield from many_case(at, given.some, given.many, given.rounds_of_many)


if __name__ == "__main__":
    main("growth", __doc__, sections, documents=50_000, some=100_000, many=1_000_000, rounds_of_many=3)
