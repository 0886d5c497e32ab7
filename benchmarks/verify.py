"""Item 7: `penstock verify` of a collection that is equal to its index, with some documents and with many.

    .venv/bin/python -m benchmarks.verify [--rounds 3] [--documents 200000] [--many 1000000]

The command runs in a process of its own, and both of its directions are in the time. One verify more of the smaller
collection warms the servers up and is thrown away. A verify that finds a difference has no figures.
"""

from collections.abc import Iterator
from statistics import median

from benchmarks.ground import Ground, generated
from benchmarks.growth import load_all
from benchmarks.item import Given, main
from benchmarks.memory import Peak, verify_apart
from benchmarks.results import Section
from benchmarks.rounds import goal, pairwise, say


def sections(at: Ground, given: Given) -> Iterator[Section]:
    counts = {"verified-some": given.documents, "verified-many": given.many}
    for name, count in counts.items():
        say(f"filling {count:,} documents")
        at.fill(name, generated(count))
    load_all(at, list(counts))
    verify_apart(at, "verified-some")
    found: dict[str, list[Peak]] = {name: [] for name in counts}
    for number in range(given.rounds):
        for name, peaks in found.items():
            say(f"{counts[name]:,} documents: round {number + 1} of {given.rounds}")
            peaks.append(verify_apart(at, name))
    say()
    rates = {name: [each.rate for each in peaks] for name, peaks in found.items()}
    memory = {name: [each.megabytes for each in peaks] for name, peaks in found.items()}
    some, many = counts
    of_many = f"{counts[many]:,} documents"
    yield Section(
        f"penstock verify: {counts[some]:,} documents and {counts[many]:,}",
        ("documents", "documents a second, median", "peak memory, MB, median"),
        [[count, median(rates[name]), median(memory[name])] for name, count in counts.items()],
        [
            goal(f"peak memory, {of_many}", memory[many], most=150, unit=" MB"),
            goal(f"peak memory, {of_many} / {counts[some]:,}", pairwise(memory[many], memory[some]), most=1.1),
            goal(f"documents a second, {of_many} / {counts[some]:,}", pairwise(rates[many], rates[some])),
        ],
        raw={"megabytes": memory, "rates": rates},
    )


if __name__ == "__main__":
    main("verify", __doc__, sections, rounds=3, documents=200_000, many=1_000_000)
