"""The real OpenSearch server, one node, on this machine."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import urllib3

from penstock.local.child import Child, seconds_since
from penstock.local.errors import LocalServerError
from penstock.local.jars import jar_paths, pinned
from penstock.local.java import Program, compiled
from penstock.local.ports import require_free
from penstock.local.progress import Progress
from penstock.local.rehearsal import learned_options

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
    "indices.breaker.total.use_real_memory": "false",  # a small heap is often nearly full, without being short
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
    program = _program(say)
    learned = learned_options(program, partial(_arguments, port=0), _rehearse, say)
    command = program.command(*_arguments(folder / "opensearch", port), options=[f"-Xmx{heap}", *learned])
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


def _program(progress: Progress) -> Program:
    jars = jar_paths(pinned("opensearch"), progress)
    classes = compiled(_SOURCES, jars, progress)
    return Program("OpenSearch", _MAIN, _JVM, (classes, *jars))


def _arguments(home: Path, port: int) -> list[str | Path]:
    """Prepare the server's own folder and answer its command line."""
    config = home / "config"
    config.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_SOURCES / "log4j2.properties", config / "log4j2.properties")
    settings = {**_SETTINGS, "http.port": str(port)}
    return [home, *(f"{name}={value}" for name, value in settings.items())]


def _rehearse(port: int) -> None:
    """Do once what every user of the server does: make an index, fill it, search."""
    lines = "".join(f'{{"index":{{}}}}\n{{"name":"rehearsal {i}","size":{i / 3}}}\n' for i in range(1000))
    with urllib3.PoolManager(headers={"content-type": "application/x-ndjson"}) as http:
        for _ in range(5):
            http.request("POST", f"http://127.0.0.1:{port}/rehearsal/_bulk?refresh=true", body=lines)
        http.request("GET", f"http://127.0.0.1:{port}/rehearsal/_search?q=name:rehearsal")


def _wait_answer(url: str, child: Child) -> None:
    """The port is open and the node is its own cluster manager; ask the cluster once all the same."""
    path = f"{url}/_cluster/health?wait_for_status=yellow&timeout=60s"
    with urllib3.PoolManager() as http:
        answer = http.request("GET", path, timeout=70, retries=False)
    if answer.status != 200:
        raise LocalServerError(f"OpenSearch at {url} is not healthy: {answer.data!r}. {child.last_log_lines()}")
