"""The promises of `penstock.ports.DeadLetters`, in memory and in the real index."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from penstock.errors import SettingsError, SystemicFault
from penstock.memory.sink import MemoryDeadLetters
from penstock.model import Letter, Namespace, Position
from penstock.opensearch.dead_letters.letter import letter_id
from penstock.opensearch.dead_letters.store import MAX_BODY_BYTES, OpenSearchDeadLetters
from testkit.sink_access import once_it_waits, side

ORDERS, CUSTOMERS = Namespace("shop", "orders"), Namespace("shop", "customers")
ALIAS = "orders-g1-write"


def letter(text_id: str = "a", version: int = 1, *, of: Namespace = ORDERS, **more: Any) -> Letter:
    told = {"id_json": f'"{text_id}"', "position": Position("here", 5), "reason": f"refused {version}", **more}
    told = {"alias": f"{of.coll}-g1-write", **told}
    return Letter(namespace=of, id=text_id, version=version, **told)


class DeadLettersContract:
    """Run on each store of dead letters; `kept` answers reason by (namespace, id)."""

    store: MemoryDeadLetters | OpenSearchDeadLetters

    def kept(self) -> dict[tuple[str, str], str]:
        raise NotImplementedError

    def counted(self, *namespaces: Namespace) -> dict[Namespace, int]:
        raise NotImplementedError

    def test_nothing_to_keep_is_nothing(self) -> None:
        self.store.store([])
        assert self.kept() == {}

    def test_each_document_has_one_letter(self) -> None:
        self.store.store([letter("a", 1), letter("b", 1), letter("a", 1, of=CUSTOMERS)])
        self.store.store([letter("a", 2)])
        assert self.kept() == {
            ("shop.orders", "a"): "refused 2",
            ("shop.orders", "b"): "refused 1",
            ("shop.customers", "a"): "refused 1",
        }

    def test_an_older_letter_never_replaces_a_newer_one(self) -> None:
        self.store.store([letter("a", 5)])
        self.store.store([letter("a", 4)])
        assert self.kept() == {("shop.orders", "a"): "refused 5"}

    def test_of_two_letters_at_once_the_newer_stays(self) -> None:
        self.store.store([letter("a", 5), letter("a", 4), letter("a", 6)])
        assert self.kept() == {("shop.orders", "a"): "refused 6"}

    def test_older_letters_of_one_collection_are_cleared_and_a_later_one_is_kept(self) -> None:
        self.store.store([letter("a", 4), letter("b", 5), letter("a", 4, of=CUSTOMERS)])
        assert self.store.clear(ALIAS, before=5) == 1
        assert self.kept() == {("shop.orders", "b"): "refused 5", ("shop.customers", "a"): "refused 4"}
        self.store.store([letter("a", 6)])
        assert self.kept()["shop.orders", "a"] == "refused 6"

    def test_generations_have_letters_of_their_own(self) -> None:
        self.store.store([letter("a", 5), letter("a", 6, alias="orders-g2-write")])
        assert self.counted(ORDERS) == {ORDERS: 2}
        assert self.store.clear("orders-g2-write") == 1
        assert self.kept() == {("shop.orders", "a"): "refused 5"}

    def test_clearing_where_no_letter_was_ever_stored_is_nothing(self) -> None:
        assert self.store.clear(ALIAS, before=5) == 0

    def test_storing_a_letter_again_changes_nothing(self) -> None:
        self.store.store([letter("a", 5)])
        self.store.store([letter("a", 5)])
        assert self.kept() == {("shop.orders", "a"): "refused 5"}

    def test_documents_are_told_apart_whatever_their_ids(self) -> None:
        self.store.store([letter("b/c"), letter("c", of=Namespace("shop", "orders/b"))])
        ids = ["x" * 512, "x" * 511 + "y", "é" * 256, 'a"\\/?']
        self.store.store([letter(text_id) for text_id in ids])
        others = {("shop.orders", "b/c"), ("shop.orders/b", "c")}
        assert set(self.kept()) == {("shop.orders", text_id) for text_id in ids} | others

    def test_letters_are_counted_by_collection(self) -> None:
        assert self.counted(ORDERS, CUSTOMERS) == {ORDERS: 0, CUSTOMERS: 0}
        self.store.store([letter("a"), letter("b"), letter("a", of=CUSTOMERS)])
        assert self.counted(ORDERS, CUSTOMERS) == {ORDERS: 2, CUSTOMERS: 1}
        assert self.counted(CUSTOMERS) == {CUSTOMERS: 1}
        assert self.counted() == {}


class TestMemoryDeadLetters(DeadLettersContract):
    @pytest.fixture(autouse=True)
    def opened(self) -> None:
        self.memory = MemoryDeadLetters()
        self.store = self.memory

    def kept(self) -> dict[tuple[str, str], str]:
        return {(str(each.namespace), each.id): each.reason for each in self.memory.letters}

    def counted(self, *namespaces: Namespace) -> dict[Namespace, int]:
        return self.memory.count(namespaces)


class TestOpenSearchDeadLetters(DeadLettersContract):
    @pytest.fixture(autouse=True)
    def opened(self, sink_url: str, index_prefix: str) -> Iterator[None]:
        with side(sink_url) as self.way:
            self.real = self.another(f"{index_prefix}dead-letters")
            self.store = self.real
            yield

    def another(self, index: str) -> OpenSearchDeadLetters:
        return OpenSearchDeadLetters(self.way.client, self.way.sink, self.way.patience, index=index)

    def documents(self) -> list[dict[str, Any]]:
        answer = self.way.client.request("POST", f"/{self.real.index}/_refresh")
        return list(self.way.documents(self.real.index).values()) if answer.ok else []

    def kept(self) -> dict[tuple[str, str], str]:
        return {(each["namespace"], each["id"]): each["reason"] for each in self.documents()}

    def counted(self, *namespaces: Namespace) -> dict[Namespace, int]:
        self.way.client.request("POST", f"/{self.real.index}/_refresh")
        return self.real.count(namespaces)

    def test_a_letter_keeps_what_a_replay_and_a_person_need(self) -> None:
        self.store.store([letter("a", 7 << 32, body=b'{"name":"\xc3\xa9"}', reason="400: no")])
        (kept,) = self.documents()
        assert kept.pop("stored_at").startswith("20")
        assert kept == {
            "schema": 1,
            "namespace": "shop.orders",
            "alias": "orders-g1-write",
            "id": "a",
            "key": '"a"',
            "version": 7 << 32,
            "position": {"token": "here", "time": 5},
            "reason": "400: no",
            "body": '{"name":"é"}',
            "body_bytes": 13,
        }

    def test_letters_are_found_in_real_time_by_document_id(self) -> None:
        assert self.real.find(ORDERS, ["a"], ALIAS) == {}
        long = "x" * 512
        self.store.store([letter("a", 7 << 32, body=b'{"name":1}'), letter(long), letter("b", of=CUSTOMERS)])
        found = self.real.find(ORDERS, ["a", "b", long], ALIAS)
        assert found.keys() == {"a", long}
        kept = found["a"]
        assert kept[:8] == (ORDERS, "orders-g1-write", "a", '"a"', 7 << 32, f"refused {7 << 32}", '{"name":1}', 10)
        assert abs((datetime.now(UTC) - kept.stored_at).total_seconds()) < 60
        self.store.store([letter("a", 8 << 32)])
        assert self.real.find(ORDERS, ["a"], ALIAS)["a"].seq_no > kept.seq_no
        assert self.real.find(ORDERS, [], ALIAS) == {}

    def test_a_letter_of_another_form_is_refused(self) -> None:
        self.store.store([letter("a")])
        path = f"/{self.real.index}/_update/{quote(letter_id(ORDERS, 'a', ALIAS), safe='')}"
        self.way.ask("POST", path, {"doc": {"schema": 2}})
        with pytest.raises(SettingsError, match=r"dead letter of shop\.orders has the format 2"):
            self.real.find(ORDERS, ["a"], ALIAS)

    def test_a_large_body_is_cut_between_characters(self) -> None:
        body = ('{"text":"' + "é" * 40_000 + '"}').encode()
        self.store.store([letter("a", body=body)])
        (kept,) = self.documents()
        assert kept["body_bytes"] == len(body)
        assert len(kept["body"].encode()) == MAX_BODY_BYTES - 1
        assert body.decode().startswith(kept["body"])

    def test_no_value_of_a_letter_is_too_large_for_the_index(self) -> None:
        self.store.store([letter("a", id_json="é" * 40_000, reason="ü " * 40_000 + "ü" * 40_000)])
        (kept,) = self.documents()
        assert len(kept["key"]) == 40_000

    def test_a_letter_that_is_itself_refused_stops_the_pipeline(self) -> None:
        index = self.real.index
        strict = {"mappings": {"dynamic": "strict"}, "aliases": {index: {}}}
        self.way.ask("PUT", f"/{index}-v1", strict)
        with pytest.raises(SystemicFault, match=r"shop\.orders a was itself refused"):
            self.store.store([letter("a")])

    def test_a_blocked_dead_letter_index_is_waited_for(self) -> None:
        self.store.store([letter("a")])
        index = self.real.index
        self.way.ask("PUT", f"/{index}/_settings", {"index.blocks.write": True})
        free = {"index.blocks.write": None}
        with once_it_waits(self.way, lambda: self.way.ask("PUT", f"/{index}/_settings", free)):
            self.store.store([letter("b")])
        assert len(self.documents()) == 2

    def test_a_second_worker_uses_the_same_index(self) -> None:
        self.store.store([letter("a")])
        self.another(self.real.index).store([letter("b")])
        assert len(self.documents()) == 2
