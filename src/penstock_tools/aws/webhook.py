"""A receiver of webhooks on this machine: it checks the signature, and writes what it is given to a file."""

import base64
import hashlib
import hmac
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@contextmanager
def webhook_receiver(secret: str, file: Path) -> Iterator[str]:
    """Serve until the block ends; yields the address."""
    key, one_line = secret.encode(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            genuine = hmac.compare_digest(self.headers.get("webhook-signature", ""), self._signature(body))
            if genuine:
                with one_line, file.open("ab") as lines:
                    lines.write(body + b"\n")
            self.send_response(204 if genuine else 401)
            self.send_header("content-length", "0")
            self.end_headers()

        def _signature(self, body: bytes) -> str:
            signed = f"{self.headers.get('webhook-id')}.{self.headers.get('webhook-timestamp')}.".encode() + body
            return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name in the standard library)
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="webhook", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
