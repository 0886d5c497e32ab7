"""A small HTTP client: one request, one response. `error_table` decides what a response means."""

import gzip
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import orjson
import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    SSLError,
)

from penstock.errors import PenstockError, SettingsError, SinkUnavailable
from penstock.opensearch.http.auth import Authorisation, LoginAway, authorisation
from penstock.runtime.client_certificate import problem_of
from penstock.runtime.sockets import OpenSockets
from penstock.runtime.threads import SINK_MAY_ANSWER_S, Cutoff
from penstock.settings import SinkSettings

CONNECT_TIMEOUT_S: Final = 5.0
"""An address that does not accept a connection within this time is unreachable; a stop cannot end this earlier."""

_GZIP_FROM_BYTES = 1024
_REFUSED = frozenset({401, 403})
_AWAY_S = 60.0


class Response(NamedTuple):
    """The server's response: the HTTP status and the body as received."""

    status: int
    raw: bytes

    @property
    def ok(self) -> bool:
        """Whether the request as a whole was accepted."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """Parse the body; None if it is not JSON (a proxy's page, a truncated response)."""
        try:
            return orjson.loads(self.raw)
        except orjson.JSONDecodeError:
            return None


class Unreachable(Exception):
    """No response came. `unclear`: the request may have been carried out nevertheless; `todo`: if that stays so."""

    def __init__(self, detail: str, *, unclear: bool, todo: str = "") -> None:
        super().__init__(detail)
        self.unclear = unclear
        self.todo = todo or "Check that OpenSearch is up and that this machine can reach it."


class ResponseTooLarge(PenstockError):
    """A response is larger than the caller has room for; nothing of it is kept."""


class Client:
    """Sends requests to one cluster; several threads may use it. Close it at the end."""

    def __init__(
        self,
        settings: SinkSettings,
        *,
        signer: Authorisation | None = None,
        connections: int = 0,
        stop: threading.Event | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = settings.url
        self.is_serverless = settings.auth == "sigv4" and settings.service == "aoss"
        self._gzip = settings.gzip
        self._authorisation = authorisation(settings, signer)
        self._certificate, self._key = settings.client_certificate, settings.client_key
        if problem := self._certificate_problem():
            raise SettingsError(f"[sink] client_certificate: {problem}.")
        self._renewing = threading.Lock()
        self._renewed_at: float | None = None
        self._away_since: float | None = None
        self._now = now
        self._pool = urllib3.PoolManager(
            maxsize=connections or settings.requests_in_flight + 4,
            block=False,
            timeout=urllib3.Timeout(connect=min(CONNECT_TIMEOUT_S, settings.timeout_s), read=settings.timeout_s),
            retries=False,
            ca_certs=str(settings.tls_ca_file) if settings.tls_ca_file is not None else None,
            cert_file=str(self._certificate) if self._certificate is not None else None,
            key_file=str(self._key) if self._key is not None else None,
            cert_reqs="CERT_REQUIRED",
        )
        self._sockets = OpenSockets(self._pool)
        self._cutoff = Cutoff(stop, self.cut, after_s=SINK_MAY_ANSWER_S) if stop else None

    def request(
        self, method: str, path: str, body: bytes | dict[str, Any] | None = None, *, most_bytes: int | None = None
    ) -> Response:
        """Send one request; renew credentials once if they are refused. Raises Unreachable, SinkUnavailable.

        `path` starts with a slash and is already quoted. A dict is sent as JSON, bytes as lines of JSON (bulk).
        Raises ResponseTooLarge for a response of more than `most_bytes`.
        """
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        if isinstance(body, dict):
            headers["content-type"] = "application/json"
            body = orjson.dumps(body)
        elif body is not None:
            headers["content-type"] = "application/x-ndjson"
        payload = body or b""
        if self._gzip and len(payload) >= _GZIP_FROM_BYTES:
            headers["content-encoding"] = "gzip"
            payload = gzip.compress(payload, compresslevel=1, mtime=0)
        asked_at = self._now()
        answer = self._send(method, path, payload, headers, most_bytes)
        if answer.status in _REFUSED and b"cluster_block_exception" not in answer.raw and self._renew(asked_at):
            answer = self._send(method, path, payload, headers, most_bytes)
        return answer

    def cut(self) -> None:
        """End every request that is under way, and send no other: each is Unreachable. Any thread may call it."""
        self._sockets.cut()

    def close(self) -> None:
        """Close the connections."""
        if self._cutoff:
            self._cutoff.close()
        self._pool.clear()

    def _send(
        self, method: str, path: str, payload: bytes, headers: dict[str, str], most_bytes: int | None
    ) -> Response:
        if self._sockets.is_cut:
            raise Unreachable("the process is stopping", unclear=False)
        url = self.url + path
        signed = self._authorisation.headers(method, url, payload, headers)
        try:
            response = self._pool.request(
                method, url, body=payload or None, headers=signed, redirect=False, preload_content=most_bytes is None
            )
            data = response.data if most_bytes is None else _read_up_to(most_bytes, response)
        except (NewConnectionError, ConnectTimeoutError) as error:
            detail = _describe_transport_error(error)
            raise Unreachable(detail, unclear=False, todo=_reaching(error)) from error
        except HTTPError as error:
            if todo := self._tls_advice(error):
                raise SinkUnavailable(f"No TLS connection to {self.url}: {error}.", todo) from error
            is_cut = isinstance(error, ProtocolError | SSLError)
            todo = self._advice_after_cut() if is_cut else ""
            raise Unreachable(_describe_transport_error(error), unclear=True, todo=todo) from error
        return Response(response.status, data)

    def _certificate_problem(self) -> str:
        return problem_of(self._certificate, self._key) if self._certificate else ""

    def _tls_advice(self, error: HTTPError) -> str:
        """What to do where TLS fails permanently; empty for a connection that was cut."""
        cause = _ssl_error(error)
        if cause is None:
            return ""
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _server_certificate_advice(cause)
        return (
            self._on_client_certificate()
            if cause.reason in _ON_CLIENT_CERTIFICATE
            else _TLS_ADVICE.get(cause.reason, "")
        )

    def _on_client_certificate(self) -> str:
        if self._certificate is None:
            return _NO_CERTIFICATE
        reason = self._certificate_problem() or "use one of an authority that the server trusts for clients"
        return f"The server does not take the certificate of [sink] client_certificate, {self._certificate}: {reason}."

    def _advice_after_cut(self) -> str:
        if self.url.startswith("http:"):
            return "If the server requires TLS, use https:// in [sink] url; else check that it is OpenSearch, and up."
        return f"Check that it is OpenSearch, and up. It may be this: {self._on_client_certificate()}"

    def _renew(self, asked_at: float) -> bool:
        """Renew the credentials, unless another thread has done so since the refused request was made."""
        with self._renewing:
            if self._renewed_at is not None and self._renewed_at >= asked_at:
                return True
            try:
                renewed = self._authorisation.renew()
            except LoginAway as error:
                raise self._still_away(error) from error
            self._away_since = None
            if renewed:
                self._renewed_at = self._now()
            return renewed

    def _still_away(self, error: LoginAway) -> Unreachable | SettingsError:
        """A file that is replaced is away for seconds; after a minute somebody has to look."""
        if self._away_since is None:
            self._away_since = self._now()
        if self._now() - self._away_since < _AWAY_S:
            return Unreachable(str(error), unclear=False, todo="Put the file back.")
        return SettingsError(str(error))


def _read_up_to(most_bytes: int, response: urllib3.BaseHTTPResponse) -> bytes:
    """Read a response whole. Raises ResponseTooLarge, and gives up its connection."""
    data = response.read(most_bytes + 1)
    if len(data) > most_bytes:
        response.close()
        raise ResponseTooLarge(f"The response has more than {most_bytes} bytes.")
    response.release_conn()
    return data


_NO_CERTIFICATE = (
    "The server requires a client certificate: name it as [sink] client_certificate, and its key as client_key."
)

_TLS_ADVICE = {
    "WRONG_VERSION_NUMBER": "Use http:// in [sink] url: the server has no TLS.",
    "NO_CERTIFICATE_OR_CRL_FOUND": "[sink] tls_ca_file must hold certificates in PEM form.",
    "TLSV1_ALERT_PROTOCOL_VERSION": "The server wants another version of TLS: let it accept TLS 1.2 or newer.",
    "UNSUPPORTED_PROTOCOL": "The server wants another version of TLS: let it accept TLS 1.2 or newer.",
}
"""By the reason that OpenSSL gives: what fails permanently."""

_ON_CLIENT_CERTIFICATE = frozenset(
    {
        *("TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_HANDSHAKE_FAILURE", "SSLV3_ALERT_BAD_CERTIFICATE"),
        *("TLSV1_ALERT_UNKNOWN_CA", "SSLV3_ALERT_CERTIFICATE_UNKNOWN", "SSLV3_ALERT_CERTIFICATE_EXPIRED"),
        *("SSLV3_ALERT_CERTIFICATE_REVOKED", "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE"),
    }
)
"""What a server says of a client's certificate, or of none."""


def _server_certificate_advice(cause: ssl.SSLCertVerificationError) -> str:
    if "expired" in cause.verify_message or "not yet valid" in cause.verify_message:
        return "Renew the server's certificate, or correct the clock of this machine."
    if "match" in cause.verify_message or "not valid for" in cause.verify_message:
        return "Use a name in [sink] url that the server's certificate is for."
    return "Set [sink] tls_ca_file to the CA that signed the server's certificate."


def _ssl_error(error: BaseException | None) -> ssl.SSLError | None:
    """The error of TLS behind the driver's; it has it as an argument, or in its cause."""
    while error is not None and not isinstance(error, ssl.SSLError):
        inner = next((each for each in error.args if isinstance(each, BaseException)), None)
        error = inner or error.__cause__
    return error


def _reaching(error: HTTPError) -> str:
    """What to do where no connection was made."""
    if isinstance(error, NameResolutionError):
        return "Correct the name of the host in [sink] url."
    if isinstance(error, NewConnectionError):
        return "Start it, or correct [sink] url."
    return "Check [sink] url, and that this machine may reach it: firewalls, security groups, the network."


def _describe_transport_error(error: HTTPError) -> str:
    """Return the cause in a few words, without the driver's object names."""
    text = str(error)
    return text.rpartition(": ")[2] if isinstance(error, NewConnectionError | ConnectTimeoutError) else text
