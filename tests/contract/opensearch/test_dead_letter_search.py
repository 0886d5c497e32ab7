"""The dead letters that are kept: found by collection, reason and age, and removed one by one; and their bound."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from penstock.errors import SystemicFault
from penstock.model import Letter, Namespace, Position
from penstock.opensearch.dead_letters.letter import letter_id
from penstock.opensearch.dead_letters.search import PAGE, LetterFilter, LetterSearch
from penstock.opensearch.dead_letters.store import OpenSearchDeadLetters
from testkit.sink_access import Relay, Side

ORDERS, CUSTOMERS = Namespace("shop", "orders"), Namespace("shop", "customers")
ALIAS = "orders-g1-write"
NOW = datetime.now(UTC)


def letter(text_id: str, version: int = 1, *, of: Namespace = ORDERS, reason: str = "400: no", **more: Any) -> Letter:
    return Letter(of, f"{of.coll}-g1-write", text_id, f'"{text_id}"', version, Position("", 5), reason, **more)


def path_of(text_id: str) -> str:
    return quote(letter_id(ORDERS, text_id, "orders-g1-write"), safe="")


@pytest.fixture
def index(index_prefix: str) -> str:
    return f"{index_prefix}dead-letters"


@pytest.fixture
def store(way: Side, index: str) -> OpenSearchDeadLetters:
    return OpenSearchDeadLetters(way.client, way.sink, way.patience, index=index)


@pytest.fixture
def kept(way: Side, index: str) -> LetterSearch:
    return LetterSearch(way.client, way.patience, index=index)


def ids(kept: LetterSearch, **wanted: Any) -> set[str]:
    found, tally = kept.newest(LetterFilter(**wanted), 100)
    paged = {each.id for page in kept.pages(LetterFilter(**wanted)) for each in page}
    assert paged == {each.id for each in found}
    assert tally.total == len(found)
    return paged


def test_without_the_index_there_are_no_letters(kept: LetterSearch) -> None:
    assert (ids(kept), kept.remove([]), kept.tally(LetterFilter()).total) == (set(), [], 0)


def test_they_are_grouped_by_collection_and_reason_the_largest_first(
    store: OpenSearchDeadLetters, kept: LetterSearch
) -> None:
    assert kept.groups(LetterFilter()) == []
    long = "400: " + "x" * 2000
    store.store(
        [letter("a"), letter("b"), letter("c", of=CUSTOMERS), letter("d", reason="503: full"), letter("e", reason=long)]
    )
    found = kept.groups(LetterFilter())
    assert [(each.namespace, each.alias, each.reason, each.letters) for each in found] == [
        ("shop.orders", "orders-g1-write", "400: no", 2),
        ("shop.customers", "customers-g1-write", "400: no", 1),
        ("shop.orders", "orders-g1-write", "", 1),
        ("shop.orders", "orders-g1-write", "503: full", 1),
    ]
    assert all(each.latest_at + timedelta(seconds=1) >= NOW for each in found)
    assert [each.letters for each in kept.groups(LetterFilter(ids=("b", "d")))] == [1, 1]


def test_those_of_some_aliases_are_found_alone(way: Side, store: OpenSearchDeadLetters, index: str) -> None:
    aliases = ("shop.orders", "shop.orders-g", "shopxorders", "other.orders")
    store.store([letter("a")._replace(alias=f"{alias}-g2-write") for alias in aliases])
    some = LetterSearch(way.client, way.patience, index=index, only=["shop.orders", "unused"])
    (found,) = some.newest(LetterFilter(), 100)[0]
    assert found.alias == "shop.orders-g2-write"
    assert [len(page) for page in some.pages(LetterFilter())] == [1]
    assert some.count([ORDERS]) == {ORDERS: 1}
    assert len(LetterSearch(way.client, way.patience, index=index).newest(LetterFilter(), 100)[0]) == len(aliases)


def test_those_of_an_earlier_version_are_found_and_removed(
    way: Side, store: OpenSearchDeadLetters, kept: LetterSearch, index: str
) -> None:
    """Their ids do not contain the alias."""
    store.store([letter("a")])
    stored = way.ask("GET", f"/{index}/_doc/{path_of('a')}")["_source"]
    way.ask("DELETE", f"/{index}/_doc/{path_of('a')}")
    way.ask("PUT", f"/{index}/_doc/shop.orders%2Fa", stored)
    (found,) = kept.newest(LetterFilter(), 100)[0]
    assert kept.find(ORDERS, ["a"], "orders-g1-write") == {"a": found}
    assert kept.find(ORDERS, ["a"], "other-g1-write") == {}
    assert kept.remove([found]) == []
    assert ids(kept) == set()


def test_letters_are_found_by_collection_and_by_a_text_in_the_reason(
    store: OpenSearchDeadLetters, kept: LetterSearch
) -> None:
    store.store(
        [
            letter("a", reason="400: object mapping for [customer] is an object"),
            letter("b", reason="400: a limit of 5* fields"),
            letter("c", reason="400: a limit of 50 fields"),
            letter("d", reason="so long " * 200 + "and the end"),
            letter("a", of=CUSTOMERS, reason="400: no"),
        ]
    )
    assert ids(kept, namespaces=(ORDERS,)) == {"a", "b", "c", "d"}
    assert ids(kept, reason="PPING FOR [cust") == {"a"}
    assert ids(kept, reason="5*") == {"b"}
    assert ids(kept, reason="and the end") == {"d"}
    assert ids(kept, reason="no", namespaces=(ORDERS,)) == set()


def test_letters_are_found_by_their_age(way: Side, store: OpenSearchDeadLetters, kept: LetterSearch) -> None:
    store.store([letter("now"), letter("old")])
    aged = {"doc": {"stored_at": (NOW - timedelta(days=2)).isoformat()}}
    way.ask("POST", f"/{kept.index}/_update/{path_of('old')}", aged)
    assert ids(kept, before=NOW - timedelta(days=1)) == {"old"}
    assert ids(kept, after=NOW - timedelta(days=1)) == {"now"}
    assert [each.id for each in kept.newest(LetterFilter(), 1)[0]] == ["now"]


def test_the_tally_counts_all_of_them_and_names_the_commonest_reasons(
    store: OpenSearchDeadLetters, kept: LetterSearch
) -> None:
    store.store([letter("a"), letter("b"), letter("c", reason="rare"), letter("a", of=CUSTOMERS)])
    found, tally = kept.newest(LetterFilter(), 2)
    assert len(found) == 2
    assert tally == (4, {"shop.orders": 3, "shop.customers": 1}, {"400: no": 3, "rare": 1})
    assert list(tally.reasons) == ["400: no", "rare"]


def test_what_was_refused_is_not_read_with_many_letters(store: OpenSearchDeadLetters, kept: LetterSearch) -> None:
    store.store([letter("a", body=b'{"n":1}')])
    assert [each.body for each in kept.newest(LetterFilter(), 9)[0]] == [None]
    assert store.find(ORDERS, ["a"], ALIAS)["a"].body == '{"n":1}'


def test_exactly_a_letter_is_removed_and_a_newer_one_of_its_document_stays(
    store: OpenSearchDeadLetters, kept: LetterSearch
) -> None:
    store.store([letter("a", 5), letter("b", 5), letter("c", 5)])
    read = store.find(ORDERS, ["a", "b"], ALIAS)
    store.store([letter("a", 5)])  # as new as before: an idle source's clock stands still
    assert [each.id for each in kept.remove(list(read.values()))] == ["a"]
    assert kept.remove([read["b"]]) == []
    assert ids(kept) == {"a", "c"}
    store.store([letter("b", 6)])
    assert ids(kept) == {"a", "b", "c"}


def test_a_removal_whose_answer_was_lost_is_no_newer_letter(
    store: OpenSearchDeadLetters, index: str, between: Relay, relayed: Side
) -> None:
    store.store([letter("a", 5)])
    between.for_bulks("cut")
    through = LetterSearch(relayed.client, relayed.patience, index=index)
    assert through.remove(list(store.find(ORDERS, ["a"], ALIAS).values())) == []
    assert len(between.bulks()) == 2
    assert store.find(ORDERS, ["a"], ALIAS) == {}


def test_pages_go_on_while_their_letters_are_removed_and_replaced(
    store: OpenSearchDeadLetters, kept: LetterSearch
) -> None:
    store.store([letter(str(number)) for number in range(2 * PAGE + 5)])
    seen: list[str] = []
    for page in kept.pages(LetterFilter()):
        assert len(page) <= PAGE
        seen += [each.id for each in page]
        store.store([letter(page[0].id, 2)])
        assert kept.remove(page) == [page[0]]
    assert sorted(seen) == sorted(map(str, range(2 * PAGE + 5)))
    assert kept.tally(LetterFilter()).total == 3


@pytest.fixture
def small(way: Side, index: str) -> OpenSearchDeadLetters:
    """A store that keeps three letters of a collection, and the bodies of two."""
    return OpenSearchDeadLetters(way.client, way.sink, way.patience, index=index, kept=3, bodies_kept=2)


def test_what_has_no_place_stops_the_pipeline_and_is_not_forgotten(
    small: OpenSearchDeadLetters, kept: LetterSearch
) -> None:
    small.store([letter("a"), letter("b")])
    kept.tally(LetterFilter())  # counts are up to a second old otherwise
    with pytest.raises(
        SystemicFault, match=r"shop\.orders has 2 dead letters, and \[pipeline\] dead_letters_kept is 3"
    ):
        small.store([letter("c"), letter("d")])
    assert ids(kept) == {"a", "b"}
    small.store([letter("c"), letter("a", 2), letter("b", 2)])
    kept.tally(LetterFilter())
    small.store([letter("a", 3), letter("a", of=CUSTOMERS)])
    assert small.find(ORDERS, ["a"], ALIAS)["a"].version == 3
    assert ids(kept, namespaces=(CUSTOMERS,)) == {"a"}


def test_beyond_a_number_of_letters_only_the_bodies_are_left_out(
    small: OpenSearchDeadLetters, kept: LetterSearch
) -> None:
    small.store([letter("a", body=b"{}"), letter("b", body=b"{}")])
    kept.tally(LetterFilter())
    small.store([letter("c", body=b'{"n":1}')])
    found = small.find(ORDERS, ["a", "c"], ALIAS)
    assert [(found[each].body, found[each].body_bytes) for each in ("a", "c")] == [("{}", 2), (None, 7)]
