"""A real OpenSearch server with one node on this machine."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import urllib3

from penstock_tools.servers.child import Child
from penstock_tools.servers.java import program_of
from penstock_tools.servers.ports import require_free
from penstock_tools.servers.progress import Steps
from penstock_tools.servers.rehearsal import learned_options

DEFAULT_HEAP = "512m"
_SOURCES = Path(__file__).parent / "java" / "opensearch"
_MAIN = "penstock.opensearch.OpenSearchServer"
_START_SECONDS = 120
_JVM = (
    "-Xlog:all=error",
    "-XX:+UseSerialGC",
    "--enable-native-access=ALL-UNNAMED",
    "-Dfile.encoding=UTF-8",
    "-Djava.awt.headless=true",
    "-Dlog4j2.disable.jmx=true",
    "-Dio.netty.noUnsafe=true",
    "-Dslf4j.internal.verbosity=ERROR",
)
_SETTINGS = {
    "cluster.name": "penstock-local",
    "node.name": "local",
    "network.host": "127.0.0.1",
    "transport.port": "0",
    "discovery.type": "single-node",
    "cluster.routing.allocation.disk.threshold_enabled": "false",
    "indices.breaker.total.use_real_memory": "false",  # a small heap is often nearly full without being short
}


@contextmanager
def local_opensearch(
    folder: Path, *, port: int = 0, heap: str = DEFAULT_HEAP, progress: Steps | None = None
) -> Iterator["OpenSearch"]:
    """Run OpenSearch, with its indexes in the folder, until the block ends. Port 0 means any free port."""
    server = OpenSearch(folder, port=port, heap=heap, progress=progress or Steps())
    try:
        server.wait_ready()
        yield server
    finally:
        server.child.stop()


class OpenSearch:
    """A server that is starting or has started; `url` is known after `wait_ready`."""

    def __init__(self, folder: Path, *, port: int, heap: str, progress: Steps) -> None:
        require_free(port, "OpenSearch")
        program = program_of("OpenSearch", _MAIN, _JVM, _SOURCES, progress)
        learned = learned_options(program, partial(_arguments, port=0), _rehearse, progress)
        command = program.command(*_arguments(folder / "opensearch", port), options=[f"-Xmx{heap}", *learned])
        self.url = ""
        self._progress = progress
        progress.step("Starting OpenSearch")
        self.child = Child("OpenSearch", command, log=folder / "logs" / "opensearch.log")

    def wait_ready(self) -> None:
        """Wait until the cluster answers. Raises LocalServerError with the server's last log lines."""
        url = f"http://127.0.0.1:{self.child.wait_ready(_START_SECONDS)}"
        path = f"{url}/_cluster/health?wait_for_status=yellow&timeout={_START_SECONDS}s"
        with urllib3.PoolManager() as http:
            answer = http.request("GET", path, timeout=_START_SECONDS + 10, retries=False)
        if answer.status != 200:
            raise self.child.failure(f"at {url} is not healthy, {answer.data!r}")
        self.url = url
        self._progress.step(f"OpenSearch is ready after {self.child.seconds_to_ready:.1f} s: {url}")


def _arguments(home: Path, port: int) -> list[str | Path]:
    """Prepare the server's folder and return its command line."""
    config = home / "config"
    config.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_SOURCES / "log4j2.properties", config / "log4j2.properties")
    settings = {**_SETTINGS, "http.port": str(port)}
    return [home, *(f"{name}={value}" for name, value in settings.items())]


def _rehearse(port: int) -> None:
    """Do once what every user of the server does: create an index, fill it, search."""
    lines = "".join(f'{{"index":{{}}}}\n{{"name":"rehearsal {i}","size":{i / 3}}}\n' for i in range(1000))
    with urllib3.PoolManager(headers={"content-type": "application/x-ndjson"}) as http:
        for _ in range(5):
            http.request("POST", f"http://127.0.0.1:{port}/rehearsal/_bulk?refresh=true", body=lines)
        http.request("GET", f"http://127.0.0.1:{port}/rehearsal/_search?q=name:rehearsal")
