"""The history of a pipeline on the real server: what is kept, for how long, and by whom it is written."""

from contextlib import suppress

import orjson
import pytest

from penstock.errors import SinkUnavailable
from penstock.opensearch.http.waiting import FailFast
from penstock.opensearch.state.ids import samples_id
from penstock.opensearch.state.samples import (
    COARSE_KEPT_S,
    FINE_KEPT_S,
    MOST_ROWS,
    Row,
    SampleRing,
    coarse,
    columns_of,
    day_of,
    forget_samples,
    hour_of,
    parts_between,
    read_samples,
    rows_of,
)
from penstock.opensearch.state.store import Conflict, StateStore
from testkit.sink_access import Relay, Said, Side

HOUR_S = 3600
NOON = 20_000 * 24 * HOUR_S + 12 * HOUR_S
"""A day's noon by UTC."""


@pytest.fixture
def store(way: Side, index_prefix: str) -> StateStore:
    return StateStore(way.client, way.patience, index=f"{index_prefix}state")


def row(at: float, **values: float | None) -> Row:
    return {"at": at, "for_s": 10, "lag_s": 0.3, "written": 7, **values}


def ring(store: StateStore, *, epoch: int = 1, held: bool = True) -> SampleRing:
    return SampleRing(store, "shop", epoch=epoch, may_write=lambda: held)


def kept(store: StateStore, since: float, until: float) -> list[Row]:
    ids = [samples_id("shop", part) for part in parts_between(since, until)]
    return read_samples({name: each.document for name, each in store.get(ids).items()}, "shop", since, until)


def times(store: StateStore, since: float, until: float) -> list[float | None]:
    return [each["at"] for each in kept(store, since, until)]


def listed(store: StateStore) -> list[str]:
    state_id = samples_id("shop", "list")
    return list(store.get([state_id])[state_id].document["parts"])


def test_rows_come_back_as_they_were(store: StateStore) -> None:
    writer = ring(store)
    rows = [row(NOON + 10 * number, documents_index=1000 + number, loaded=0.251) for number in range(5)]
    rows[2] = {**rows[2], "documents_index": None}
    for each in rows:
        writer.add(each)
    writer.write()
    assert kept(store, NOON, NOON + 60) == rows


def test_a_later_holder_goes_on_in_the_same_document_and_the_earlier_one_writes_nothing_any_more(
    store: StateStore,
) -> None:
    first, second = ring(store, epoch=1), ring(store, epoch=2)
    first.add(row(NOON))
    first.write()
    second.add(row(NOON + 10))
    second.write()
    first.add(row(NOON + 11))
    with pytest.raises(Conflict):
        first.write()
    with pytest.raises(Conflict):
        first.write()
    assert times(store, NOON, NOON + 60) == [NOON, NOON + 10]


def test_nothing_is_written_without_the_lease(store: StateStore) -> None:
    writer = ring(store, held=False)
    writer.add(row(NOON))
    writer.write()
    assert times(store, NOON, NOON + 60) == []


def test_rows_of_a_time_without_the_index_are_written_later(
    relayed: Side, between: Relay, store: StateStore, index_prefix: str
) -> None:
    away = StateStore(relayed.client, FailFast(relayed.client.url), index=f"{index_prefix}state")
    writer = ring(away)
    between.plan = lambda _: Said(503, b'{"error":{"type":"cluster_block_exception","reason":"away"},"status":503}')
    for number in range(3):
        writer.add(row(NOON + 10 * number))
        with pytest.raises(Exception, match="away"):
            writer.write()
    between.plan = lambda _: "pass"
    writer.write()
    assert times(store, NOON, NOON + 60) == [NOON, NOON + 10, NOON + 20]


def test_rows_of_a_write_that_had_no_answer_are_there_once(
    relayed: Side, between: Relay, store: StateStore, index_prefix: str
) -> None:
    writer = ring(StateStore(relayed.client, FailFast(relayed.client.url), index=f"{index_prefix}state"))
    writer.add(row(NOON))
    writer.write()
    writer.add(row(NOON + 10))
    between.plan = lambda asked: "cut" if "_bulk" in asked.path else "pass"
    with pytest.raises(SinkUnavailable):
        writer.write()
    between.plan = lambda _: "pass"
    writer.add(row(NOON + 20))
    with suppress(Conflict):
        writer.write()
    writer.write()
    assert times(store, NOON, NOON + 60) == [NOON, NOON + 10, NOON + 20]


