"""Item 5: what a document costs: CPU by stage, bytes on the wire with and without gzip, peak memory.

    .venv/bin/python -m benchmarks.cost [--rounds 7] [--documents 50000] [--memory-documents 100000]

The limit of the whole is `bson.decode_all` and `orjson` of the same documents and nothing else: what every Python
program pays that reads BSON and writes JSON.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import urllib3

from benchmarks.ground import DB, Ground, generated
from benchmarks.item import Given, main
from benchmarks.load import decode_and_dump, least_way, load_way, penstock_load, require_equal_load
from benchmarks.memory import catch_up_apart, load_apart
from benchmarks.results import Section
from benchmarks.rounds import Took, Way, measured, timed
from benchmarks.stages import Stages

NAME = "generated"
WIRE = "bytes on the wire for each document"
CPU_GOAL = 2.0


def whole_and_stages(at: Ground, count: int, rounds: int) -> Iterator[Section]:
    """Compare the load with its limit, and measure where its CPU goes."""
    replies = list(at.mongo[DB][NAME].find_raw_batches({}, batch_size=1000))
    stages = Stages(at, NAME, count)
    found = measured(
        f"load of {count:,} documents, and the least that it takes",
        "documents",
        count,
        [
            load_way(at, NAME, count),
            least_way(at, NAME, count),
            Way("decode_all + orjson", lambda: timed(lambda: [decode_and_dump(each) for each in replies])),
            Way("stages", stages.run, stages.before, lambda: at.require_count(NAME, count)),
        ],
        {},
        cpu_ratios={
            ("penstock load", "decode_all + orjson"): CPU_GOAL,
            ("least work", "decode_all + orjson"): None,
            ("penstock load", "least work"): None,
        },
        rounds=rounds,
    )
    require_equal_load(at, NAME)
    both = replace(found, figures=[each for each in found.figures if each.name != "stages"])
    yield both.section()
    yield stages.section(found.figures[0].cpu_us)


@dataclass
class Wire:
    """Counts the bytes of all requests that this process sends."""

    bytes: int = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        request = urllib3.PoolManager.request

        def counting(pool: Any, method: str, url: str, body: Any = None, **more: Any) -> Any:
            self.bytes += len(body or b"")
            return request(pool, method, url, body=body, **more)

        urllib3.PoolManager.request = counting  # type: ignore[method-assign]
        try:
            yield
        finally:
            urllib3.PoolManager.request = request  # type: ignore[method-assign]


def gzip_case(at: Ground, count: int, rounds: int) -> Section:
    """The load with and without [sink] gzip."""
    wires = {"plain": Wire(), "gzip": Wire()}

    def way(name: str) -> Way:
        def run() -> Took:
            wires[name].bytes = 0
            with wires[name].counted():
                return penstock_load(at, NAME, gzip=name == "gzip")

        return Way(name, run, at.clear, lambda: at.require_count(NAME, count))

    title = f"[sink] gzip: load of {count:,} documents"
    found = measured(title, "documents", count, [way(name) for name in wires], {("gzip", "plain"): None}, rounds=rounds)
    at.require_equal(NAME)
    section = found.section()
    rows = [[*row, wire.bytes / count] for row, wire in zip(section.rows, wires.values(), strict=True)]
    return replace(section, columns=(*section.columns, WIRE), rows=rows)


def memory(at: Ground, count: int) -> Section:
    """The peaks of a load and of a catch-up."""
    at.fill("memory", generated(count))
    load = load_apart(at, "memory")
    at.require_equal("memory")
    catch_up = catch_up_apart(at, "memory", count)
    at.require_equal("memory")
    return Section(
        f"peak memory, {count:,} documents, in a process of its own",
        ("command", "MB", "documents a second"),
        [("penstock load", *load), ("penstock run, catching up", *catch_up)],
    )


def sections(at: Ground, given: Given) -> Iterator[Section]:
    count = at.fill(NAME, generated(given.documents))
    yield from whole_and_stages(at, count, given.rounds)
    yield gzip_case(at, count, given.rounds)
    if given.memory_documents:
        yield memory(at, given.memory_documents)


if __name__ == "__main__":
    main("cost", __doc__, sections, documents=50_000, memory_documents=100_000)
