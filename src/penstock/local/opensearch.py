"""The real OpenSearch server, one node, on this machine."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import urllib3

from penstock.local.child import Child, seconds_since
from penstock.local.errors import LocalServerError
from penstock.local.jars import jar_paths, pinned
from penstock.local.java import compiled, find_java
from penstock.local.ports import require_free
from penstock.local.progress import Progress

_SOURCES = Path(__file__).parent / "java" / "opensearch"
_MAIN = "penstock.opensearch.OpenSearchServer"
_START_SECONDS = 120
_JVM = (
    "-XX:+UseSerialGC",
    "--enable-native-access=ALL-UNNAMED",
    "-Dfile.encoding=UTF-8",
    "-Djava.awt.headless=true",
    "-Dlog4j2.disable.jmx=true",
    "-Dio.netty.noUnsafe=true",
)
_SETTINGS = {
    "cluster.name": "penstock-local",
    "node.name": "local",
    "network.host": "127.0.0.1",
    "transport.port": "0",
    "discovery.type": "single-node",
    "cluster.routing.allocation.disk.threshold_enabled": "false",
}


@dataclass(frozen=True)
class OpenSearch:
    """A running server: where it answers, its process and its log."""

    url: str
    child: Child


@contextmanager
def local_opensearch(
    folder: Path, *, port: int = 0, heap: str = "512m", progress: Progress | None = None
) -> Iterator[OpenSearch]:
    """Run OpenSearch with its indexes under the folder; port 0 takes a free one. Stopped on leaving."""
    say = progress or Progress()
    require_free(port, "OpenSearch")
    command = _command(folder / "opensearch", port, heap, say)
    say.step("Starting OpenSearch")
    start = time.monotonic()
    child = Child("OpenSearch", command, log=folder / "logs" / "opensearch.log")
    try:
        url = f"http://127.0.0.1:{child.wait_ready(_START_SECONDS)}"
        _wait_answer(url, child)
        say.step(f"OpenSearch is ready at {url} after {seconds_since(start)}")
        yield OpenSearch(url, child)
    finally:
        child.stop()


def _command(home: Path, port: int, heap: str, progress: Progress) -> list[str | Path]:
    jars = jar_paths(pinned("opensearch"), progress)
    classes = compiled(_SOURCES, jars, progress)
    config = home / "config"
    config.mkdir(parents=True, exist_ok=True)
    (config / "log4j2.properties").write_text((_SOURCES / "log4j2.properties").read_text())
    settings = {**_SETTINGS, "http.port": str(port)}
    class_path = os.pathsep.join(map(str, [classes, *jars]))
    options = [f"-Xmx{heap}", *_JVM]
    return [find_java(), *options, "-cp", class_path, _MAIN, home, *(f"{k}={v}" for k, v in settings.items())]


def _wait_answer(url: str, child: Child) -> None:
    """The port is open and the node is its own cluster manager; ask the cluster once all the same."""
    path = f"{url}/_cluster/health?wait_for_status=yellow&timeout=60s"
    with urllib3.PoolManager() as http:
        answer = http.request("GET", path, timeout=70, retries=False)
    if answer.status != 200:
        raise LocalServerError(f"OpenSearch at {url} is not healthy: {answer.data!r}. {child.last_log_lines()}")