def test_a_document_never_has_more_rows_than_an_hour(store: StateStore) -> None:
    writer = ring(store)
    for number in range(2 * MOST_ROWS):
        writer.add(row(NOON + number))
        if number % MOST_ROWS == MOST_ROWS - 1:
            writer.write()
    assert len(kept(store, NOON, NOON + HOUR_S)) == MOST_ROWS


def test_a_full_hour_of_a_busy_pipeline_is_small() -> None:
    numbers = {"folded": 120, "superseded": 3, "filtered": 5000, "dead_lettered": 0, "control": 0, "batches": 180}
    busy = [
        row(
            NOON + 10.002 * number,
            **numbers,
            clock_s=0.1,
            written=98_765 + number,
            write_p50_ms=35 + number % 9,
            write_p99_ms=1250 + number,
            documents_source=123_456_789 + 4321 * number,
            documents_index=123_456_700 + 4321 * number,
            letters=17,
            loaded=1.0,
            memory_mb=412.5,
            cpu=0.97,
        )
        for number in range(360)
    ]
    size = len(orjson.dumps(columns_of(busy)))
    assert 10_000 < size < 22_500
    assert rows_of(columns_of(busy))[359]["documents_source"] == 123_456_789 + 4321 * 359


def test_ten_minutes_become_one_row_whoever_wrote_them(store: StateStore) -> None:
    start = NOON - HOUR_S
    for epoch, began in ((1, start), (2, start + 300), (3, start + 600)):
        writer = ring(store, epoch=epoch)
        for number in range(30):
            writer.add(row(began + 10 * number, lag_s=float(number), write_p99_ms=None if number else 80 + epoch))
        writer.write()
    week = kept(store, NOON - 3 * 24 * HOUR_S, NOON)
    assert week[0] == {"at": start + 590, "for_s": 600, "lag_s": 29.0, "written": 420, "write_p99_ms": 82}
    assert [each["at"] for each in week[1:]] == [start + 600 + 10 * number for number in range(30)]


@pytest.mark.parametrize("away_s", [30, 3 * HOUR_S])
def test_a_slot_that_ends_with_its_hour_is_kept_too(store: StateStore, away_s: int) -> None:
    """Also by a holder that comes hours later."""
    for epoch, at in ((1, NOON - 20), (2, NOON - 20 + away_s)):
        writer = ring(store, epoch=epoch)
        writer.add(row(at))
        writer.write()
    document = store.get([samples_id("shop", day_of(NOON))])[samples_id("shop", day_of(NOON))].document
    assert [each["at"] for each in rows_of(document["columns"])] == [NOON - 20]


def test_what_is_older_than_what_is_kept_is_deleted_after_any_absence(store: StateStore) -> None:
    for epoch, at in enumerate((NOON - COARSE_KEPT_S - 3 * 24 * HOUR_S, NOON - FINE_KEPT_S - 4 * HOUR_S, NOON)):
        writer = ring(store, epoch=epoch + 1)
        for number in (0, 600):
            writer.add(row(at + number))
        writer.write()
    assert sorted(listed(store)) == sorted([hour_of(NOON), day_of(NOON - FINE_KEPT_S - 4 * HOUR_S), day_of(NOON)])
    gone = [hour_of(NOON - FINE_KEPT_S - 4 * HOUR_S), day_of(NOON - COARSE_KEPT_S - 3 * 24 * HOUR_S)]
    assert store.get(samples_id("shop", part) for part in gone) == {}


def test_the_history_of_a_dropped_generation_is_deleted(store: StateStore) -> None:
    writer = ring(store)
    writer.add(row(NOON))
    writer.write()
    forget_samples(store, "shop")
    assert store.get([samples_id("shop", "list"), samples_id("shop", hour_of(NOON))]) == {}


def test_rows_without_any_number_stand_for_nothing() -> None:
    assert coarse([row(NOON, lag_s=None), row(NOON + 10, lag_s=None)])["lag_s"] is None
