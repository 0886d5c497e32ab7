"""Ways to the cluster: straight to it, and through a relay that can do harm."""

from collections.abc import Iterator

import pytest
from pymongo.database import Database

from testkit.sink_access import Relay, Side, ensure_state_index, relay, side
from testkit.sync_function import SyncFunction, sync_function


@pytest.fixture
def way(sink_url: str) -> Iterator[Side]:
    with side(sink_url) as opened:
        yield opened


@pytest.fixture
def between(sink_url: str) -> Iterator[Relay]:
    with relay(sink_url) as running:
        yield running


@pytest.fixture
def relayed(between: Relay) -> Iterator[Side]:
    with side(between.url) as opened:
        yield opened


@pytest.fixture(scope="session")
def aws_url() -> Iterator[str]:
    """Secrets Manager and SQS, played by moto in this process."""
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer  # takes seconds, which few need

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def function(
    monkeypatch: pytest.MonkeyPatch,
    way: Side,
    between: Relay,
    aws_url: str,
    source_uri: str,
    database: Database,
    index_prefix: str,
) -> Iterator[SyncFunction]:
    """The sync function of a collection `orders`, as one warm container; it reaches the index through the relay."""
    ensure_state_index(way)
    with sync_function(
        monkeypatch,
        way,
        queues_url=aws_url,
        source_uri=source_uri,
        sink_url=between.url,
        namespace=f"{database.name}.orders",
        alias=f"{index_prefix}orders",
    ) as made:
        yield made
