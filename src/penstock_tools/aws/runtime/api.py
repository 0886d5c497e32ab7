"""A stand-in for Lambda's Runtime API, from which a function's process gets its events and to which it responds.

There is one for each sandbox. It serves the four paths of the API's version 2018-06-01 and limits the size of a
response. It passes on what the process reports as signals, in order.
"""

import json
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from penstock_tools.aws.runtime.invocation import Invocation

RESPONSE_LIMIT: Final = 6_291_556
"""The maximum bytes of a response: 6 MiB plus 100, the number in Lambda's own error."""

_PREFIX = "/2018-06-01/runtime"


@dataclass(frozen=True, slots=True)
class RuntimeInvocation:
    """One invocation, as the process gets it."""

    request_id: str
    payload: bytes
    deadline_ms: int
    function_arn: str
    trace_id: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The process asks for its next event: its init, or the previous invocation, is over."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The process answered the event it has."""

    invocation: Invocation


@dataclass(frozen=True, slots=True)
class InitFailed:
    """The process could not load the handler; `payload` is the error's JSON."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Exited:
    """The process has ended with this status, negative for a signal."""

    status: int


Signal = Ready | Answered | InitFailed | Exited


class RuntimeApi:
    """Serves one process on 127.0.0.1 until it is closed."""

    def __init__(self) -> None:
        self.signals: queue.SimpleQueue[Signal] = queue.SimpleQueue()
        self._events: queue.SimpleQueue[RuntimeInvocation | None] = queue.SimpleQueue()
        self._current: RuntimeInvocation | None = None
        self._server = _RuntimeServer(self)
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="runtime-api", daemon=True
        )
        self._thread.start()

    def give(self, event: RuntimeInvocation) -> None:
        """Hand the event to the process that asks for its next one."""
        self._events.put(event)

    def close(self) -> None:
        """Stop serving. Only once, and after the process has ended."""
        self._events.put(None)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def next_event(self) -> RuntimeInvocation | None:
        """Wait for an event; None when the API is being closed."""
        self.signals.put(Ready())
        self._current = self._events.get()
        return self._current

    def answer(self, request_id: str, payload: bytes, function_error: str | None) -> bool:
        """Take a response; return False if the process has no event with this id."""
        if self._current is None or self._current.request_id != request_id:
            return False
        self._current = None
        self.signals.put(Answered(Invocation(payload, function_error)))
        return True


class _RuntimeServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, api: RuntimeApi) -> None:
        self.api = api
        super().__init__(("127.0.0.1", 0), _RuntimeHandler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors: a connection breaks whenever a process is killed."""


class _RuntimeHandler(BaseHTTPRequestHandler):
    server: _RuntimeServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path != f"{_PREFIX}/invocation/next":
            return self._say(404, "InvalidPath", f"There is no {self.path}")
        event = self.server.api.next_event()
        if event is None:
            self.close_connection = True
            return None
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", event.request_id)
        self.send_header("Lambda-Runtime-Deadline-Ms", str(event.deadline_ms))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", event.function_arn)
        self.send_header("Lambda-Runtime-Trace-Id", event.trace_id)
        return self._send_body(event.payload)

    def do_POST(self) -> None:
        match self.path.removeprefix(_PREFIX).split("/"):
            case ["", "invocation", request_id, "response"]:
                self._take(lambda body: self._response(request_id, body))
            case ["", "invocation", request_id, "error"]:
                self._take(lambda body: self._answer(request_id, body, "Unhandled"))
            case ["", "init", "error"]:
                self._take(self._init_error)
            case _:
                self._take(lambda _: self._say(404, "InvalidPath", f"There is no {self.path}"))

    def _take(self, use: Callable[[bytes], None]) -> None:
        use(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _response(self, request_id: str, body: bytes) -> None:
        if len(body) <= RESPONSE_LIMIT:
            return self._answer(request_id, body, None)
        error = {
            "errorType": "Function.ResponseSizeTooLarge",
            "errorMessage": f"Response payload size exceeded maximum allowed payload size ({RESPONSE_LIMIT} bytes).",
        }
        self.server.api.answer(request_id, json.dumps(error).encode(), "Unhandled")
        return self._say(
            413, "RequestEntityTooLarge", f"Exceeded maximum allowed payload size ({RESPONSE_LIMIT} bytes)."
        )

    def _answer(self, request_id: str, body: bytes, function_error: str | None) -> None:
        if self.server.api.answer(request_id, body, function_error):
            return self._accept()
        return self._say(400, "InvalidRequestID", "Invalid request ID")

    def _init_error(self, body: bytes) -> None:
        self.server.api.signals.put(InitFailed(body))
        self._accept()

    def _accept(self) -> None:
        self.send_response(202)
        self._send_body(b'{"status":"OK"}')

    def _say(self, status: int, error_type: str, message: str) -> None:
        self.send_response(status)
        self._send_body(json.dumps({"errorType": error_type, "errorMessage": message}).encode())

    def _send_body(self, body: bytes) -> None:
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name in the standard library)
        """Log nothing."""
