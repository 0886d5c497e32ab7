"""Changes through the event source mapping and the real sync function, against the sample's way, in one run.

    .venv/bin/python -m benchmarks.mapping [--changes 10000]

Both run as deployed: from the built folder under Lambda's runtime, called by the local mapping in batches of 1,000,
with signed requests through the checking proxy. The changes are written while the mapping is disabled; the time is
from its enabling until the index holds all of them. The sample's way sends one request for each event (sample_way.py).
Cold start and memory are those of the functions' own reports.
"""

import argparse
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pymongo
import urllib3
from rich.console import Console
from rich.table import Table

from benchmarks.ground import generated
from penstock.lambdas.environment import HANDLERS, function_name
from penstock_tools.aws.deployment import Deployment, DeploymentSettings
from penstock_tools.servers.progress import progress_here

HERE = Path(__file__).parent


class Run(NamedTuple):
    """What one way took. `cold_s`: the first invocation, its init included."""

    seconds: float
    cold_s: float
    init_s: float
    warm_ms: float
    memory_mb: float


def counted(deployment: Deployment, index: str) -> int:
    url = deployment.platform.opensearch.url
    with urllib3.PoolManager() as http:
        http.request("POST", f"{url}/{index}/_refresh")
        return http.request("GET", f"{url}/{index}/_count").json()["count"]


def wait_for(deployment: Deployment, count: int) -> None:
    """Wait until the mapping has delivered a number of events; the function returns after the index accepted them."""
    until = time.monotonic() + 600
    while (deployment.mappings.metrics()[str(deployment.mapping_id)]["DeliveredEvents"] or 0) < count:
        if time.monotonic() > until:
            raise SystemExit(f"the mapping did not deliver {count} events, see {deployment.log_of('sync')}")
        time.sleep(0.005)


def measured(handler: str, index: str, changes: int, folder: Path) -> Run:
    """Run a deployment whose mapping calls the handler."""
    settings = DeploymentSettings(
        sync_handler=handler, extra_code=(HERE / "sample_way.py",), batch_window_s=0, keep_compiled=False
    )
    with (
        progress_here() as progress,
        Deployment(folder, settings, progress=progress) as deployment,
        closing(pymongo.MongoClient(deployment.platform.source.uri)) as client,
    ):
        collection = client[settings.database][settings.collection]
        documents = generated(changes + 1)
        collection.insert_one(next(documents))
        wait_for(deployment, 1)  # the cold start, and the first batch
        mapping = str(deployment.mapping_id)
        switch(deployment, mapping, on=False)
        for start in range(0, changes, 1000):
            collection.insert_many([next(documents) for _ in range(min(1000, changes - start))])
        began = time.monotonic()
        switch(deployment, mapping, on=True)
        wait_for(deployment, changes + 1)
        seconds = time.monotonic() - began
        if (found := counted(deployment, index)) != changes + 1:
            raise SystemExit(f"{index} holds {found} documents instead of {changes + 1}")
        function = deployment.functions[function_name("sync")]
        first, *warm = function.reports
        batches = sorted(report.duration_s for report in warm)
        return Run(
            seconds,
            (first.init_s or 0) + first.duration_s,
            first.init_s or 0,
            batches[len(batches) // 2] * 1000,
            function.peak_memory_mb or 0,
        )


def switch(deployment: Deployment, mapping: str, *, on: bool) -> None:
    deployment.mappings.update(mapping, {"Enabled": on})
    wanted = "Enabled" if on else "Disabled"
    while deployment.mappings.get(mapping)["State"] != wanted:
        time.sleep(0.01)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=10_000)
    changes = parser.parse_args().changes
    ways = {
        "penstock": (HANDLERS["sync"], "demo-index-g1"),
        "the sample's way": ("sample_way.handler", "demo-index-g0"),
    }
    runs = {}
    for name, (handler, index) in ways.items():
        with tempfile.TemporaryDirectory() as folder:
            runs[name] = measured(handler, index, changes, Path(folder))
    table = Table(title=f"{changes:,} inserts of about 500 bytes through the mapping")
    for column in ("way", "events/s", "seconds", "batch of 1,000, ms", "cold start, s", "of it init, s", "memory, MB"):
        table.add_column(column, justify="right")
    for name, run in runs.items():
        numbers = (run.seconds, run.warm_ms, run.cold_s, run.init_s, run.memory_mb)
        table.add_row(name, f"{changes / run.seconds:,.0f}", *(f"{number:,.1f}" for number in numbers))
    Console().print(table)
    ours, sample = runs.values()
    print(f"ratio: penstock moves {sample.seconds / ours.seconds:.1f} times as many events a second")


if __name__ == "__main__":
    main()
