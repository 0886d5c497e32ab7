"""A TCP proxy that cuts connections, or holds requests back, when a test says so."""

import socket
import threading
import time
from contextlib import suppress


class Proxy:
    """Forwards to `upstream`, which may be changed; new connections go to the new one.

    `delay_s`: how long everything is under way, as in a slow network.
    `hold`: a connection on which these bytes are sent is held back from then on, until `release`. `hang`: nothing gets
    through in either direction from now on, as through a server that was stopped; connections are still accepted.
    """

    def __init__(self, upstream: tuple[str, int]) -> None:
        self.upstream = upstream
        self.accepting = True
        self.delay_s = 0.0
        self.hold: bytes | None = None
        self.held = threading.Event()
        self.answered = threading.Event()
        """What was held back was let go, and has been answered."""
        self._released = threading.Event()
        self._passing = threading.Event()
        self._passing.set()
        self._holding: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Close every connection there is, in the middle of whatever it does."""
        with self._lock:
            for each in self._sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            self._sockets.clear()

    def hang(self) -> None:
        """Let nothing through any more, until `resume`."""
        self._passing.clear()

    def resume(self) -> None:
        """Let through what was sent meanwhile, and what comes."""
        self._passing.set()

    def release(self) -> None:
        """Let go what was held back, as it was sent."""
        self.hold = None
        self._released.set()

    def close(self) -> None:
        self.release()
        self._passing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                inner, _ = self._listener.accept()
            except OSError:
                return
            if not self.accepting:
                inner.close()
                continue
            try:
                outer = socket.create_connection(self.upstream)
            except OSError:
                inner.close()
                continue
            with self._lock:
                self._sockets |= {inner, outer}
            for pair in ((inner, outer), (outer, inner)):
                threading.Thread(target=self._forward, args=pair, daemon=True).start()

    def _forward(self, origin: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while received := origin.recv(65536):
                self._passing.wait()
                if self.hold and self.hold in received:
                    self._holding.add(target)
                    self.held.set()
                    self._released.wait()
                if origin in self._holding:
                    self.answered.set()
                if self.delay_s:
                    time.sleep(self.delay_s)
                target.sendall(received)
        for each in (origin, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
            with self._lock:
                self._sockets.discard(each)
