"""Records of generations and the move of an alias, on the real server."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from penstock.model import WRITTEN, Write
from penstock.opensearch.index.definition import IndexDefinition
from penstock.opensearch.state.generations import CollectionRecord, GenerationRegistry, record_of
from penstock.opensearch.state.store import Conflict, StateStore
from testkit.sink_access import Side

RECIPE = IndexDefinition({"exclude": ["a"], "mapping_file": {}}, "t", "m")


@pytest.fixture
def records(way: Side, index_prefix: str) -> Iterator[GenerationRegistry]:
    return GenerationRegistry(StateStore(way.client, way.patience, index=f"{index_prefix}state"))


def test_a_record_is_made_once_and_read_back(records: GenerationRegistry) -> None:
    made = records.create(CollectionRecord("shop.orders", "orders").added(RECIPE, "serving"))
    assert records.read(["orders", "others"]) == {"orders": made}
    with pytest.raises(Conflict):
        records.create(CollectionRecord("shop.orders", "orders"))


def test_changes_of_several_at_once_are_all_kept(records: GenerationRegistry) -> None:
    records.create(CollectionRecord("shop.orders", "orders"))

    def count() -> None:
        for _ in range(10):
            records.change("orders", lambda record: replace(record, last=record.last + 1))

    threads = [threading.Thread(target=count) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert records.read(["orders"])["orders"].last == 30


def test_numbers_are_never_used_twice(records: GenerationRegistry) -> None:
    record = CollectionRecord("shop.orders", "orders").added(RECIPE, "serving").added(RECIPE, "building").without(2)
    assert [each.index for each in record.added(RECIPE, "building").generations] == ["orders-g1", "orders-g3"]


def test_the_names_of_a_collection_are_kept_and_a_record_without_them_has_none(records: GenerationRegistry) -> None:
    records.create(CollectionRecord("shop.orders", "orders").added(RECIPE, "serving"))
    renamed = records.change("orders", lambda record: record.renamed("moved", 5).renamed("orders", 9))
    assert records.read(["orders"])["orders"] == renamed
    assert renamed.names == (("moved", 5), ("orders", 9))
    older = {"name": "shop.orders", "alias": "orders", "last": 0, "generations": []}
    assert record_of(older).names == ()


def test_who_serves_has_not_failed_and_does_not_fail_by_a_note(records: GenerationRegistry) -> None:
    records.create(CollectionRecord("shop.orders", "orders").added(RECIPE, "serving").added(RECIPE, "building"))
    records.fail("orders", 1, "no")
    records.fail("orders", 2, "no")
    failed = records.read(["orders"])["orders"]
    assert [each.failed for each in failed.generations] == ["", "no"]
    assert [(each.role, each.failed) for each in failed.served_by(2).generations] == [("kept", ""), ("serving", "")]


def test_an_alias_is_moved_from_wherever_it_is_and_once_is_enough(way: Side, index_prefix: str) -> None:
    name = f"{index_prefix}orders"
    first = way.generation(name)
    second = way.indexes.ensure_generation(way.declared(name), number=2, serving=False)
    for _ in range(2):
        way.indexes.swap(name, second.index, ours={first.index, second.index})
        assert way.ask("GET", f"/_alias/{name}").keys() == {second.index}
    way.ask("POST", "/_aliases", {"actions": [{"add": {"index": first.index, "alias": name}}]})
    way.indexes.swap(name, second.index, ours={first.index, second.index})
    assert way.ask("GET", f"/_alias/{name}").keys() == {second.index}


def test_all_that_was_written_is_found_once_the_alias_is_moved(way: Side, index_prefix: str) -> None:
    name = f"{index_prefix}orders"
    first = way.generation(name)
    second = way.indexes.ensure_generation(way.declared(name), number=2, serving=False)
    way.ask("PUT", f"/{second.index}/_settings", {"index.refresh_interval": -1})
    assert way.sink.write([Write(second.write_alias, "a", 1, b"{}")]) == [WRITTEN]
    way.indexes.swap(name, second.index, ours={first.index, second.index})
    assert way.ask("GET", f"/{name}/_count")["count"] == 1


def test_a_generation_that_does_not_serve_never_gets_the_read_alias(way: Side, index_prefix: str) -> None:
    name = f"{index_prefix}orders"
    way.indexes.ensure_generation(way.declared(name), number=2, serving=False)
    assert way.client.request("GET", f"/_alias/{name}").status == 404
