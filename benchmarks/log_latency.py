"""From a write until the index has acknowledged it, by way of Kafka, and until a search finds it.

    .venv/bin/python -m benchmarks.log_latency [--rounds 7] [--seconds 5]

capture, apply    `penstock capture` and `penstock apply`, each in a process of its own, with transactions between them
penstock run      the same without Kafka
A writer writes at fixed times (writer.py). Latency counts from the time a write was due.
"""

from collections.abc import Iterator
from pathlib import Path

from benchmarks import latency
from benchmarks.ground import DB, Ground, kafka, log_toml
from benchmarks.item import Given, main
from benchmarks.latency import FOLLOWERS, RATES, REFRESHES, Block, Follower
from benchmarks.processes import Beside, penstock
from benchmarks.results import Section

WAY = "capture, apply"
BLOCKS = (*(Block(WAY, rate, REFRESHES[0]) for rate in RATES), Block("penstock run", 100, REFRESHES[0]))
GOALS_MS = {Block(WAY, 100, REFRESHES[0]): {"p50": 60.0}}


def sections(at: Ground, given: Given, blocks: tuple[Block, ...] = BLOCKS) -> Iterator[Section]:
    with kafka() as servers:

        def start(at: Ground, folder: Path) -> list[Beside]:
            settings = log_toml(at, "logged", servers, "bench")
            return [penstock(folder, settings, ["capture"]), penstock(folder, settings, ["apply"], watched=True)]

        followers = {WAY: Follower(DB, "logged", start), "penstock run": FOLLOWERS["penstock run"]}
        yield from latency.sections(at, given, blocks, followers, GOALS_MS)


if __name__ == "__main__":
    main("log_latency", __doc__, sections, seconds=5)
