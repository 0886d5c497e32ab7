"""A receiver of webhooks on this machine, which answers by a plan and remembers what it was given."""

import hashlib
import hmac
import json
import socket
import threading
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, NamedTuple
from weakref import WeakSet

from testkit.http_server import serving

SECRET = "a secret of tests"


class Posted(NamedTuple):
    """A request as it came."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def is_signed(self) -> bool:
        """Whether the signature is that of SECRET, by the words of docs/reactions.md."""
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + self.body
        digest = hmac.digest(SECRET.encode(), signed, hashlib.sha256)
        return self.headers["webhook-signature"] == f"v1,{b64encode(digest).decode()}"


class Said(NamedTuple):
    """An answer; `after` is set before it is given."""

    status: int = 204
    headers: Mapping[str, str] = {}
    after: threading.Event | None = None


@dataclass
class Receiver:
    """`plan` says what to answer; `posted` is everything that came, `accepted` the events that got a 2xx."""

    url: str
    plan: Callable[[Posted], Said] = lambda _: Said()
    posted: list[Posted] = field(default_factory=list)
    accepted: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, document: Any) -> list[dict[str, Any]]:
        """The accepted events of a document, in their order, each once."""
        its = {each["id"]: each for each in list(self.accepted) if each["data"]["key"]["_id"] == document}
        return list(its.values())


@contextmanager
def receiver(port: int = 0) -> Iterator[Receiver]:
    """Serve until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            posted = Posted(dict(self.headers.items()), self.rfile.read(int(self.headers["content-length"])))
            posted = posted._replace(headers={name.lower(): value for name, value in posted.headers.items()})
            with there.lock:
                there.posted.append(posted)
            said = there.plan(posted)
            if said.after:
                said.after.wait(60)
            if 200 <= said.status < 300:
                with there.lock:
                    there.accepted.append(posted.event)
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        taken: ClassVar[WeakSet[socket.socket]] = WeakSet()

        def get_request(self) -> tuple[socket.socket, Any]:
            connection, address = super().get_request()
            self.taken.add(connection)
            return connection, address

        allow_reuse_address = True

        def handle_error(self, *_: Any) -> None:
            """A client that has gone is nothing to be told."""

    server = Server(("127.0.0.1", port), Handler)
    there = Receiver(f"http://127.0.0.1:{server.server_port}/hook")
    try:
        with serving(server, poll_s=0.02):
            yield there
    finally:
        for connection in list(Server.taken):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def kinds_of(events: Iterable[Mapping[str, Any]]) -> list[str]:
    """What happened, event by event."""
    return [each["data"]["kind"] for each in events]
