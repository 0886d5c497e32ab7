"""TCP ports of this machine."""

import socket

from penstock_tools.servers.errors import LocalServerError


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
    """Return ports of the loopback address that are free now, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
