"""How long a look at everything takes with many collections: what the console does once a second for all viewers.

    .venv/bin/python -m benchmarks.status --collections=500

The state is written as workers write it; the indexes are real, with a few documents each. Nothing runs meanwhile.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

from penstock.opensearch.http.client import Client
from penstock.opensearch.http.waiting import FailFast
from penstock.opensearch.index.indexes import Indexes
from penstock.opensearch.state.generations import CollectionRecord, GenerationRegistry
from penstock.opensearch.state.load_state import LoadState
from penstock.opensearch.state.pipeline_state import PipelineState
from penstock.opensearch.state.store import StateStore
from penstock.operations.status.watch import StatusWatch
from penstock.planner import DeclaredCollection, shared_pipeline
from penstock.settings import Settings
from penstock_tools.servers.opensearch import local_opensearch

_AT_ONCE = 8
_DB = "bench"


def settings_of(url: str, collections: int, *, cursor_per: str = "collection") -> Settings:
    """Settings with so many collections, each with an alias and, by default, a pipeline of its own."""
    names = [f"{_DB}.c{number:04}" for number in range(collections)]
    tables = [{"namespace": name, "index": f"bench-{name[-5:]}", "replicas": 0} for name in names]
    source = {"uri": "mongodb://127.0.0.1:1/?replicaSet=none", "cursor_per": cursor_per}
    return Settings.model_validate({"source": source, "sink": {"url": url}, "collections": tables})


def prepare(settings: Settings) -> None:
    """Make the indexes, and the state that workers would have written."""
    with closing(Client(settings.sink, connections=_AT_ONCE)) as client:
        patience = FailFast(client.url)
        store = StateStore(client, patience)
        indexes, records = Indexes(client, patience), GenerationRegistry(store)

        def make(namespace: str) -> None:
            declared = DeclaredCollection.by(next(c for c in settings.collections if c.namespace == namespace))
            alias = declared.settings.alias
            made = indexes.ensure_generation(declared.settings)
            pipeline = shared_pipeline(namespace, None)
            records.create(CollectionRecord(namespace, alias, pipeline=pipeline).added(declared.recipe, "serving"))
            load = LoadState(store, namespace, made.index, owner="bench/1")
            load.open()
            load.enter("live")
            state = PipelineState(store, pipeline, owner="bench/1", lease_s=15, collections=[namespace])
            state.acquire(standby=False)
            state.save_source({}, {made.index: made.uuid})
            state.save_status(_status(made.index))

        store.put("bench", {"kind": "bench", "name": "bench"}, None)
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            list(threads.map(make, (each.namespace for each in settings.collections)))


def _status(index: str) -> Mapping[str, Any]:
    return {"state": "live", "lag_s": 0.2, "counts": {}, "writes_per_s": {index: 0.0}, "reported_at": time.time()}


def measured(settings: Settings, looks: int) -> list[float]:
    """Return the seconds of each look, after a first one that also reads the settings' files."""
    with closing(StatusWatch(settings)) as watch:
        assert len(watch.look().collections) == len(settings.collections)
        seconds = []
        for _ in range(looks):
            began = time.perf_counter()
            watch.look()
            seconds.append(time.perf_counter() - began)
        return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collections", type=int, default=500)
    parser.add_argument("--looks", type=int, default=20)
    parser.add_argument("--url", help="an OpenSearch that is there; by default one of its own is started")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.url:
            run(given.url, given.collections, given.looks)
        else:
            with local_opensearch(Path(folder)) as server:
                run(server.url, given.collections, given.looks)


def run(url: str, collections: int, looks: int) -> None:
    """Measure once, and print it."""
    settings = settings_of(url, collections)
    prepare(settings)
    ms = sorted(1000 * each for each in measured(settings, looks))
    print(
        f"{collections} collections: a look takes {statistics.median(ms):.0f} ms at the median, {ms[-1]:.0f} ms at most"
    )


if __name__ == "__main__":
    main()
