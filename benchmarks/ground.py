"""The servers and the documents of the benchmarks."""

import json
import random
import string
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import bson
from bson import ObjectId
from pydantic import SecretStr
from pymongo import MongoClient

from penstock.connections import sink_client
from penstock.documents.transform import Transform
from penstock.mongo.codec import CODEC
from penstock.observe.metrics import Metrics
from penstock.opensearch.http.waiting import RetryForever
from penstock.opensearch.index.indexes import Generation, Indexes
from penstock.opensearch.read.scan import count, read_sources
from penstock.settings import CollectionSettings, Settings, SinkSettings, SourceSettings
from penstock_tools.compare import compare
from penstock_tools.servers.kafka import local_kafka
from penstock_tools.servers.platform import Platform

DB = "bench"
_AT_ONCE = 2000


def generated(documents: int, size: int = 500) -> Iterator[dict[str, Any]]:
    """Documents of about the given size in bytes."""
    chance = random.Random(7)
    words = ["".join(chance.choices(string.ascii_lowercase, k=chance.randint(3, 9))) for _ in range(2000)]
    in_text = max(1, (size - 185) // 7)
    for number in range(documents):
        yield {
            "_id": ObjectId(),
            "number": number,
            "price": round(chance.uniform(1, 900), 2),
            "name": " ".join(chance.choices(words, k=4)),
            "text": " ".join(chance.choices(words, k=in_text)),
            "tags": chance.choices(words, k=3),
            "stock": {"here": chance.randint(0, 90), "there": chance.randint(0, 90)},
        }


class Ground:
    """One platform: fills collections, makes and clears indexes as penstock makes them, compares."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.source_uri, self.sink_url = platform.source.uri, platform.opensearch.url
        self.mongo: MongoClient[dict[str, Any]] = MongoClient(self.source_uri)
        self.client = sink_client(self.settings([]), connections=8)
        self._patience = RetryForever(Metrics(), threading.Event())
        self.indexes = Indexes(self.client, self._patience)

    def settings(self, names: Iterable[str], **sink: Any) -> Settings:
        """Return settings for these collections, each with an index of its own name; `sink` are extra sink settings."""
        return Settings(
            source=SourceSettings(uri=SecretStr(self.source_uri)),
            sink=SinkSettings(url=self.sink_url, **sink),
            collections=tuple(self.collection(name) for name in names),
        )

    def toml(self, names: Iterable[str]) -> str:
        """Write the same settings to a file, for a command in a process of its own."""
        tables = [("[source]", {"uri": self.source_uri}), ("[sink]", {"url": self.sink_url})]
        tables += [("[observe]", {"log_level": "warning"})]
        tables += [("[[collections]]", self.collection(name).model_dump(exclude_unset=True)) for name in names]
        return "".join(f"{head}\n{_lines(values)}" for head, values in tables)

    def collection(self, name: str) -> CollectionSettings:
        return CollectionSettings(namespace=f"{DB}.{name}", index=name, replicas=0)

    def fill(self, name: str, documents: Iterable[dict[str, Any]], most: int | None = None) -> int:
        """Put the documents, or the given number of them, into a collection; return how many."""
        rest, filled = islice(documents, most if most is None else max(0, most)), 0
        while some := list(islice(rest, _AT_ONCE)):
            self.mongo[DB][name].insert_many(some)
            filled += len(some)
        return filled

    def clear(self) -> None:
        """Delete every index, including penstock's state."""
        self.client.request("DELETE", "/*?expand_wildcards=all")

    def make(self, name: str) -> Generation:
        """Create the empty index of a collection, as penstock does."""
        return self.indexes.ensure_generation(self.collection(name))

    def fresh(self, names: Iterable[str]) -> None:
        """Delete everything, then create the empty indexes of these collections."""
        self.clear()
        for name in names:
            self.make(name)

    def count(self, name: str) -> int:
        """Return how many documents an index has."""
        self.client.request("POST", f"/{name}/_refresh")
        return count(self.client, self._patience, name)

    def operations(self, name: str) -> int:
        """Return how many documents an index has received so far; unlike counting, this needs no refresh."""
        stats = self.client.request("GET", f"/{name}/_stats/indexing").json()
        return int(stats["_all"]["primaries"]["indexing"]["index_total"])

    def require_count(self, name: str, expected: int) -> None:
        """Raise SystemExit if the index has another number of documents."""
        if (found := self.count(name)) != expected:
            raise SystemExit(f"{found} of {expected} documents are in the index {name}: no figures")

    def require_total(self, names: Iterable[str], expected: int) -> None:
        """Do the same for several indexes together."""
        if (found := sum(map(self.count, names))) != expected:
            raise SystemExit(f"{found} of {expected} documents are in the indexes: no figures")

    def require_equal(self, name: str) -> None:
        """Raise SystemExit if index and collection differ in any document."""
        self.client.request("POST", f"/{name}/_refresh")

        def pages() -> Iterator[list[dict[str, Any]]]:
            for raw in self.mongo[DB][name].find_raw_batches({}, batch_size=_AT_ONCE):
                yield bson.decode_all(raw, CODEC)

        found = compare(
            pages(),
            Transform(self.collection(name)),
            lambda ids: read_sources(self.client, self._patience, name, ids),
            lambda: count(self.client, self._patience, name),
        )
        if not found.equal:
            raise SystemExit(f"{name}: index and source differ, so there are no figures: {found}")

    def close(self) -> None:
        self.mongo.close()
        self.client.close()


def ground(platform: Platform) -> "closing[Ground]":
    """Yield the servers of a platform, and close the connections at the end."""
    return closing(Ground(platform))


@contextmanager
def kafka() -> Iterator[str]:
    """Start a Kafka of its own; yield its bootstrap servers."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder, local_kafka(Path(folder)) as server:
        yield server.bootstrap_servers


def log_toml(at: Ground, name: str, servers: str, prefix: str) -> str:
    """Write the settings of a collection that topics of penstock's own feed."""
    topics = {"own_topics": True, "topic_partitions": 12, "topic_replication": 1}
    return f"{at.toml([name])}[log]\n{_lines({'bootstrap_servers': servers, 'prefix': prefix, **topics})}"


def _lines(values: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
