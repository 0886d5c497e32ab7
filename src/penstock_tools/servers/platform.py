"""The local servers together, in one folder."""

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from penstock_tools.servers.jars import JAR_SETS, fetch_missing, pinned
from penstock_tools.servers.kafka import Kafka
from penstock_tools.servers.opensearch import DEFAULT_HEAP, OpenSearch
from penstock_tools.servers.ports import require_free
from penstock_tools.servers.progress import Steps
from penstock_tools.servers.source import LocalSource, LocalSourceSettings

_WATCH_SECONDS = 0.5


class Platform:
    """A source, an OpenSearch, and a Kafka where wanted: a context manager that starts and stops them together."""

    source: LocalSource
    opensearch: OpenSearch
    kafka: Kafka | None = None

    def __init__(
        self,
        folder: Path | None = None,
        *,
        source: LocalSourceSettings | None = None,
        opensearch_port: int = 0,
        heap: str = DEFAULT_HEAP,
        kafka_port: int | None = None,
        progress: Steps | None = None,
    ) -> None:
        """Without a folder, a temporary one is created, and removed on leaving. With a `kafka_port` Kafka runs too."""
        self._given_folder = folder
        self._source_settings = source or LocalSourceSettings()
        self._opensearch_port = opensearch_port
        self._heap = heap
        self._kafka_port = kafka_port
        self._progress = progress or Steps()
        self._stack = ExitStack()

    def __enter__(self) -> "Platform":
        require_free(self._source_settings.port, "The local source")
        require_free(self._opensearch_port, "OpenSearch")
        require_free(self._kafka_port or 0, "Kafka")
        fetch_missing([jar for name in JAR_SETS for jar in pinned(name)], self._progress)
        with ExitStack() as stack:
            self.folder = self._given_folder or _temporary_folder(stack)
            self.source = LocalSource(self.folder, self._source_settings, progress=self._progress)
            stack.callback(self.source.child.stop)
            self.opensearch = OpenSearch(
                self.folder, port=self._opensearch_port, heap=self._heap, progress=self._progress
            )
            stack.callback(self.opensearch.child.stop)
            if self._kafka_port is not None:
                self.kafka = Kafka(self.folder, port=self._kafka_port, progress=self._progress)
                stack.callback(self.kafka.child.stop)
                stack.callback(self.opensearch.child.close_input)
            stack.callback(self.source.child.close_input)  # so that both servers shut down at the same time
            self.source.wait_ready()
            self.opensearch.wait_ready()
            if self.kafka:
                self.kafka.wait_ready()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def watch(self) -> None:
        """Never return; raise LocalServerError if a server ends by itself."""
        while True:
            for server in (self.source, self.opensearch, self.kafka):
                if server and not server.child.running():
                    raise server.child.failure("has ended by itself")
            time.sleep(_WATCH_SECONDS)


def _temporary_folder(stack: ExitStack) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="penstock-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Make SIGTERM and SIGHUP do what Ctrl-C does, so that everything is stopped in order.

    Ctrl-C is set up too, because a shell starts background processes with SIGINT ignored.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
