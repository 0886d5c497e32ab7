"""Whether a source went back in time."""

import threading
from types import SimpleNamespace

import pytest

from penstock.errors import SystemicFault
from penstock.model import SUPERSEDED, WRITTEN, Position, Write, version_of
from penstock.mongo.position import position_at
from penstock.worker.recovery.source_rewind import RewindGuard, RewindWatch, check_source

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


def test_what_topics_bring_is_written_while_the_source_is_away_and_looked_at_later():
    writes = [Write("orders-g1-write", f"n:{number}", NOW, b"{}") for number in range(250)]
    sink = SimpleNamespace(write=lambda given, **_: [WRITTEN if each.id == "n:0" else SUPERSEDED for each in given])
    looked, stop = [], threading.Event()
    guard = RewindGuard(sink, None, [])  # asks nobody

    def look(superseded):
        looked.extend(each.id for each in superseded)
        stop.set()

    guard.look = look
    watch = RewindWatch(guard, every_s=0.01)
    assert watch.write(writes).count(SUPERSEDED) == 249
    watch.keep_looking(stop)
    assert 50 < len(looked) <= 100
    assert "n:0" not in looked
