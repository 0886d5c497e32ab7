"""How much memory `penstock capture` and `penstock apply` need, over some changes and over many.

    .venv/bin/python -m benchmarks.log_memory [--rounds 3] [--some 300000] [--many 1000000]

Each is a command in a process of its own. They start together on an empty collection, into which documents are
inserted while they run.
"""

from collections.abc import Iterator
from itertools import count

from benchmarks.ground import DB, Ground, kafka
from benchmarks.growth import alternating, of_many
from benchmarks.item import Given, main
from benchmarks.memory import Peak, logged_apart
from benchmarks.results import Section

NAME = "remembered"


def sections(at: Ground, given: Given) -> Iterator[Section]:
    with kafka() as servers:
        rounds = count(1)

        def follow(_: str, changes: int) -> dict[str, Peak]:
            found = logged_apart(at, NAME, changes, servers, f"round-{next(rounds)}")
            at.require_equal(NAME)
            return found

        both = alternating(given.rounds, follow, given.some, given.many)
    at.mongo[DB].drop_collection(NAME)
    for command in ("penstock capture", "penstock apply"):
        peaks = {changes: [each[command] for each in several] for changes, several in both.items()}
        yield of_many(command, peaks, given.some, given.many)


if __name__ == "__main__":
    main("log_memory", __doc__, sections, rounds=3, some=300_000, many=1_000_000)
