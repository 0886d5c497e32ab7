"""Many indexes looked at by a handful of requests, with the numbers that each of them would answer by itself."""

from collections.abc import Iterator

import pytest

from penstock.operations.inspect.views import IndexOverview, IndexView
from testkit.sink_access import Relay, Said, Side

NESTED = {"properties": {"lines": {"type": "nested"}}}


@pytest.fixture
def view(way: Side) -> IndexView:
    return IndexView(way.client)


@pytest.fixture
def name(way: Side, index_prefix: str) -> Iterator[str]:
    return index_prefix


def make(way: Side, index: str, *aliases: str, documents: int = 0, mappings: object = None) -> None:
    body = {"settings": {"number_of_shards": 1, "number_of_replicas": 0}, "aliases": {each: {} for each in aliases}}
    way.ask("PUT", f"/{index}", {**body, **({"mappings": mappings} if mappings else {})})
    for number in range(documents):
        way.ask("PUT", f"/{index}/_doc/{number}", {"lines": [{"a": 1}, {"a": 2}]})
    way.ask("POST", f"/{index}/_refresh")


def test_each_alias_has_the_numbers_of_its_own_index(view: IndexView, way: Side, name: str) -> None:
    make(way, f"{name}a-g1", f"{name}a", documents=3)
    make(way, f"{name}b-g1", f"{name}b", documents=2, mappings=NESTED)
    way.ask("DELETE", f"/{name}b-g1/_doc/0?refresh=true")
    found = view.behind_all([f"{name}a", f"{name}b", f"{name}none"])
    assert found == {
        f"{name}a": IndexOverview(f"{name}a-g1", 3, 3),
        f"{name}b": IndexOverview(f"{name}b-g1", 1, 3),
        f"{name}none": None,
    }


def test_of_several_indexes_behind_an_alias_the_last_one_counts(view: IndexView, way: Side, name: str) -> None:
    make(way, f"{name}a-g1", f"{name}a", documents=3)
    make(way, f"{name}a-g2", f"{name}a", documents=1)
    assert view.behind(f"{name}a") == IndexOverview(f"{name}a-g2", 1, 1, frozenset({f"{name}a-g1"}))


def test_a_closed_index_hides_no_other_one(view: IndexView, way: Side, name: str) -> None:
    make(way, f"{name}a-g1", f"{name}a", documents=1)
    make(way, f"{name}b-g1", f"{name}b", documents=1)
    way.ask("POST", f"/{name}a-g1/_close")
    found = view.behind_all([f"{name}a", f"{name}b"])
    assert found == {
        f"{name}a": IndexOverview(f"{name}a-g1", None, None),
        f"{name}b": IndexOverview(f"{name}b-g1", 1, 1),
    }


def test_an_index_that_bears_the_name_itself_is_no_alias(view: IndexView, way: Side, name: str) -> None:
    make(way, f"{name}a", documents=1)
    assert view.behind(f"{name}a") is None


def test_hundreds_of_names_fit_into_requests(view: IndexView, way: Side, name: str) -> None:
    make(way, f"{name}a-g1", f"{name}a", documents=1)
    missing = [f"{name}{'x' * 100}-{number}" for number in range(300)]
    found = view.behind_all([*missing, f"{name}a"])
    assert {alias for alias, index in found.items() if index} == {f"{name}a"}
    assert len(found) == 301


def test_a_server_without_stats_counts_documents_alone(relayed: Side, between: Relay, way: Side, name: str) -> None:
    make(way, f"{name}a-g1", f"{name}a", documents=2)
    between.plan = lambda asked: Said(404, b"{}") if "/_stats/" in asked.path else "pass"
    assert IndexView(relayed.client).behind(f"{name}a") == IndexOverview(f"{name}a-g1", 2, None)


def test_the_number_of_requests_does_not_grow_with_that_of_indexes(
    relayed: Side, between: Relay, way: Side, name: str
) -> None:
    for number in range(12):
        make(way, f"{name}{number}-g1", f"{name}{number}", documents=1)
    before = len(between.asked)
    found = IndexView(relayed.client).behind_all(f"{name}{number}" for number in range(12))
    assert {each.documents for each in found.values() if each} == {1}
    assert len(between.asked) - before == 3


@pytest.mark.parametrize("refusal", [400, 403])
def test_where_one_request_for_all_is_refused_each_index_is_asked_by_itself(
    relayed: Side, between: Relay, way: Side, name: str, refusal: int
) -> None:
    """As without the right to it, or with `rest.action.multi.allow_explicit_index: false`."""
    make(way, f"{name}a-g1", f"{name}a", documents=1)
    make(way, f"{name}b-g1", f"{name}b", documents=2)
    way.ask("POST", f"/{name}b-g1/_close")
    between.plan = lambda asked: Said(refusal, b"{}") if "/_msearch" in asked.path else "pass"
    view = IndexView(relayed.client)
    for _ in range(2):
        found = view.behind_all([f"{name}a", f"{name}b"])
        assert {alias: index and index.documents for alias, index in found.items()} == {f"{name}a": 1, f"{name}b": None}
    assert len([each for each in between.asked if "/_msearch" in each.path]) == 1
