"""TCP ports of this machine."""

import random
import socket
from contextlib import suppress
from typing import Final

from penstock_tools.servers.errors import LocalServerError

_NOT_GIVEN_AWAY: Final = range(20_000, 32_000)
"""Below those that Linux gives to those who ask for any port (`ip_local_port_range`): nobody gets one by chance."""


def require_free(port: int, server: str) -> None:
    """Raise LocalServerError if the port is taken on the loopback address; port 0 means any free one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise LocalServerError(
                f"{server} cannot use port {port} of 127.0.0.1: {error.strerror}. "
                "Name another port, or 0 for any free one"
            ) from error


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback address that are free now, and likely to be so when a server takes them later.

    Raises LocalServerError.
    """
    sockets: list[socket.socket] = []
    try:
        for port in random.sample(_NOT_GIVEN_AWAY, len(_NOT_GIVEN_AWAY)):
            if len(sockets) == count:
                break
            with suppress(OSError):
                sockets.append(socket.create_server(("127.0.0.1", port)))
        if len(sockets) < count:
            raise LocalServerError("no port of 127.0.0.1 is free, or this process may open no more files")
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
