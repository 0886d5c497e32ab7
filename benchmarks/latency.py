"""Item 3: from a write until the index has acknowledged it, and until a search finds it.

    .venv/bin/python -m benchmarks.latency [--rounds 7] [--seconds 5]

penstock run    the command as users run it, in a process of its own
script          follow_script.py: watch and helpers.bulk
A writer in a third process writes at fixed times (writer.py). Latency counts from the time a write was due.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks.ground import DB, Ground
from benchmarks.item import Given, main
from benchmarks.processes import Beside, penstock
from benchmarks.results import Goal, Section
from benchmarks.rounds import numbered, say

RATES = (10, 100, 1000)
REFRESHES = ("1s", "100ms")
SEARCH_EVERY_S = 0.01
WITHIN_S = 60
_SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}


class Block(NamedTuple):
    """Writes at one rate, followed by one way, with one refresh interval."""

    way: str
    rate: int
    refresh: str


class Written(NamedTuple):
    """What one block wrote: each document's id, when it was due, sent and stored, and when a search found it."""

    ids: list[str]
    due: list[float]
    sent: list[float]
    stored: list[float]
    found: list[float]


BLOCKS = (
    *(Block("penstock run", rate, refresh) for refresh in REFRESHES for rate in RATES),
    *(Block("script", rate, REFRESHES[0]) for rate in RATES),
)
GOALS_MS = {Block("penstock run", 100, REFRESHES[0]): {"p50": 15.0, "p99": 100.0}}
"""The latencies of a block until a write is acknowledged."""


class Follower(NamedTuple):
    """A way to follow a collection; `start` returns its processes."""

    db: str
    coll: str
    start: Callable[[Ground, Path], list[Beside]]


def penstock_run(at: Ground, folder: Path) -> list[Beside]:
    return [penstock(folder, at.toml(["followed"]), ["run"], watched=True)]


def script(at: Ground, folder: Path) -> list[Beside]:
    process = Beside(folder, "follow_script", at.source_uri, at.sink_url, f"{DB}_script", "scripted", "scripted")
    process.answer()
    return [process]


FOLLOWERS = {
    "penstock run": Follower(DB, "followed", penstock_run),
    # in another database, so that neither follower sees the other's changes
    "script": Follower(f"{DB}_script", "scripted", script),
}


class Field:
    """The processes that take part, and the searches."""

    def __init__(self, at: Ground, followers: Mapping[str, Follower], stack: ExitStack) -> None:
        self._at, self._followers = at, followers
        self._writers: dict[str, Beside] = {}
        self._next = dict.fromkeys(followers, 0)
        self.processes: list[Beside] = []
        for way, each in followers.items():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-bench-")))
            at.make(each.coll)
            at.mongo[each.db].create_collection(each.coll)
            self._writers[way] = stack.enter_context(Beside(folder, "writer", at.source_uri, each.db))
            self.processes += map(stack.enter_context, each.start(at, folder))

    def run(self, block: Block, seconds: float) -> Written:
        """Write, and search until all of it is found."""
        name = self._followers[block.way].coll
        self._at.client.request("PUT", f"/{name}/_settings", {"index": {"refresh_interval": block.refresh}})
        first, count = self._next[block.way], max(3, round(block.rate * seconds))
        self._next[block.way] += count
        writer = self._writers[block.way]
        writer.ask({"coll": name, "first": first, "count": count, "rate": block.rate})
        found = self._found(name, first, count)
        ids, due, sent, stored = map(list, zip(*writer.answer(), strict=True))
        return Written(ids, due, sent, stored, found)

    def acknowledged(self) -> dict[str, float]:
        """Stop all processes; return when each document was acknowledged first."""
        return {id_: at for each in self.processes for id_, at in each.stopped()["acknowledged"].items()}

    def _found(self, name: str, first: int, count: int) -> list[float]:
        found: dict[int, float] = {}
        until, low = time.monotonic() + WITHIN_S + count / 10, first
        while len(found) < count:
            began = time.monotonic()
            for number in self._numbers(name, low):
                found.setdefault(number, time.monotonic())
            while low in found:
                low += 1
            if began > until:
                raise SystemExit(f"searches found {len(found)} of {count} documents in {name}: no figures")
            for each in self.processes:
                each.require_running()
            time.sleep(max(0.0, began + SEARCH_EVERY_S - time.monotonic()))
        return [found[number] for number in range(first, first + count)]

    def _numbers(self, name: str, low: int) -> list[int]:
        """The numbers from `low` on that a search finds at present."""
        query = {
            "size": 10_000,
            "query": {"range": {"number": {"gte": low}}},
            "sort": ["number"],
            "stored_fields": "_none_",
        }
        answer = self._at.client.request("POST", f"/{name}/_search?filter_path=hits.hits.sort", query)
        hits = answer.json().get("hits", {}).get("hits", [])
        return [hit["sort"][0] for hit in hits]


