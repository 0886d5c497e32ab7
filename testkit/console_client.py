"""A browser's side of the console, for tests over HTTP: it keeps the cookie, and finds the token of a page's forms."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3

from penstock.console.server import serving
from penstock.runtime.intervals import Intervals
from penstock.settings import ConsoleSettings, Settings

OPERATOR, VIEWER = "operators-token-of-tests", "viewers-token-of-tests"

_TIMEOUT_S = 120

_HTTP = urllib3.PoolManager(retries=False)


@contextmanager
def served_console(
    settings: Settings, folder: Path, *, log_in: bool = True, **console: Any
) -> Iterator["ConsoleClient"]:
    """Serve the console of these settings, with both tokens and actions unless told otherwise; the operator asks."""
    files = {"token_file": OPERATOR, "viewer_token_file": VIEWER}
    for name, token in files.items():
        (folder / name).write_text(token)
    given = {"actions": True, **{name: folder / name for name in files}, **console}
    made = settings.model_copy(update={"console": ConsoleSettings(**given)})
    with serving(made, made.console.listen or "127.0.0.1:0", Intervals.fast()) as served:
        assert served is not None
        client = ConsoleClient(served.address)
        yield client.log_in(OPERATOR, "Ann") if log_in and given["token_file"] else client


@dataclass
class ConsoleClient:
    """Somebody at the console; nobody is logged in at first."""

    address: str
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **headers: str | None) -> urllib3.BaseHTTPResponse:
        """Get a page."""
        return self._ask("GET", path, None, headers)

    def post(
        self,
        path: str,
        fields: Mapping[str, str] | None = None,
        *,
        csrf: str | None = None,
        **headers: str | Sequence[str] | None,
    ) -> urllib3.BaseHTTPResponse:
        """Send a form as a page of the console does, with the token of the session unless another is given.

        Each text of a sequence is a line of its own in the head.
        """
        token = self.csrf if csrf is None else csrf
        headers = {"Origin": self.address, "Sec_Fetch_Site": "same-origin", **headers}
        body = urlencode({**(fields or {}), **({"csrf": token} if token else {})})
        return self._ask("POST", path, body, {"Content_Type": "application/x-www-form-urlencoded", **headers})

    def log_in(self, token: str, name: str = "") -> "ConsoleClient":
        """Log in, and return this client."""
        answer = self.post("/login", {"token": token, "name": name, "next": "/"}, csrf="")
        assert answer.status == 303, (answer.status, self.text(answer))
        return self

    @property
    def csrf(self) -> str:
        """The token of this session's forms, as a page has it; empty when nobody is logged in."""
        found = re.search(r'name="csrf" value="([^"]*)"', self.text(self.get("/login")))
        return unescape(found[1]) if found else ""

    def events(self, path: str, count: int) -> list[str]:
        """Open the stream of a page and return its first events."""
        with self.stream(path) as stream:
            return [stream.next() for _ in range(count)]

    @contextmanager
    def stream(self, path: str) -> Iterator["Stream"]:
        """Open the stream of a page."""
        headers = {"Accept": "text/event-stream", **self._cookie()}
        answer = _HTTP.request(
            "GET", self.address + path, headers=headers, preload_content=False, redirect=False, timeout=_TIMEOUT_S
        )
        try:
            assert answer.status == 200, answer.status
            yield Stream(answer)
        finally:
            answer.close()

    @staticmethod
    def text(answer: urllib3.BaseHTTPResponse) -> str:
        """The body of an answer."""
        return answer.data.decode()

    def _ask(
        self, method: str, path: str, body: str | None, headers: Mapping[str, str | Sequence[str] | None]
    ) -> urllib3.BaseHTTPResponse:
        head = urllib3.HTTPHeaderDict(self._cookie())
        for name, given in headers.items():
            for line in [given] if isinstance(given, str) else given or ():
                head.add(name.replace("_", "-"), line)
        answer = _HTTP.request(
            method,
            self.address + path,
            body=body,
            headers=head,
            redirect=False,
            timeout=_TIMEOUT_S,
        )
        if cookie := answer.headers.get("set-cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value.strip('"')
        return answer

    def _cookie(self) -> dict[str, str]:
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if self.cookies else {}

    @property
    def host(self) -> str:
        """The Host header."""
        return urlsplit(self.address).netloc


@dataclass
class Stream:
    """The stream of a page, event by event."""

    answer: urllib3.BaseHTTPResponse
    _text: str = ""

    def next(self) -> str:
        """The next event; one that only keeps the stream open is left out."""
        while True:
            while "\n\n" not in self._text:
                assert self._read(), "the stream has ended"
            event, self._text = self._text.split("\n\n", 1)
            if not event.startswith(":"):
                return event

    def has_ended(self) -> bool:
        """Read on, and say whether that was the end."""
        return not self._read()

    def _read(self) -> bool:
        piece = self.answer.read1(65536)
        self._text += piece.decode()
        return bool(piece)
