"""An HTTPS server on 127.0.0.1 that hands every request to one function: keep-alive, a thread for each connection."""

import ssl
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from socket import SHUT_RDWR, socket
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Final, NamedTuple

import orjson

from penstock_tools.aws.domain.signature import Received

_PIECE: Final = 1 << 20


class Said(NamedTuple):
    """A response: the status, the headers in lower case, the body as it is sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class SignatureServer(ThreadingMixIn, TCPServer):
    """Accepts connections, each in a thread of its own that also does the TLS handshake."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, answer: Callable[[Received], Said], tls: ssl.SSLContext, *, max_body: int) -> None:
        super().__init__(("127.0.0.1", 0), _SignatureHandler, bind_and_activate=False)
        self.answer = answer
        self.max_body = max_body
        self._tls = tls
        self._open: set[socket] = set()
        self._is_cut = False
        self._lock = threading.Lock()

    def bind(self, port: int) -> None:
        """Bind the port without listening on it yet."""
        self.server_address = ("127.0.0.1", port)
        self.server_bind()

    def cut(self) -> None:
        """Close all connections, including those still in their handshake."""
        with self._lock:
            self._is_cut = True
            for connection in self._open:
                try:
                    connection.shutdown(SHUT_RDWR)
                except OSError:
                    continue

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection until it ends."""
        with self._tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False) as connection:
            with self._lock:
                if self._is_cut:
                    return
                self._open.add(connection)
            try:
                connection.do_handshake()
                _SignatureHandler(connection, client_address, self)
            finally:
                with self._lock:
                    self._open.discard(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors: a client went away, does not trust us, or we cut its connection."""
        if not (self._is_cut or isinstance(sys.exc_info()[1], OSError)):
            super().handle_error(request, client_address)


class _SignatureHandler(BaseHTTPRequestHandler):
    """One connection: reads requests and has the proxy answer them."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    rbufsize = 1 << 16
    server: SignatureServer

    def _serve(self) -> None:
        length = self.headers.get("content-length") or "0"
        if "transfer-encoding" in self.headers or not length.isdecimal():
            self.close_connection = True
            self._refuse(411, "Length Required")
            return
        body = self._body(int(length))
        if body is None:
            self._refuse(413, f"Request size exceeded {self.server.max_body} bytes")
            return
        self._say(self.server.answer(Received(self.command, self.path, self.headers.items(), body)))

    def _body(self, length: int) -> bytes | None:
        """Return the whole body, or None if it is too large; a client reads no answer before it has sent everything."""
        if length <= self.server.max_body:
            return self.rfile.read(length)
        while length > 0 and (piece := self.rfile.read(min(length, _PIECE))):
            length -= len(piece)
        return None

    def _refuse(self, status: int, message: str) -> None:
        self._say(Said(status, {"content-type": "application/json"}, orjson.dumps({"Message": message})))

    do_DELETE = do_GET = do_HEAD = do_OPTIONS = do_PATCH = do_POST = do_PUT = _serve  # noqa: N815 (looked up by name)

    def _say(self, said: Said) -> None:
        self.send_response(said.status)
        for name in ("content-type", "content-encoding", "warning"):
            if name in said.headers:
                self.send_header(name, said.headers[name])
        length = said.headers.get("content-length") if self.command == "HEAD" else None
        self.send_header("content-length", length or str(len(said.body)))
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log nothing: the server behind the proxy has a log."""