def percentiles(latencies: Sequence[float]) -> dict[str, float]:
    """Return, for each share, the latency in milliseconds that this share of the writes stays within."""
    ordered = sorted(latencies)
    last = len(ordered) - 1
    return {name: ordered[min(last, int(share * len(ordered)))] * 1000 for name, share in _SHARES.items()}


class Figure(NamedTuple):
    """The latencies of one kind in one kind of block, by round."""

    block: Block
    kind: str
    rounds: list[list[float]]

    @property
    def all(self) -> dict[str, float]:
        return percentiles([each for some in self.rounds for each in some])

    def row(self) -> list[str | float]:
        return [self.block.way, self.block.rate, self.kind, self.block.refresh, *self.all.values()]

    def goals(self, wanted: Mapping[Block, Mapping[str, float]]) -> Iterator[Goal]:
        of_block = wanted.get(self.block, {}) if self.kind == "acknowledged" else {}
        for name, most in of_block.items():
            spread = [percentiles(some)[name] for some in self.rounds]
            measure = f"acknowledged at {self.block.rate} writes a second, {name}"
            yield Goal(measure, self.all[name], min(spread), max(spread), most=most, unit=" ms")


def figures(rounds: dict[Block, list[Written]], acknowledged: dict[str, float]) -> Iterator[Figure]:
    for block, several in rounds.items():
        for kind in ("acknowledged", "found"):
            latencies = []
            for each in several:
                ends = each.found if kind == "found" else [acknowledged[text_id] for text_id in each.ids]
                latencies.append([end - due for end, due in zip(ends, each.due, strict=True)])
            yield Figure(block, kind, latencies)


def lateness(rounds: dict[Block, list[Written]]) -> Iterator[str]:
    """How much of the latency is the writer's own, and the source's."""
    for rate in sorted({block.rate for block in rounds}):
        several = [each for block, some in rounds.items() if block.rate == rate for each in some]
        late = [sent - due for each in several for sent, due in zip(each.sent, each.due, strict=True)]
        stored = [stored - due for each in several for stored, due in zip(each.stored, each.due, strict=True)]
        yield (
            f"At {rate:,} writes a second the writer sent {percentiles(late)['p50']:.1f} ms after a write was due"
            f" (p99 {percentiles(late)['p99']:.1f} ms), and the source had it after"
            f" {percentiles(stored)['p50']:.1f} ms (p99 {percentiles(stored)['p99']:.1f} ms)."
        )


def sections(
    at: Ground,
    given: Given,
    blocks: Sequence[Block] = BLOCKS,
    followers: Mapping[str, Follower] = FOLLOWERS,
    goals_ms: Mapping[Block, Mapping[str, float]] = GOALS_MS,
) -> Iterator[Section]:
    rounds: dict[Block, list[Written]] = {block: [] for block in blocks}
    at.clear()
    with ExitStack() as stack:
        field = Field(at, followers, stack)
        for number in numbered(given.rounds):
            turn = number % len(blocks)
            for block in [*blocks[turn:], *blocks[:turn]]:
                say(f"latency: round {number} of {given.rounds}, {block.way}, {block.rate} a second")
                written = field.run(block, given.seconds if number else min(1, given.seconds))
                if number:
                    rounds[block].append(written)
        say()
        acknowledged = field.acknowledged()
    for each in followers.values():
        if each.db == DB:
            at.require_equal(each.coll)
        else:
            at.require_count(each.coll, at.mongo[each.db][each.coll].count_documents({}))
    found = list(figures(rounds, acknowledged))
    yield Section(
        "latency in milliseconds",
        ("way", "writes a second", "until", "refresh interval", *_SHARES),
        [each.row() for each in found],
        [goal for each in found for goal in each.goals(goals_ms)],
        list(lateness(rounds)),
        {
            f"{each.block.way}, {each.block.rate}, {each.kind}, {each.block.refresh}": [
                percentiles(some) for some in each.rounds
            ]
            for each in found
        },
    )


if __name__ == "__main__":
    main("latency", __doc__, sections, seconds=5)
