"""Ways to the cluster: straight to it, and through a relay that can do harm."""

from collections.abc import Iterator

import pytest
from sink_sides import Relay, Side, relay, side


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
