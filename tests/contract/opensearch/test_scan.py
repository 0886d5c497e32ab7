"""Reading an index back from the real server."""

import json
from functools import partial

import pytest

from penstock.errors import SinkUnavailable
from penstock.model import Write
from penstock.opensearch.read.scan import Entry, PlaceLost, count, read_sources, scan
from penstock.worker.collections.drops import indexed
from testkit.sink_access import Asked, Relay, Said, Side


@pytest.fixture
def alias(way: Side, index_prefix: str) -> str:
    return way.generation(f"{index_prefix}a", shards=3).write_alias


def fill(way: Side, alias: str, number: int) -> None:
    own = json.dumps({"n": 1, "_penstock": {"id": '"key"'}}).encode()
    way.sink.write([Write(alias, f"id-{n}", n, own if n % 2 else b'{"n":1}') for n in range(number)])


def test_every_document_comes_once_with_its_version_and_key(way: Side, alias: str) -> None:
    fill(way, alias, 250)
    way.sink.write([Write(alias, "id-7", 1000, None)])
    pages = list(scan(way.client, way.patience, alias, page=100))
    assert [len(page) for page in pages] == [100, 100, 49]
    expected = {Entry(f"id-{n}", n, '"key"' if n % 2 else None) for n in range(250) if n != 7}
    assert {entry for page in pages for entry in page} == expected


def test_an_empty_index_has_no_pages(way: Side, alias: str) -> None:
    assert list(scan(way.client, way.patience, alias)) == []


def test_a_scan_frees_its_place_on_the_server_also_when_left_early(between: Relay, relayed: Side, alias: str) -> None:
    fill(relayed, alias, 30)
    entries = scan(relayed.client, relayed.patience, alias, page=10)
    next(entries)
    entries.close()
    assert [each.method for each in between.asked if "scroll" in each.path] == ["POST", "DELETE"]


def test_a_page_that_lacks_a_shard_is_not_taken_for_the_whole(between: Relay, relayed: Side, alias: str) -> None:
    fill(relayed, alias, 10)
    lacking = {"_shards": {"total": 3, "successful": 2, "failed": 1}, "timed_out": False, "_scroll_id": "x",
               "hits": {"hits": [{"_id": "a", "_version": 1, "_source": {}}]}}  # fmt: skip
    between.plan = lambda asked: Said(200, json.dumps(lacking).encode()) if "_search?" in asked.path else "pass"
    with pytest.raises(SinkUnavailable, match="1 of 3 shards failed"):
        list(scan(relayed.client, relayed.patience, alias))


def forget_places(way: Side) -> None:
    """Free every place on the server, as its restart does."""
    way.client.request("DELETE", "/_search/scroll/_all")


def test_a_place_that_the_server_has_lost_is_no_end(way: Side, alias: str) -> None:
    fill(way, alias, 30)
    pages = scan(way.client, way.patience, alias, page=10)
    next(pages)
    forget_places(way)
    with pytest.raises(PlaceLost, match="lost the place"):
        next(pages)


def test_a_place_that_some_shards_have_lost_is_no_end_either(between: Relay, relayed: Side, alias: str) -> None:
    fill(relayed, alias, 30)
    lacking = {"_shards": {"total": 3, "successful": 2, "failed": 1}, "timed_out": False, "_scroll_id": "x",
               "hits": {"hits": []}}  # fmt: skip
    is_next = "/_search/scroll"
    between.plan = lambda asked: Said(200, json.dumps(lacking).encode()) if asked.path == is_next else "pass"
    with pytest.raises(PlaceLost):
        list(scan(relayed.client, relayed.patience, alias, page=10))


def test_the_documents_of_an_index_are_read_from_the_start_when_the_place_is_lost(
    between: Relay, relayed: Side, way: Side, alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(way, alias, 30)
    monkeypatch.setattr("penstock.worker.collections.drops.scan", partial(scan, page=10))
    losses = iter([True, True])

    def plan(asked: Asked) -> str:
        if asked.path == "/_search/scroll" and asked.method == "POST" and next(losses, False):
            forget_places(way)
        return "pass"

    between.plan = plan
    pages = list(indexed(relayed.client, relayed.patience, alias))
    assert [len(page) for page in pages] == [10] * 5
    assert {each.id for page in pages for each in page} == {f"id-{n}" for n in range(30)}


def test_a_missing_index_cannot_be_scanned(way: Side, index_prefix: str) -> None:
    with pytest.raises(SinkUnavailable, match="index_not_found"):
        list(scan(way.client, way.patience, f"{index_prefix}nothing"))


def test_bodies_are_read_in_real_time_by_id(way: Side, alias: str) -> None:
    fill(way, alias, 3)
    assert read_sources(way.client, way.patience, alias, ["id-0", "id-2", "absent"]) == {
        "id-0": {"n": 1},
        "id-2": {"n": 1},
    }


def test_documents_are_counted(way: Side, alias: str) -> None:
    fill(way, alias, 12)
    way.ask("POST", f"/{alias}/_refresh")
    assert count(way.client, way.patience, alias) == 12
