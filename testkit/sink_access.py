"""What the contract tests of the sink, the state and the dead letters stand on: a real cluster, and a relay to it."""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from penstock.errors import PenstockError
from penstock.observe.metrics import Metrics
from penstock.opensearch.http.client import Client, Unreachable
from penstock.opensearch.http.waiting import RetryForever
from penstock.opensearch.index.indexes import Generation, Indexes
from penstock.opensearch.state.store import StateStore
from penstock.opensearch.write.sink import OpenSearchSink
from penstock.settings import CollectionSettings, SinkSettings
from testkit.http_relay import Asked, Plan, Relay, Said, relay

__all__ = ["Asked", "Plan", "Relay", "Said", "Side", "eventually", "once_it_waits", "relay", "side"]


@dataclass
class Side:
    """One process's way to the cluster."""

    client: Client
    settings: SinkSettings
    metrics: Metrics
    stop: threading.Event
    patience: RetryForever
    sink: OpenSearchSink
    indexes: Indexes

    def waiting(self) -> bool:
        return self.metrics.value("penstock_waiting") == 1

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.client.request(method, path, body)
        assert answer.ok, answer
        return answer.json()

    def generation(self, name: str, **settings: Any) -> Generation:
        return self.indexes.ensure_generation(self.declared(name, **settings))

    def declared(self, name: str, **settings: Any) -> CollectionSettings:
        return CollectionSettings(**{"namespace": "shop.orders", "index": name, "replicas": 0, **settings})

    def documents(self, alias: str) -> dict[str, Any]:
        """What an index holds now, by id."""
        self.ask("POST", f"/{alias}/_refresh")
        hits = self.ask("POST", f"/{alias}/_search", {"size": 1000})["hits"]["hits"]
        return {hit["_id"]: hit["_source"] for hit in hits}


def ensure_state_index(way: Side) -> None:
    """Create penstock's state index as penstock does; a test that only writes a document would create a plain index."""
    store, state_id = StateStore(way.client, way.patience), f"test/{secrets.token_hex(6)}"
    store.put(state_id, {"kind": "test", "name": state_id}, None)
    store.delete(state_id)


@contextmanager
def side(url: str, **settings: Any) -> Iterator[Side]:
    """Open a way to the cluster at an address."""
    made = SinkSettings(url=url, **settings)
    metrics, stop = Metrics(), threading.Event()
    client, patience = Client(made), RetryForever(metrics, stop)
    sink = OpenSearchSink(client, made, metrics, patience)
    try:
        yield Side(client, made, metrics, stop, patience, sink, Indexes(client, patience))
    finally:
        stop.set()
        client.close()


def eventually(condition: Callable[[], bool], within_s: float = 90) -> None:
    """Wait for a condition; fails when it does not come true."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"{condition} did not come true within {within_s} s"
        time.sleep(0.005)


@contextmanager
def once_it_waits(at: Side, then: Callable[[], object]) -> Iterator[None]:
    """Do something in another thread as soon as the side waits for the cluster."""
    failed: list[Exception] = []

    def watch() -> None:
        try:
            eventually(at.waiting)
            then()
        except (AssertionError, PenstockError, Unreachable) as error:
            failed.append(error)
            at.stop.set()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert not failed, failed
