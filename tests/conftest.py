"""Real servers for every test that asks for them, started once a session, or the ones the environment names.

PENSTOCK_TEST_SOURCE_URI, PENSTOCK_TEST_SINK_URL and PENSTOCK_TEST_KAFKA_SERVERS name servers of one's own: a MongoDB
replica set, an OpenSearch, the brokers of a Kafka.
PENSTOCK_TEST_MAJORITY_LAG_MS lets the majority of the local source lag at random, by up to this number of milliseconds.
"""

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, TypeVar

import hypothesis
import pymongo
import pytest
import structlog
import urllib3
from pymongo.database import Database
from pymongo.errors import OperationFailure
from xdist.scheduler import LoadFileScheduling

from penstock.cli import main
from penstock.errors import PenstockError
from penstock.runtime.intervals import Intervals
from penstock_tools.servers.kafka import local_kafka
from penstock_tools.servers.opensearch import local_opensearch
from penstock_tools.servers.source import LocalSourceSettings, local_source
from testkit.workspace import Site

Server = TypeVar("Server")

os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:CompileThresholdScaling=0.1")
"""For all servers that the tests start: in a few minutes the second compiler never earns what it costs, a third of all
that the servers compute. The first one is cheap, so it compiles early: what is interpreted costs more, a fifth of what
OpenSearch computes after its start."""

hypothesis.settings.register_profile("the same each time", deadline=None, derandomize=True)
hypothesis.settings.load_profile("the same each time")
"""A run that fails can be repeated, and none fails because the machine is busy; for other examples:
`make test PYTEST_ARGS=--hypothesis-profile=default`."""

_SLOWEST_FIRST = ("infra", "end_to_end", "browser", "benchmarks", "crash", "faults", "tools", "contract")
MAJORITY_LAG_MS = int(os.environ.get("PENSTOCK_TEST_MAJORITY_LAG_MS", "0"))

_MEMORY = Path("/dev/shm")
_ROOM = 2 << 30


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run first what takes long, `infra` as one piece, so that no process is left alone with it in the end."""
    here = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(here).parts[0]
        return _SLOWEST_FIRST.index(folder) if folder in _SLOWEST_FIRST else len(_SLOWEST_FIRST)

    items.sort(key=place)


class _FilesAndFolders(LoadFileScheduling):
    """A file goes to one process; so does the whole of `infra`, since what its tests share takes a dozen seconds."""

    def _split_scope(self, nodeid: str) -> str:
        return "infra" if nodeid.startswith("tests/infra/") else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Decide what goes to one of several processes (`make test`) as a whole."""
    return _FilesAndFolders(config, log)


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """Undo what a command in this process has done to the log, such as another level."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture(scope="session")
def servers_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the session's own servers keep their logs and data."""
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def source_uri(servers_folder: Path) -> Iterator[str]:
    """The connection string of a replica set with change streams."""
    given = os.environ.get("PENSTOCK_TEST_SOURCE_URI")
    if given:
        yield given
        return
    settings = LocalSourceSettings(majority_lag_ms=MAJORITY_LAG_MS)
    with _or_exit(local_source(servers_folder, settings)) as source:
        yield source.uri


@pytest.fixture(scope="session")
def sink_url(servers_folder: Path) -> Iterator[str]:
    """The address of an OpenSearch."""
    given = os.environ.get("PENSTOCK_TEST_SINK_URL")
    if given:
        yield given
        return
    with _in_memory(servers_folder / "opensearch"), _or_exit(local_opensearch(servers_folder)) as server:
        yield server.url


@pytest.fixture(scope="session")
def kafka_servers(servers_folder: Path) -> Iterator[str]:
    """The broker of an Apache Kafka, as host:port."""
    given = os.environ.get("PENSTOCK_TEST_KAFKA_SERVERS")
    if given:
        yield given
        return
    with _in_memory(servers_folder / "kafka"), _or_exit(local_kafka(servers_folder)) as kafka:
        yield kafka.bootstrap_servers


@contextmanager
def _in_memory(folder: Path) -> Iterator[None]:
    """Put a folder into memory where there is room: OpenSearch syncs often, and a test waits for the disk each time."""
    with ExitStack() as stack:
        if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM:
            folder.symlink_to(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-", dir=_MEMORY)))
        yield


@contextmanager
def _or_exit(server: AbstractContextManager[Server]) -> Iterator[Server]:
    """Enter a server; end the whole session when it cannot start, for every other test would fail the same way."""
    with ExitStack() as stack:
        try:
            started = stack.enter_context(server)
        except PenstockError as error:
            pytest.exit(f"no server to test on: {error}", returncode=1)
        yield started


@pytest.fixture(scope="session")
def source_client(source_uri: str) -> Iterator[pymongo.MongoClient]:
    """A client whose writes are acknowledged when a majority has them: every later read of penstock sees them."""
    with pymongo.MongoClient(source_uri, serverSelectionTimeoutMS=10_000, tz_aware=True, w="majority") as client:
        yield client


@pytest.fixture
def source_switch(source_client: pymongo.MongoClient) -> Iterator[Callable[..., None]]:
    """The local source's own switches, as docs/internals/local-source.md lists them; put back after the test."""

    def switch(**what: object) -> None:
        source_client.admin.command({"penstockSource": 1, **what})

    try:
        switch()
    except OperationFailure:
        pytest.skip("only the local source has the switches that this test needs")
    yield switch
    switch(holdMajority=False, majorityLagMs=MAJORITY_LAG_MS, eventsPerReply=2**31 - 1)


@pytest.fixture
def database(source_client: pymongo.MongoClient) -> Iterator[Database]:
    """An empty database of the source, dropped after the test."""
    name = f"test_{secrets.token_hex(6)}"
    yield source_client[name]
    source_client.drop_database(name)


@pytest.fixture
def index_prefix(sink_url: str) -> Iterator[str]:
    """How the names of a test's indexes begin; whatever begins so is deleted after the test, aliases included."""
    prefix = f"test-{secrets.token_hex(6)}-"
    yield prefix
    with urllib3.PoolManager() as http:
        answer = http.request("DELETE", f"{sink_url}/{prefix}*?expand_wildcards=all", timeout=30, retries=False)
    assert answer.status == 200, answer.data


@pytest.fixture
def site(tmp_path: Path, source_uri: str, sink_url: str, index_prefix: str) -> Iterator[Site]:
    """Where workers run as processes; those that still run at the end of the test are killed."""
    with closing(Site(tmp_path, source_uri, sink_url, index_prefix)) as site:
        yield site


@pytest.fixture
def penstock(
    site: Site, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., CompletedProcess]:
    """Run a command in the site's folder to its end, as `site.run` does, but in this process, which is faster."""
    monkeypatch.chdir(site.folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in [each for each in os.environ if each.startswith("PENSTOCK_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str) -> CompletedProcess:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["penstock", *arguments])
        with pytest.raises(SystemExit) as ended:
            main(Intervals.fast())
        return CompletedProcess(arguments, int(ended.value.code or 0), *capfd.readouterr())

    return run
