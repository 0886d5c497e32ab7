"""Ways to the cluster: straight to it, and through a relay that can do harm."""

from collections.abc import Iterator

import pytest
from pymongo.database import Database

from testkit.sink_access import Relay, Side, relay, side
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


@pytest.fixture
def function(
    monkeypatch: pytest.MonkeyPatch, way: Side, between: Relay, source_uri: str, database: Database, index_prefix: str
) -> Iterator[SyncFunction]:
    """The sync function of a collection `orders`, as one warm container; it reaches the index through the relay."""
    with sync_function(
        monkeypatch,
        way,
        source_uri=source_uri,
        sink_url=between.url,
        namespace=f"{database.name}.orders",
        alias=f"{index_prefix}orders",
    ) as made:
        yield made
