"""A relay in front of the cluster, which does harm by a plan."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import urllib3


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
    carried_out: list[Asked] = field(default_factory=list)
    """What the cluster has answered."""

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
                made.carried_out.append(asked)
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

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Say nothing: the process that asked was killed."""

    server = Server(("127.0.0.1", 0), Handler)
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
