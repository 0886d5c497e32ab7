"""Whether a source went back in time."""

from types import SimpleNamespace

import pytest

from penstock.errors import SystemicFault
from penstock.model import Position, version_of
from penstock.mongo.position import position_at
from penstock.worker.recovery.source_rewind import check_source

NOW = version_of(1_795_942_588, 7)


@pytest.mark.parametrize(
    ("position", "is_ahead"),
    [
        (None, False),
        (Position("token", NOW), False),
        (Position("token", NOW + 1), True),
        (position_at(NOW + 1), False),  # right after the last event of a stream that a drop has ended
        (position_at(NOW + 2), True),
    ],
)
def test_a_position_after_all_that_the_source_has_is_of_another_time(position, is_ahead):
    adapters = SimpleNamespace(source_identity=lambda: "it", known_sources=dict, ask=lambda _: NOW)
    state = SimpleNamespace(load=lambda: position)
    plan = SimpleNamespace(name="shop")
    if is_ahead:
        with pytest.raises(SystemicFault, match="ahead of the source's cluster time"):
            check_source(plan, adapters, state)
    else:
        assert check_source(plan, adapters, state) == "it"
