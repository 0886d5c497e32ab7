"""The load against the plain loop that a user would write by hand, in alternating rounds of one run.

    .venv/bin/python benchmarks/load.py [--rounds 5] [--documents 200000]

The loop: find_raw_batches -> bson.decode_all -> orjson -> _bulk on three threads; no versions, no order, no checkpoint.
Both write into an index with penstock's mapping, whose creation is not counted. It runs on the local platform and
prints a table; each round starts with an empty index and ends with the count compared.
"""

import argparse
import logging
import random
import statistics
import string
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import bson
import orjson
import structlog
import urllib3
from bson import ObjectId
from pydantic import SecretStr
from pymongo import MongoClient
from rich.console import Console
from rich.table import Table

from penstock.demo.cities import cities
from penstock.garbage import collect_rarely
from penstock.local.platform import Platform
from penstock.metrics import Metrics
from penstock.operations import worker
from penstock.operations.progress import NoProgress
from penstock.settings import CollectionSettings, Settings, SinkSettings, SourceSettings

THREADS = 3
DOCUMENTS_AT_ONCE = 5000


def generated(count: int) -> Iterator[dict[str, Any]]:
    """Documents of about 500 bytes."""
    chance = random.Random(7)
    words = ["".join(chance.choices(string.ascii_lowercase, k=chance.randint(3, 9))) for _ in range(2000)]
    for number in range(count):
        yield {
            "_id": ObjectId(),
            "number": number,
            "price": round(chance.uniform(1, 900), 2),
            "name": " ".join(chance.choices(words, k=4)),
            "text": " ".join(chance.choices(words, k=45)),
            "tags": chance.choices(words, k=3),
            "stock": {"here": chance.randint(0, 90), "there": chance.randint(0, 90)},
        }


def fill(client: MongoClient, name: str, documents: Iterator[dict[str, Any]]) -> None:
    while some := list(islice(documents, DOCUMENTS_AT_ONCE)):
        client.bench[name].insert_many(some)


class Index:
    """The index of a round, made with the mapping that penstock gives it, so that both write into the same."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = urllib3.PoolManager(maxsize=THREADS + 1)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else orjson.dumps(body)
        answer = self.http.request(method, self.url + path, body=data, headers={"content-type": "application/json"})
        return orjson.loads(answer.data)

    def count(self, name: str) -> int:
        self.ask("POST", f"/{name}/_refresh")
        return self.ask("GET", f"/{name}/_count")["count"]

    def clear(self) -> None:
        for name in ("cities", "generated", "penstock-state", "penstock-dead-letters"):
            found = self.ask("GET", f"/{name}")
            for index in found if "error" not in found else ():
                self.ask("DELETE", f"/{index}")

    def make_like(self, name: str, body: dict[str, Any]) -> None:
        self.ask("PUT", f"/{name}", body)


def plain_loop(client: MongoClient, index: Index, name: str) -> None:
    """What a user would write by hand."""

    def send(raw: bytes) -> None:
        lines = []
        for document in bson.decode_all(raw):
            key = document.pop("_id")
            lines += [b'{"index":{"_id":"%s"}}' % str(key).encode(), orjson.dumps(document, default=str)]
        body = b"\n".join(lines) + b"\n"
        answer = index.http.request(
            "POST", f"{index.url}/{name}/_bulk", body=body, headers={"content-type": "application/x-ndjson"}
        )
        if orjson.loads(answer.data)["errors"]:
            raise SystemExit("the plain loop had errors")

    with ThreadPoolExecutor(THREADS) as pool:
        waiting = []
        for raw in client.bench[name].find_raw_batches({}, batch_size=DOCUMENTS_AT_ONCE):
            waiting.append(pool.submit(send, raw))
            if len(waiting) > THREADS:
                waiting.pop(0).result()
        for each in waiting:
            each.result()


def penstock_load(source: str, sink: str, name: str) -> tuple[float, float]:
    """Answer the seconds and the seconds of CPU of the load, as `penstock load` prints them."""
    settings = Settings(
        source=SourceSettings(uri=SecretStr(source)),
        sink=SinkSettings(url=sink),
        collections=(CollectionSettings(namespace=f"bench.{name}", index=name, replicas=0),),
    )
    [result] = worker.load(
        settings,
        stop=threading.Event(),
        metrics=Metrics(),
        progress=NoProgress(),
        only=frozenset({f"bench.{name}"}),
    )
    return result.seconds, result.cpu_s


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Answer the seconds and the seconds of CPU of this process."""
    began, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - cpu


def rounds_of(platform: Platform, name: str, count: int, rounds: int) -> dict[str, list[tuple[float, float]]]:
    client, index = MongoClient(platform.source.uri), Index(platform.opensearch.url)
    penstock_load(platform.source.uri, platform.opensearch.url, name)  # warms both servers up
    made = index.ask("GET", f"/{name}-g1")[f"{name}-g1"]
    keep = ("number_of_shards", "number_of_replicas", "mapping", "translog", "gc_deletes")
    like = {
        "mappings": made["mappings"],
        "settings": {key: value for key, value in made["settings"]["index"].items() if key in keep},
    }
    results: dict[str, list[tuple[float, float]]] = {"penstock load": [], "plain loop": []}
    for _ in range(rounds):
        index.clear()
        index.make_like(name, like)
        results["plain loop"].append(timed(lambda: plain_loop(client, index, name)))
        check(index, name, count)
        index.clear()
        results["penstock load"].append(penstock_load(platform.source.uri, platform.opensearch.url, name))
        check(index, name, count)
    index.clear()
    return results


def check(index: Index, name: str, count: int) -> None:
    if (found := index.count(name)) != count:
        raise SystemExit(f"{found} of {count} documents are in the index {name}: no figures")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--documents", type=int, default=200_000)
    given = arguments.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    collect_rarely()
    table = Table("documents", "what", "documents/s, median", "spread", "CPU us/document", "ratio to the plain loop")
    with Platform(heap="1g") as platform:
        client = MongoClient(platform.source.uri)
        fill(client, "generated", generated(given.documents))
        fill(client, "cities", cities())
        for name, count in (("generated", given.documents), ("cities", client.bench.cities.estimated_document_count())):
            results = rounds_of(platform, name, count, given.rounds)
            floor = statistics.median(seconds for seconds, _ in results["plain loop"])
            for what, times in results.items():
                seconds = sorted(wall for wall, _ in times)
                median = statistics.median(seconds)
                table.add_row(
                    f"{count:,} {name}",
                    what,
                    f"{count / median:,.0f}",
                    f"{count / seconds[-1]:,.0f} to {count / seconds[0]:,.0f}",
                    f"{statistics.median(cpu for _, cpu in times) / count * 1e6:.1f}",
                    f"{floor / median:.2f}",
                )
    Console().print(table)


if __name__ == "__main__":
    main()
