"""Every benchmark at a tiny size, to check that they run, including the comparison of index and source. No figures.

.venv/bin/python -m benchmarks.tiny FOLDER        all but the sync function's, on one pair of servers
.venv/bin/python -m benchmarks.lambda_calls --rounds 1 --events 10 --results FOLDER
"""

import sys
from functools import partial
from pathlib import Path

from benchmarks import catch_up, cost, growth, latency, load, verify
from benchmarks.ground import DB, ground
from benchmarks.item import Given, Sections, quieten, tell, versions
from penstock_tools.servers.platform import Platform

BLOCKS = (latency.Block("penstock run", 100, "100ms"), latency.Block("script", 100, "1s"))
TINY: dict[str, tuple[Sections, dict[str, int]]] = {
    "load": (load.sections, {"documents": 300, "cities": 200}),
    "catch_up": (catch_up.sections, {"changes": 200}),
    "latency": (partial(latency.sections, blocks=BLOCKS), {"seconds": 0}),
    "cost": (cost.sections, {"documents": 300, "memory_documents": 0}),
    "growth": (
        partial(growth.sections, several=(2,)),
        {"documents": 200, "some": 200, "many": 400, "rounds_of_many": 1},
    ),
    "verify": (verify.sections, {"documents": 200, "many": 400}),
}


def main() -> None:
    folder = Path(sys.argv[1])
    quieten()
    with Platform() as platform, ground(platform) as at:
        for name, (sections, sizes) in TINY.items():
            given = Given(results=folder, rounds=1, **sizes)
            tell(name, sections(at, given), given, versions(at))
            at.mongo.drop_database(DB)


if __name__ == "__main__":
    main()
