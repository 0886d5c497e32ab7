"""How long a look at everything takes with many collections: what the console does once a second for all viewers.

    .venv/bin/python -m benchmarks.status --collections=500

The state is written as workers write it; the indexes are real, with a few documents each. Nothing runs meanwhile.
"""

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import urllib3

from penstock.console.server import serving
from penstock.opensearch.http.client import Client
from penstock.opensearch.http.waiting import FailFast
from penstock.opensearch.index.indexes import Indexes
from penstock.opensearch.state.generations import CollectionRecord, GenerationRegistry
from penstock.opensearch.state.ids import generations_id, load_id, pipeline_id
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


def forget(settings: Settings) -> None:
    """Delete what was made, on a server that stays."""
    with closing(Client(settings.sink)) as client:
        store = StateStore(client, FailFast(client.url))
        for each in settings.collections:
            client.request("DELETE", f"/{each.alias}-g1")
            pipeline, load = pipeline_id(each.namespace), load_id(each.namespace, f"{each.alias}-g1")
            for state_id in (pipeline, load, generations_id(each.alias)):
                store.delete(state_id)


@dataclass(frozen=True)
class Figures:
    """Milliseconds of each of some rounds, and of the processor of the one who looks."""

    what: str
    took_ms: list[float]
    cpu_ms: list[float]

    def __str__(self) -> str:
        median, most, cpu = statistics.median(self.took_ms), max(self.took_ms), statistics.median(self.cpu_ms)
        return f"{self.what}: {median:.0f} ms (median), {most:.0f} ms at most; {cpu:.0f} ms of CPU"


def measured(what: str, work: Callable[[], object], rounds: int, *, pause_s: float = 0.0) -> Figures:
    """Do something again and again, after a first time that also reads files."""
    work()
    took, cpu = [], []
    for _ in range(rounds):
        time.sleep(pause_s)
        began, used = time.perf_counter(), time.process_time()
        work()
        took.append(1000 * (time.perf_counter() - began))
        cpu.append(1000 * (time.process_time() - used))
    return Figures(what, took, cpu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collections", type=int, default=500)
    parser.add_argument("--looks", type=int, default=20)
    parser.add_argument("--url", help="an OpenSearch that is there; by default one of its own is started")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
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
    try:
        with closing(StatusWatch(settings)) as watch:
            print(measured(f"a look at {collections} collections", watch.look, looks))
        with serving(settings, "127.0.0.1:0") as console:
            assert console is not None
            http = urllib3.PoolManager()

            def overview() -> None:
                page = http.request("GET", f"{console.address}/")
                assert page.status == 200, page.data
                assert page.data.count(b"<tr id=") == collections

            print(measured("the overview, while one look serves several viewers", overview, looks))
            print(measured("the overview, each time with a new look", overview, looks, pause_s=1.1))
    finally:
        forget(settings)


if __name__ == "__main__":
    main()
