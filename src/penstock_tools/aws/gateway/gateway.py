"""API Gateway on this machine: HTTP in front of functions, with REST proxy events and the service's limits."""

import hmac
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import structlog

from penstock.errors import PenstockError
from penstock_tools.aws.gateway.answer import HttpResponse, MalformedAnswer, http_response, message
from penstock_tools.aws.gateway.event import Api, HttpRequest, proxy_event
from penstock_tools.aws.runtime.function import RequestEntityTooLarge
from penstock_tools.aws.runtime.invocation import Invocation, Invoke
from penstock_tools.servers.ports import require_free

BODY_LIMIT: Final = 10 * 1024 * 1024
INTEGRATION_TIMEOUT_S: Final = 29.0

log = structlog.get_logger(__name__)

_CHUNK = 1 << 16


class Gateway:
    """A context manager that serves `http://127.0.0.1:<port>/<stage>`.

    `routes` says which function a method and a path, without the stage, go to. With `api_key` every route demands it in
    `x-api-key`. A function that needs longer than the timeout goes on after its caller has been answered, as on AWS.
    """

    def __init__(
        self,
        routes: Mapping[tuple[str, str], str],
        invoke: Invoke,
        *,
        port: int = 0,
        stage: str = "prod",
        api_key: str | None = None,
        integration_timeout_s: float = INTEGRATION_TIMEOUT_S,
    ) -> None:
        self._routes = dict(routes)
        self._invoke = invoke
        self._port = port
        self._stage = stage
        self._api_key = api_key
        self._timeout_s = integration_timeout_s

    def __enter__(self) -> "Gateway":
        require_free(self._port, "The API gateway")
        self._server = _GatewayServer(self, self._port)
        self.port: int = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/{self._stage}"
        self._api = Api(self._stage, self.port, self._api_key)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="api-gateway", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def respond(self, request: HttpRequest) -> HttpResponse:
        """Return the response to a request, whose `path` still has the stage."""
        stage, _, rest = request.path.removeprefix("/").partition("/")
        if stage != self._stage:
            return message(403, "Forbidden", "ForbiddenException")
        inner = replace(request, path=f"/{rest}")
        function = self._routes.get((inner.method, inner.path))
        if function is None:
            return message(403, "Missing Authentication Token", "MissingAuthenticationTokenException")
        if not self._key_is_right(request):
            return message(403, "Forbidden", "ForbiddenException")
        return self._integrate(function, inner)

    def _key_is_right(self, request: HttpRequest) -> bool:
        if self._api_key is None:
            return True
        given = next((value for name, value in request.headers if name.lower() == "x-api-key"), "")
        return hmac.compare_digest(given.encode(), self._api_key.encode())

    def _integrate(self, function: str, request: HttpRequest) -> HttpResponse:
        where = {"function": function, "request_id": request.id}
        try:
            invocation = self._call_in_time(function, proxy_event(self._api, request))
            if invocation.function_error is not None:
                raise MalformedAnswer(f"the function failed ({invocation.function_error}), see its log")
            return http_response(invocation.payload)
        except TimeoutError:
            return message(504, "Endpoint request timed out")
        except RequestEntityTooLarge as error:
            log.warning("gateway_refused", **where, reason=str(error))
            return message(413, "Request Too Long")
        except MalformedAnswer as error:
            log.warning("gateway_bad_answer", **where, reason=str(error))
            return message(502, "Internal server error", "InternalServerErrorException")
        except (PenstockError, KeyError) as error:
            log.warning("gateway_cannot_call", **where, reason=str(error))
            return message(500, "Internal server error", "InternalServerErrorException")

    def _call_in_time(self, function: str, payload: bytes) -> Invocation:
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="api-gateway-call")
        try:
            return executor.submit(self._invoke, function, payload).result(self._timeout_s)
        finally:
            executor.shutdown(wait=False)


class _GatewayServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, gateway: Gateway, port: int) -> None:
        self.gateway = gateway
        super().__init__(("127.0.0.1", port), _GatewayHandler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that went away."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _GatewayHandler(BaseHTTPRequestHandler):
    server: _GatewayServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        body = self._body()
        if body is None:
            text = f"HTTP content length exceeded {BODY_LIMIT} bytes."
            return self._send(HttpResponse(413, [("Content-Type", "text/plain")], text.encode()))
        request = self._request(body)
        return self._send(self.server.gateway.respond(request), ("x-amzn-RequestId", request.id))

    do_DELETE = do_GET = do_HEAD = do_OPTIONS = do_PATCH = do_POST = do_PUT = _serve  # noqa: N815 (looked up by name)

    def _request(self, body: bytes) -> HttpRequest:
        path, _, query = self.path.partition("?")
        return HttpRequest(
            method=self.command,
            path=path,
            query=query,
            headers=self.headers.items(),
            body=body,
            source_ip=self.client_address[0],
            protocol=self.request_version,
        )

    def _body(self) -> bytes | None:
        """Return the whole body, or None if it is too large; a client reads no answer before it has sent everything."""
        body = bytearray()
        too_large = False
        for chunk in self._chunks():
            too_large = too_large or len(body) + len(chunk) > BODY_LIMIT
            if not too_large:
                body += chunk
        return None if too_large else bytes(body)

    def _chunks(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield from self._read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            yield from self._read(int(self.headers.get("Content-Length") or 0))

    def _read(self, size: int) -> Iterator[bytes]:
        while size > 0 and (chunk := self.rfile.read(min(size, _CHUNK))):
            size -= len(chunk)
            yield chunk

    def _send(self, response: HttpResponse, *more_headers: tuple[str, str]) -> None:
        self.send_response(response.status)
        for name, value in [*response.headers, *more_headers]:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name in the standard library)
        """Log nothing."""
