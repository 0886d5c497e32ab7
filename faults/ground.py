"""The servers for the faults; OpenSearch can be killed and restarted with its data."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from faults.wire import Slow
from penstock_tools.servers.kafka import Beside, Kafka
from penstock_tools.servers.opensearch import DEFAULT_HEAP, OpenSearch
from penstock_tools.servers.ports import free_ports
from penstock_tools.servers.progress import Steps
from penstock_tools.servers.source import LocalSource, LocalSourceSettings, local_source

_LOG_SIZE = 2000
"""How many changes the small source's log keeps: it rolls over within seconds."""


class OwnOpenSearch:
    """A server whose data survives it; its address never changes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = self._started(port=0)
        self.url = self._server.url

    def kill(self) -> None:
        """Kill it, as if the power had failed."""
        os.killpg(self._server.child.pid, signal.SIGKILL)
        self._server.child.stop()

    def start(self) -> None:
        self._server = self._started(port=int(self.url.rpartition(":")[2]))

    def stop(self) -> None:
        self._server.child.stop()

    def _started(self, port: int) -> OpenSearch:
        server = OpenSearch(self._folder, port=port, heap=DEFAULT_HEAP, progress=Steps())
        server.wait_ready()
        return server


class OwnKafka:
    """A broker whose log survives it; its address never changes. It listens behind a proxy too."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (behind,) = free_ports(1)
        self.proxy = Slow(("127.0.0.1", behind))
        self._beside = Beside(behind, advertised=self.proxy.port)
        self._server = self._started(port=0)
        self.servers = self._server.bootstrap_servers
        self.servers_by_proxy = f"127.0.0.1:{self.proxy.port}"

    def kill(self) -> None:
        """Kill it, as if the power had failed."""
        os.killpg(self._server.child.pid, signal.SIGKILL)
        self._server.child.stop()

    def start(self) -> None:
        self._server = self._started(port=int(self.servers.rpartition(":")[2]))

    def stop(self) -> None:
        self._server.child.stop()
        self.proxy.close()

    def _started(self, port: int) -> Kafka:
        server = Kafka(self._folder, port=port, progress=Steps(), beside=self._beside)
        server.wait_ready()
        return server


@dataclass
class Ground:
    """The servers for the faults. Without the last three, the faults that need them are not possible."""

    source_uri: str
    sink_url: str
    folder: Path
    opensearch: OwnOpenSearch | None = None
    small_log: LocalSource | None = None
    kafka: OwnKafka | None = None


@contextmanager
def own_ground(folder: Path) -> Iterator[Ground]:
    """Yield servers of our own, and stop them at the end."""
    with (
        local_source(folder / "source") as source,
        local_source(folder / "small-log", LocalSourceSettings(log_size=_LOG_SIZE)) as small,
    ):
        opensearch, kafka = OwnOpenSearch(folder), OwnKafka(folder)
        try:
            yield Ground(source.uri, opensearch.url, folder, opensearch, small, kafka)
        finally:
            opensearch.stop()
            kafka.stop()
