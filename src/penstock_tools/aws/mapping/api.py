"""Lambda's HTTP API for event source mappings and function calls, so that boto3 and the AWS CLI work.

Requests are not authenticated: the server listens on this machine only.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson
import structlog

from penstock_tools.aws.mapping.batch import PAYLOAD_BYTES
from penstock_tools.aws.mapping.errors import (
    InvalidParameterValue,
    InvalidRequestContent,
    RequestTooLarge,
    ResourceNotFound,
    ServiceError,
)
from penstock_tools.aws.mapping.mappings import Mappings
from penstock_tools.aws.mapping.rules import function_name

log = structlog.get_logger(__name__)

_VERSION = "2015-03-31"


class _Answer(NamedTuple):
    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


@contextmanager
def mapping_api(mappings: Mappings, port: int = 0) -> Iterator[str]:
    """Serve the API on this machine and yield its address. On leaving, the server stops; the mappings go on."""
    handler = type("Handler", (_MappingHandler,), {"mappings": mappings})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="lambda-api", daemon=True
    )
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _MappingHandler(BaseHTTPRequestHandler):
    """One connection."""

    mappings: Mappings
    protocol_version = "HTTP/1.1"
    server_version = "penstock"

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        log.debug("request", line=format % args)

    def _answer(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            answer = self._routed(method, body)
        except ServiceError as error:
            answer = _refusal(error)
        except Exception:
            log.exception("request failed", method=method, path=self.path)
            answer = _refusal(ServiceError("The request failed because of a defect: see the log."))
        self._send(answer)

    def _send(self, answer: _Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if answer.status != 204:
            self.wfile.write(answer.body)

    def _routed(self, method: str, body: bytes) -> _Answer:
        parts = urlsplit(self.path)
        path = [unquote(part) for part in parts.path.strip("/").split("/")]
        match [method, *path]:
            case ["POST", version, "event-source-mappings"] if version == _VERSION:
                return _json(202, self.mappings.create(_object(body)))
            case ["GET", version, "event-source-mappings"] if version == _VERSION:
                return _json(200, self.mappings.list(dict(parse_qsl(parts.query))))
            case [_, version, "event-source-mappings", name] if version == _VERSION:
                return self._one(method, name, body)
            case ["POST", version, "functions", name, "invocations"] if version == _VERSION:
                return self._invocation(name, body)
        raise ResourceNotFound(f"This emulation of Lambda has no {method} {parts.path}.")

    def _one(self, method: str, name: str, body: bytes) -> _Answer:
        calls: dict[str, tuple[int, Callable[[], dict[str, Any]]]] = {
            "GET": (200, lambda: self.mappings.get(name)),
            "PUT": (202, lambda: self.mappings.update(name, _object(body))),
            "DELETE": (202, lambda: self.mappings.delete(name)),
        }
        if method not in calls:
            raise ResourceNotFound(f"An event source mapping has no {method}.")
        status, call = calls[method]
        return _json(status, call())

    def _invocation(self, name: str, body: bytes) -> _Answer:
        function = function_name(name)
        self.mappings.require_function(function)
        if len(body) > PAYLOAD_BYTES:
            raise RequestTooLarge(
                f"Request must be smaller than {PAYLOAD_BYTES} bytes for the InvokeFunction operation"
            )
        kind = self.headers.get("X-Amz-Invocation-Type") or "RequestResponse"
        payload = body or b"{}"
        if not _is_json(payload):
            raise InvalidRequestContent("Could not parse request body into json.")
        if kind == "DryRun":
            return _Answer(204)
        if kind == "Event":
            threading.Thread(target=self.mappings.invoke, args=(function, payload), daemon=True).start()
            return _Answer(202)
        if kind != "RequestResponse":
            raise InvalidParameterValue(f"The invocation type {kind} is not one of RequestResponse, Event, DryRun.")
        answer = self.mappings.invoke(function, payload)
        failed = (("X-Amz-Function-Error", answer.function_error),) if answer.function_error else ()
        return _Answer(200, answer.payload, (("X-Amz-Executed-Version", "$LATEST"), *failed))


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body or b"{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InvalidParameterValue("Could not parse request body into json: it must be an object.")
    return found


def _is_json(payload: bytes) -> bool:
    try:
        orjson.loads(payload)
    except ValueError:
        return False
    return True


def _json(status: int, content: dict[str, Any]) -> _Answer:
    return _Answer(status, orjson.dumps(content))


def _refusal(error: ServiceError) -> _Answer:
    kind = "User" if error.status < 500 else "Service"
    body = orjson.dumps({"Type": kind, error.message_key: str(error)})
    return _Answer(error.status, body, (("x-amzn-ErrorType", error.code),))
