"""A webhook: an event is one POST, signed as Standard Webhooks (https://www.standardwebhooks.com) has it.

    webhook-id          the event's id, the same at every attempt; percent-encoded where a header needs that
    webhook-timestamp   when it was sent, in seconds
    webhook-signature   v1, and the HMAC-SHA256 of id, timestamp and body, in base64

Whatever means "not now" is tried again: no answer, 408, 425, 429, 5xx. Every other answer but a 2xx is a refusal.
"""

import binascii
import hashlib
import hmac
import socket
import ssl
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from contextlib import closing
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import quote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from penstock.errors import SettingsError
from penstock.reactions.event import Event
from penstock.reactions.target import Accepted, Answer, Refused, TryAgain
from penstock.runtime.sockets import OpenSockets
from penstock.runtime.threads import SINK_MAY_ANSWER_S, Cutoff
from penstock.settings import ReactionSettings

CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"

_NOT_NOW = frozenset({408, 425, 429})
_CONNECT_S = 5.0
_KEPT_ALIVE_BYTES = 64 * 1024
_ENCODED = "whsec_"
_SAFE = "/:=+,@"


class WebhookTarget:
    """Posts events to one address. Redirects are not followed: who signs must know for whom."""

    at_once = 1

    def __init__(self, settings: ReactionSettings, stop: threading.Event | None = None) -> None:
        self._settings = settings
        self._url = str(settings.url)
        parts = urlsplit(self._url)
        self.where = f"{parts.scheme}://{parts.netloc}"
        """The address without its path, which may be secret."""
        self._key()
        self._pool = urllib3.PoolManager(
            maxsize=settings.in_flight,
            timeout=urllib3.Timeout(connect=min(_CONNECT_S, settings.timeout_s), total=settings.timeout_s),
            retries=False,
            cert_reqs="CERT_REQUIRED",
        )
        self._sockets = OpenSockets(self._pool)
        self._cutoff = Cutoff(stop, self._sockets.cut, after_s=SINK_MAY_ANSWER_S) if stop else None

    def send(self, events: Sequence[Event]) -> list[Answer]:
        """Post each event."""
        return [self._post(each) for each in events]

    def problem(self) -> str:
        """Connect, and send nothing."""
        parts = urlsplit(self._url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        try:
            with closing(socket.create_connection((str(parts.hostname), port), timeout=_CONNECT_S)) as connection:
                if parts.scheme == "https":
                    ssl.create_default_context().wrap_socket(connection, server_hostname=parts.hostname).close()
        except OSError as error:
            return f"{self.where} takes no connection: {error.strerror or error}"
        return ""

    def close(self) -> None:
        """Close the connections."""
        if self._cutoff:
            self._cutoff.close()
        self._pool.clear()

    def _post(self, event: Event) -> Answer:
        try:
            headers = signed(self._key(), event, int(time.time()))
        except SettingsError as error:  # a file that is away while it is replaced
            return TryAgain(str(error))
        try:
            response = self._pool.request(
                "POST", self._url, body=event.body, headers=headers, redirect=False, preload_content=False
            )
        except HTTPError as error:
            return TryAgain(f"{self.where} gave no answer ({type(error).__name__})")
        _finish(response)
        return self._judge(response.status, response.headers)

    def _judge(self, status: int, headers: Mapping[str, str]) -> Answer:
        said = f"{self.where} answered {status}"
        if 200 <= status < 300:
            return Accepted()
        if status in _NOT_NOW or status >= 500:
            return TryAgain(said, retry_after_s(headers.get("retry-after"), time.time()))
        return Refused(f"{said}, a redirect, which is not followed" if 300 <= status < 400 else said)

    def _key(self) -> bytes:
        """Return the key that is to be signed with now. Raises SettingsError."""
        file = self._settings.secret_file
        if file is None:
            secret = self._settings.secret.get_secret_value() if self._settings.secret else ""
        else:
            try:
                secret = file.read_text(encoding="utf-8").strip()
            except OSError as error:
                raise SettingsError(
                    f"reaction {self._settings.name}: secret_file {file} cannot be read: {error.strerror}"
                ) from None
        try:
            key = b64decode(secret.removeprefix(_ENCODED)) if secret.startswith(_ENCODED) else secret.encode()
        except (ValueError, binascii.Error):
            key = b""
        if not key:
            raise SettingsError(f"reaction {self._settings.name}: the secret is empty, or not base64 after whsec_")
        return key


def signed(key: bytes, event: Event, timestamp: int) -> dict[str, str]:
    """Return the headers of a request with this event."""
    message_id = quote(event.id, safe=_SAFE)  # an `_id` may hold anything, a line's end too
    content = b"%b.%d.%b" % (message_id.encode(), timestamp, event.body)
    signature = b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    return {
        "content-type": CONTENT_TYPE,
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
        "user-agent": "penstock",
    }


def retry_after_s(value: str | None, now: float) -> float:
    """Return the seconds that a Retry-After asks for, as a number or a date; 0 for none, or one without sense."""
    if not value:
        return 0.0
    try:
        return max(0.0, float(value) if value.strip().isdigit() else parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return 0.0


def _finish(response: urllib3.BaseHTTPResponse) -> None:
    """Keep the connection where the rest of the answer is short; nobody reads it."""
    length = response.headers.get("content-length", "")
    if length.isdigit() and int(length) <= _KEPT_ALIVE_BYTES:
        try:
            response.read()
            response.release_conn()
        except HTTPError:
            response.close()
    else:
        response.close()
