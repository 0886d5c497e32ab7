"""What the contract tests of the sink, the state and the dead letters stand on: a real cluster, and a relay to it."""

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import urllib3

from penstock.errors import PenstockError
from penstock.metrics import Metrics
from penstock.opensearch.client import Client, Unreachable
from penstock.opensearch.indexes import Generation, Indexes
from penstock.opensearch.sink import OpenSearchSink
from penstock.opensearch.waiting import Patience
from penstock.settings import CollectionSettings, SinkSettings


@dataclass
class Side:
    """One process's way to the cluster."""

    client: Client
    settings: SinkSettings
    metrics: Metrics
    stop: threading.Event
    patience: Patience
    sink: OpenSearchSink
    indexes: Indexes

    def waiting(self) -> bool:
        return self.metrics.value("penstock_waiting") == 1

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.client.request(method, path, body)
        assert answer.ok, answer
        return answer.json()

    def generation(self, name: str, **settings: Any) -> Generation:
        given = {"namespace": "shop.orders", "index": name, "replicas": 0, **settings}
        return self.indexes.ensure_generation(CollectionSettings(**given))

    def documents(self, alias: str) -> dict[str, Any]:
        """What an index holds now, by id."""
        self.ask("POST", f"/{alias}/_refresh")
        hits = self.ask("POST", f"/{alias}/_search", {"size": 1000})["hits"]["hits"]
        return {hit["_id"]: hit["_source"] for hit in hits}


@contextmanager
def side(url: str, **settings: Any) -> Iterator[Side]:
    """Open a way to the cluster at an address."""
    made = SinkSettings(url=url, **settings)
    metrics, stop = Metrics(), threading.Event()
    client, patience = Client(made), Patience(metrics, stop)
    sink = OpenSearchSink(client, made, metrics, patience)
    try:
        yield Side(client, made, metrics, stop, patience, sink, Indexes(client, patience))
    finally:
        stop.set()
        client.close()


def eventually(condition: Callable[[], bool], within_s: float = 20) -> None:
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


class Asked(NamedTuple):
    """A request as the relay received it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.body.splitlines()]


class Said(NamedTuple):
    """An answer that the relay gives itself."""

    status: int
    body: bytes


Plan = Callable[[Asked], Said | str]
"""What the relay does with a request: "pass" it on, "drop" it unseen, pass it on and "cut" the answer, or answer."""


@dataclass
class Relay:
    """A real socket server in front of the cluster; answers by its plan, and remembers what it was asked."""

    url: str
    plan: Plan = lambda _: "pass"
    asked: list[Asked] = field(default_factory=list)

    def bulks(self) -> list[Asked]:
        return [each for each in self.asked if "/_bulk" in each.path]

    def for_bulks(self, *steps: Said | str) -> None:
        """Follow the steps for the next bulk requests, one each, and pass on everything else."""
        left = list(steps)

        def plan(asked: Asked) -> Said | str:
            return left.pop(0) if left and "/_bulk" in asked.path else "pass"

        self.plan = plan


@contextmanager
def relay(target: str, tls: ssl.SSLContext | None = None) -> Iterator[Relay]:
    """Run a relay to an address; with TLS when given its certificate."""
    made = Relay("")
    pool = urllib3.PoolManager()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            asked = Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            made.asked.append(asked)
            step = made.plan(asked)
            if step in ("pass", "cut"):
                headers = {k: v for k, v in asked.headers.items() if k.startswith("content-") and k != "content-length"}
                answer = pool.request(asked.method, target + asked.path, body=body, headers=headers, retries=False)
                step = step if step == "cut" else Said(answer.status, answer.data)
            if isinstance(step, str):
                self.close_connection = True
                return
            self.send_response(step.status)
            self.send_header("content-length", str(len(step.body)))
            self.end_headers()
            self.wfile.write(step.body)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    made.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        pool.clear()
