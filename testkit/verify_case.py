"""What the tests of verify stand on: one collection and its generation on real servers, loaded as penstock loads it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from pydantic import SecretStr
from pymongo.database import Database

from penstock.connections import sink_client, source_connection
from penstock.documents.document_id import document_id
from penstock.model import WRITTEN, Outcome, Write
from penstock.mongo.connection import cluster_time
from penstock.observe.metrics import Metrics
from penstock.opensearch.index.indexes import Generation
from penstock.operations.verify import Verified, VerifyFinding, VerifyListener, VerifyOptions, verify
from penstock.planner import FedGeneration, plans
from penstock.settings import CollectionSettings, Settings, SinkSettings, SourceSettings
from penstock.wiring import Adapters, Wiring
from penstock.worker import worker
from penstock.worker.progress import NoProgress


@dataclass
class Case:
    """A collection `items`, its index, and a verify of both in this process."""

    database: Database
    settings: Settings
    adapters: Adapters
    collection: FedGeneration
    generation: Generation
    stop: threading.Event
    found: list[VerifyFinding] = field(default_factory=list)

    @property
    def items(self) -> Any:
        return self.database["items"]

    def now(self) -> int:
        return cluster_time(self.adapters.connection.client)

    def load(self) -> None:
        name = self.collection.settings.namespace
        worker.load(
            self.settings, stop=threading.Event(), metrics=Metrics(), progress=NoProgress(), only=frozenset({name})
        )

    def verify(self, *, telling: VerifyListener | None = None, **how: Any) -> Verified:
        """Verify with `VerifyOptions`; differences are reported at once unless `wait_s` says otherwise."""
        self.found.clear()
        how = {"wait_s": 0.0, **how}
        telling = telling or VerifyListener(on_finding=self.found.append)
        return verify(
            self.adapters, self.collection, self.generation, VerifyOptions(**how), stop=self.stop, telling=telling
        )

    def kinds(self) -> dict[str, str]:
        """The kind of each finding, by document id."""
        return {each.id: each.kind for each in self.found}

    def write(self, key: Any, body: dict[str, Any] | None, version: int = 0) -> Outcome:
        """Write or delete in the index, as the stream would; by default at this time."""
        raw = None if body is None else orjson.dumps(body)
        write = Write(self.generation.write_alias, document_id(key), version or self.now(), raw)
        return self.adapters.sink.write([write])[0]

    def tamper(self, key: Any, body: dict[str, Any] | None) -> None:
        """Make the index differ from the source; the version stays below whatever comes next."""
        assert self.write(key, body) == WRITTEN

    def indexed(self) -> dict[str, Any]:
        """What the index holds."""
        client, index = self.adapters.client, self.generation.index
        client.request("POST", f"/{index}/_refresh")
        hits = client.request("POST", f"/{index}/_search", {"size": 10_000}).json()["hits"]["hits"]
        return {hit["_id"]: hit["_source"] for hit in hits}


@contextmanager
def case(database: Database, source_uri: str, sink_url: str, alias: str, **collection: Any) -> Iterator[Case]:
    given = {"namespace": f"{database.name}.items", "index": alias, "replicas": 0, **collection}
    settings = Settings(
        source=SourceSettings(uri=SecretStr(source_uri)),
        sink=SinkSettings(url=sink_url),
        collections=(CollectionSettings(**given),),
    )
    (plan,) = plans(settings)
    stop, client = threading.Event(), sink_client(settings)
    with source_connection(settings.source) as connection:
        adapters = Wiring(settings, connection, client, Metrics()).adapters(plan, stop)
        generation = adapters.indexes.ensure_generation(settings.collections[0])
        try:
            yield Case(database, settings, adapters, plan.collections[0], generation, stop)
        finally:
            client.close()


class Meddling:
    """A sink before which something happens, once, when the first write comes."""

    def __init__(self, sink: Any, meddle: Callable[[], object]) -> None:
        self._sink = sink
        self._meddle: Callable[[], object] | None = meddle

    def write(self, writes: Any, **more: Any) -> list[Outcome]:
        if self._meddle:
            self._meddle, meddle = None, self._meddle
            meddle()
        return self._sink.write(writes, **more)
