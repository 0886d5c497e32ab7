"""HTTP connections that another thread can end, so that no answer is waited for when the process is to stop."""

import socket
from contextlib import suppress
from weakref import WeakSet

import urllib3
from urllib3.connectionpool import HTTPConnectionPool


class OpenSockets:
    """The sockets of one pool of connections."""

    def __init__(self, pool: urllib3.PoolManager) -> None:
        """Note each socket that the pool opens from now on."""
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self.is_cut = False
        pool.pool_classes_by_scheme = {
            "http": _noting(urllib3.HTTPConnectionPool, self._sockets),
            "https": _noting(urllib3.HTTPSConnectionPool, self._sockets),
        }

    def cut(self) -> None:
        """End every request that is under way. Any thread may call it."""
        self.is_cut = True
        for each in list(self._sockets):
            with suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)  # below TLS, whose own would wait for the other thread


def _noting(pool: type[HTTPConnectionPool], sockets: WeakSet[socket.socket]) -> type[HTTPConnectionPool]:
    """A kind of pool whose connections note their sockets."""

    class Connection(pool.ConnectionCls):  # type: ignore[misc, name-defined]
        def connect(self) -> None:
            super().connect()
            sockets.add(self.sock)

    class Pool(pool):  # type: ignore[misc, valid-type]
        ConnectionCls = Connection

    return Pool
