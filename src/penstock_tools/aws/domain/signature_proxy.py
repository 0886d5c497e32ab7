"""An OpenSearch domain's endpoint on this machine: HTTPS that passes on only correctly signed requests.

It shares no code with the signer. Permissions are checked by the policy of the role that an access key belongs to;
without a policy, a key may do everything.
"""

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

import orjson
import urllib3
from urllib3.exceptions import HTTPError

from penstock_tools.aws.domain.signature import Received, SignatureRefused, Verifier
from penstock_tools.aws.domain.signature_server import Said, SignatureServer
from penstock_tools.servers.certificate import Certificate
from penstock_tools.servers.errors import LocalServerError

SERVICE: Final = "es"
"""The name of OpenSearch Service in IAM and in signatures."""

MAX_BODY: Final = 100 * 1024 * 1024
"""The largest request a domain accepts; small instance types accept a tenth of it."""

_PASSED_ON: Final = ("accept", "accept-encoding", "content-type", "content-encoding")
_UPSTREAM_CONNECTIONS = 32

Allow = Callable[[str, str], bool]
"""Returns whether a role may use a method on a path (still quoted)."""


class SignatureProxy:
    """A context manager that serves at `url` until it is left."""

    def __init__(
        self,
        upstream: str,
        *,
        credentials: Mapping[str, str],
        region: str,
        certificate: Certificate,
        port: int = 0,
        session_tokens: Mapping[str, str] | None = None,
        allow: Mapping[str, Allow] | None = None,
        max_body: int = MAX_BODY,
    ) -> None:
        """Accept the `credentials` (secret keys by access key), with their session tokens if given."""
        self._verifier = Verifier(credentials, region=region, service=SERVICE, session_tokens=session_tokens or {})
        self._allow = allow or {}
        self._upstream = urllib3.connection_from_url(
            upstream, maxsize=_UPSTREAM_CONNECTIONS, timeout=urllib3.Timeout(connect=10, read=None), retries=False
        )
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate.certificate, certificate.key)
        self._wanted_port = port
        self._away = False
        self._max_body = max_body

    def __enter__(self) -> Self:
        self._server = self._bound(self._wanted_port)
        self._serving = self._serve()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_serving()
        self._upstream.close()

    @property
    def endpoint(self) -> str:
        """Host and port, in the form in which functions get a domain's endpoint."""
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    @property
    def url(self) -> str:
        """The address of the domain."""
        return f"https://{self.endpoint}"

    @contextmanager
    def away(self, *, refuse: bool = False) -> Iterator[None]:
        """Answer 503 to everything, or with `refuse` cut all connections and accept none, until the block ends."""
        if not refuse:
            self._away = True
            try:
                yield
            finally:
                self._away = False
            return
        port = self._server.server_address[1]
        self._stop_serving()
        self._server = self._bound(port)  # bound but not listening: the port stays ours, connections are refused
        try:
            yield
        finally:
            self._serving = self._serve()

    def answer(self, request: Received) -> Said:
        """Check a request and pass it on, or answer it as the service does."""
        if self._away:
            return _refusal(503, message="Service Unavailable")
        try:
            access_key = self._verifier.check(request, datetime.now(UTC))
        except SignatureRefused as refused:
            return _refusal(403, message=str(refused))
        action = f"{SERVICE}:ESHttp{request.method.capitalize()}"
        if access_key is None:
            return _refusal(
                403,
                Message=f"User: anonymous is not authorized to perform: {action} because no resource-based policy"
                f" allows the {action} action",
            )
        allowed = self._allow.get(access_key)
        if allowed is not None and not allowed(request.method, request.path):
            return _refusal(
                403,
                Message=f"User: {access_key} is not authorized to perform: {action} because no identity-based policy"
                f" allows the {action} action",
            )
        return self._pass_on(request)

    def _pass_on(self, request: Received) -> Said:
        headers = {name: value for name in _PASSED_ON if (value := request.header(name)) is not None}
        try:
            response = self._upstream.urlopen(
                request.method,
                request.target,
                body=request.body or None,
                headers={"accept-encoding": "identity", **headers},
                redirect=False,
                decode_content=False,
            )
        except HTTPError as error:
            return _refusal(503, message=f"Service Unavailable: {error}")
        return Said(response.status, response.headers, response.data)

    def _bound(self, port: int) -> SignatureServer:
        server = SignatureServer(self.answer, self._tls, max_body=self._max_body)
        try:
            server.bind(port)
        except OSError as error:
            server.server_close()
            raise LocalServerError(
                f"The OpenSearch domain cannot use port {port} of 127.0.0.1: {error.strerror}. Name another port, or 0"
                " for any free one"
            ) from error
        return server

    def _serve(self) -> threading.Thread:
        self._server.server_activate()
        serving = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="signatures", daemon=True)
        serving.start()
        return serving

    def _stop_serving(self) -> None:
        self._server.shutdown()
        self._serving.join()
        self._server.server_close()
        self._server.cut()


def _refusal(status: int, **fields: str) -> Said:
    return Said(status, {"content-type": "application/json"}, orjson.dumps(fields))
