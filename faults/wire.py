"""Proxies that do to connections what networks do: delay them, close one side only, cut a response in the middle."""

import random
import socket
import time
from contextlib import suppress

from testkit.tcp_proxy import Proxy


class Cutting(Proxy):
    """Cuts connections, as its base class can."""


class Slow(Proxy):
    """Delays each piece by up to `most_s`, both ways."""

    most_s = 0.0

    def _forward(self, origin: socket.socket, target: socket.socket) -> None:
        super()._forward(_Wrapped(origin, self._wait), target)  # type: ignore[arg-type]

    def _wait(self, received: bytes) -> bytes:
        time.sleep(random.uniform(0, self.most_s))
        return received


class Narrow(Proxy):
    """Limits the bytes a second on each connection, each way; 0 for no limit."""

    bytes_per_s = 0

    def _forward(self, origin: socket.socket, target: socket.socket) -> None:
        super()._forward(_Wrapped(origin, self._wait), target)  # type: ignore[arg-type]

    def _wait(self, received: bytes) -> bytes:
        if self.bytes_per_s:
            time.sleep(len(received) / self.bytes_per_s)
        return received


class HalfClosing(Proxy):
    """Closes one direction of every connection, and leaves the other one open."""

    def close_half(self, *, answers: bool) -> None:
        """End the responses to the worker, or the requests to the server."""
        with self._lock:
            for each in self._sockets:
                from_worker = _port(each) == self.port
                if from_worker == answers:
                    with suppress(OSError):
                        each.shutdown(socket.SHUT_WR)


class CuttingAnswers(Proxy):
    """Cuts a connection in the middle of the server's next responses."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self.cuts = 0
        super().__init__(upstream)

    def _forward(self, origin: socket.socket, target: socket.socket) -> None:
        is_answer = _port(target) == self.port
        super()._forward(_Wrapped(origin, self._half) if is_answer else origin, target)  # type: ignore[arg-type]

    def _half(self, received: bytes) -> bytes:
        """Pass on a part of the response to a bulk request, then end the connection."""
        if self.cuts <= 0 or b'"items"' not in received:
            return received
        self.cuts -= 1
        raise _CutError(received[: random.randrange(1, len(received))])


class _CutError(Exception):
    """Carries the bytes that still get through before the end."""

    def __init__(self, rest: bytes) -> None:
        self.rest = rest
        super().__init__("cut")


class _Wrapped:
    """A socket that passes what it receives through a function first."""

    def __init__(self, wrapped: socket.socket, through) -> None:
        self._socket = wrapped
        self._through = through
        self._over = False

    def recv(self, size: int) -> bytes:
        if self._over:
            return b""
        received = self._socket.recv(size)
        try:
            return self._through(received) if received else received
        except _CutError as cut:
            self._over = True
            return cut.rest

    def __getattr__(self, name: str):
        return getattr(self._socket, name)

    def __hash__(self) -> int:
        return hash(self._socket)

    def __eq__(self, other: object) -> bool:
        return self._socket == other


def _port(side: socket.socket) -> int:
    """Return the port on our side; 0 for a closed socket."""
    try:
        return int(side.getsockname()[1])
    except OSError:
        return 0
