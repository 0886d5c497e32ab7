"""What becomes of documents whose fields the index refuses, on the real server: one policy after the other."""

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from penstock.documents.omitted import as_left_out
from penstock.documents.transform import Transform
from penstock.model import WRITTEN, Outcome, Refusal, Write
from penstock.opensearch.http.error_table import DROPPED
from penstock.opensearch.index.field_limit import count_fields
from penstock.opensearch.index.indexes import Generation
from penstock.opensearch.write.field_fallback import FieldFallback
from penstock.settings import CollectionSettings
from testkit.sink_access import Side


class Guarded:
    """One collection's index, its transform and its guard."""

    def __init__(self, way: Side, name: str, **settings: Any) -> None:
        given = {"namespace": "shop.orders", "index": name, "replicas": 0, **settings}
        self.way = way
        self.settings = CollectionSettings(**given)
        self.generation: Generation = way.indexes.ensure_generation(self.settings)
        self.transform = Transform(self.settings)
        self.guard = FieldFallback(
            way.sink, [self.settings], client=way.client, patience=way.patience, metrics=way.metrics
        )

    def body(self, document: dict[str, Any]) -> bytes:
        made = self.transform(dict(document))
        assert made is not None
        return made

    def write(self, *documents: dict[str, Any], version: int = 1) -> list[Outcome]:
        alias = self.generation.write_alias
        return self.guard.write(
            [Write(alias, str(number), version, self.body(each)) for number, each in enumerate(documents)]
        )

    def indexed(self) -> dict[str, Any]:
        return self.way.documents(self.generation.index)

    def found_by(self, query: dict[str, Any]) -> set[str]:
        self.way.ask("POST", f"/{self.generation.index}/_refresh")
        hits = self.way.ask("POST", f"/{self.generation.index}/_search", {"query": query})["hits"]["hits"]
        return {hit["_id"] for hit in hits}

    def mapping(self) -> Any:
        return self.way.ask("GET", f"/{self.generation.index}/_mapping")[self.generation.index]["mappings"]

    def attempts(self, reason: str) -> float:
        return self.way.metrics.value("penstock_second_attempts_total", reason=reason)


CONFLICTING: Sequence[dict[str, Any]] = (
    {"a": {"b": {"c": 1}}, "n": 1},
    {"a": {"b": 5}, "n": 2},
    {"a": [{"b": ["x"]}], "n": 3},
)


class TestShapes:
    def test_unless_told_otherwise_a_plain_value_in_the_place_of_a_document_is_refused(
        self, way: Side, index_prefix: str
    ) -> None:
        orders = Guarded(way, f"{index_prefix}a")
        first, *others = orders.write(*CONFLICTING)
        assert first == WRITTEN
        assert all(isinstance(each, Refusal) and "object mapping for [a.b]" in each.reason for each in others)

    @pytest.mark.parametrize("path", ["a.b", "a", "*"])
    def test_the_field_is_left_out_and_the_document_says_so(self, way: Side, index_prefix: str, path: str) -> None:
        orders = Guarded(way, f"{index_prefix}a", conflicts={path: "leave-out"})
        assert orders.write(*CONFLICTING) == [WRITTEN] * 3
        indexed = orders.indexed()
        assert indexed["0"] == CONFLICTING[0]
        assert indexed["1"] == {"a": {}, "n": 2, "_penstock": {"left_out": ["a.b"]}}
        assert indexed["2"] == {"a": [{}], "n": 3, "_penstock": {"left_out": ["a.b"]}}
        assert orders.found_by({"exists": {"field": "_penstock.left_out"}}) == {"1", "2"}
        assert orders.attempts("field") == 2
        for name, document in enumerate(CONFLICTING):
            assert json.loads(as_left_out(orders.body(document), indexed[str(name)])) == indexed[str(name)]

    def test_which_shape_stays_does_not_depend_on_the_order(self, way: Side, index_prefix: str) -> None:
        orders = Guarded(way, f"{index_prefix}a", conflicts={"a.b": "leave-out"})
        assert orders.write(*reversed(CONFLICTING)) == [WRITTEN] * 3
        assert orders.indexed()["2"] == CONFLICTING[0]
        assert orders.found_by({"term": {"a.b.c": 1}}) == {"2"}

    def test_every_field_that_does_not_fit_is_left_out_and_other_numbers_keep_their_digits(
        self, way: Side, index_prefix: str
    ) -> None:
        orders = Guarded(way, f"{index_prefix}a", conflicts={"*": "leave-out"})
        assert orders.write({name: {"x": 1} for name in "abc"}) == [WRITTEN]
        body = b'{"a":1,"b":[2],"c":"3","d":12345678901234567890.123,"_penstock":{"id":"x"}}'
        assert orders.guard.write([Write(orders.generation.write_alias, "1", 1, body)]) == [WRITTEN]
        found = way.client.request("GET", f"/{orders.generation.index}/_doc/1")
        assert b'"_source":{"d":12345678901234567890.123,"_penstock":{"id":"x","left_out":["a","b","c"]}}' in found.raw

    def test_names_with_dots_and_terms_that_are_too_long_are_left_out(
        self, way: Side, index_prefix: str, tmp_path: Path
    ) -> None:
        file = tmp_path / "mapping.json"
        file.write_text(
            '{"mappings": {"properties": {"code": {"type": "text", "fields": {"raw": {"type": "keyword"}}}}}}'
        )
        orders = Guarded(way, f"{index_prefix}a", conflicts={"*": "leave-out"}, mapping_file=file)
        documents = [{"o": {"size": 5}}, {"o": {"size.unit": "cm", "n": 1}}, {"code": "x" * 40_000, "n": 2}]
        assert orders.write(*documents) == [WRITTEN] * 3
        indexed = orders.indexed()
        assert indexed["1"] == {"o": {"n": 1}, "_penstock": {"left_out": ["o.size"]}}
        assert indexed["2"] == {"n": 2, "_penstock": {"left_out": ["code"]}}

    def test_a_newer_state_is_not_overwritten_by_a_second_attempt(self, way: Side, index_prefix: str) -> None:
        orders = Guarded(way, f"{index_prefix}a", conflicts={"*": "leave-out"})
        orders.write({"a": {"b": 1}}, {"n": 9}, version=5)
        assert orders.write({"a": 1}, {"a": 1}, version=4) == ["superseded"] * 2
        assert orders.indexed()["1"] == {"n": 9}

    def test_documents_become_text_beside_plain_values(self, way: Side, index_prefix: str) -> None:
        orders = Guarded(way, f"{index_prefix}a", conflicts={"a.b": "text"})
        assert orders.write(*CONFLICTING, {"a": {"b": [7, {"colour": "deep blue"}, None]}}) == [WRITTEN] * 4
        assert orders.indexed()["3"] == {"a": {"b": [7, '{"colour": "deep blue"}', None]}}
        assert orders.found_by({"match": {"a.b": "blue"}}) == {"3"}
        assert orders.found_by({"term": {"a.b.keyword": "5"}}) == {"1"}
        assert orders.mapping()["properties"]["a"]["properties"]["b"]["type"] == "text"

    def test_plain_values_become_documents_beside_documents(self, way: Side, index_prefix: str) -> None:
        orders = Guarded(way, f"{index_prefix}a", conflicts={"a.b": "flat_object"})
        many = {"a": {"b": {f"key-{number}": {"deep": number} for number in range(3000)}}}
        assert orders.write(*CONFLICTING, {"a": {"b": [7, {"c": 7}, None]}}, many) == [WRITTEN] * 5
        assert orders.indexed()["3"] == {"a": {"b": [{"value": 7}, {"c": 7}, None]}}
        assert orders.found_by({"term": {"a.b.value": "7"}}) == {"3"}
        assert orders.found_by({"term": {"a.b.key-2999.deep": "2999"}}) == {"4"}
        assert orders.attempts("full") == 0


class TestNewFields:
    @pytest.mark.parametrize(
        "mixed", [[1, "b"], [True, 1], ["2024-01-02T03:04:05.678000Z", 5.5], [None, 7, "x", False]]
    )
    def test_values_of_two_types_in_the_first_document_do_not_refuse_it(
        self, way: Side, index_prefix: str, mixed: list[Any]
    ) -> None:
        orders = Guarded(way, f"{index_prefix}a")
        document = {"plain": mixed, "of": [{"documents": each} for each in mixed]}
        assert orders.write(document) == [WRITTEN]
        assert orders.indexed()["0"] == document
        assert orders.found_by({"term": {"plain.keyword": str(mixed[1]).lower()}}) == {"0"}
        assert orders.attempts("mixed") == 2

    def test_so_it_is_within_a_nested_field(self, way: Side, index_prefix: str, tmp_path: Path) -> None:
        nested = {"mappings": {"properties": {"lines": {"type": "nested", "include_in_root": True}}}}
        (tmp_path / "mapping.json").write_text(json.dumps(nested))
        orders = Guarded(way, f"{index_prefix}a", mapping_file=tmp_path / "mapping.json")
        document = {"lines": [{"of": {"quantity": 1}}, {"of": {"quantity": "two"}}]}
        assert orders.write(document) == [WRITTEN]
        assert orders.indexed()["0"] == document
        of_lines = {"path": "lines", "query": {"match": {"lines.of.quantity": "two"}}}
        assert orders.found_by({"nested": of_lines}) == {"0"}

    def test_two_shapes_in_the_first_document_stay_refused(self, way: Side, index_prefix: str) -> None:
        orders = Guarded(way, f"{index_prefix}a")
        (refused,) = orders.write({"a": [{"v": 1}, {"v": {"x": 1}}]})
        assert isinstance(refused, Refusal)
        again = Guarded(way, f"{index_prefix}b", conflicts={"*": "leave-out"})
        assert again.write({"a": [{"v": 1}, {"v": {"x": 1}}]}) == [WRITTEN]
        assert again.indexed()["0"] == {"a": [{}, {}], "_penstock": {"left_out": ["a.v"]}}

    def test_requests_at_once_that_disagree_on_a_new_field_lose_no_document(self, way: Side, index_prefix: str) -> None:
        """Without a second attempt, some of these are refused nearly always."""
        orders = Guarded(way, f"{index_prefix}a")
        outcomes: list[Outcome] = []

        def send(value: Any, sender: int) -> None:
            for number in range(12):
                body = json.dumps({f"f{number}-{each}": value for each in range(5)}).encode()
                ids = [f"{sender}-{number}-{each}" for each in range(5)]
                alias = orders.generation.write_alias
                outcomes.extend(orders.guard.write([Write(alias, each, 1, body) for each in ids]))

        senders = [threading.Thread(target=send, args=each) for each in (("t", 1), (1, 2), (True, 3))]
        for each in senders:
            each.start()
        for each in senders:
            each.join()
        assert [each for each in outcomes if each != WRITTEN] == []
        assert len(outcomes) == 180


class TestFull:
    def test_a_full_index_takes_documents_without_making_their_new_fields_searchable(
        self, way: Side, index_prefix: str
    ) -> None:
        orders = Guarded(way, f"{index_prefix}a", max_fields=50)
        wide = {f"f{number}": number for number in range(60)}
        assert orders.write({"known": 1, "o": {"x": 1}}, wide) == [WRITTEN] * 2
        assert orders.write({}, wide, {"known": 2, "new": 5, "o": {"y": 1}}, version=2) == [WRITTEN] * 3
        assert orders.indexed()["1"] == wide
        assert orders.found_by({"term": {"known": 2}}) == {"2"}
        assert orders.found_by({"exists": {"field": "new"}}) == orders.found_by({"exists": {"field": "f1"}}) == set()
        assert orders.attempts("full") == 1
        assert count_fields(orders.mapping()) == 7

    def test_a_full_index_takes_a_new_field_of_two_types_too(self, way: Side, index_prefix: str) -> None:
        orders = Guarded(way, f"{index_prefix}a", max_fields=50)
        assert orders.write({f"f{number}": number for number in range(46)}, {"tags": [1, "x"]}) == [WRITTEN] * 2
        assert orders.indexed()["1"] == {"tags": [1, "x"]}
        assert str(orders.mapping()["dynamic"]).lower() == "false"

    def test_with_more_fields_allowed_it_learns_again(self, way: Side, index_prefix: str) -> None:
        name = f"{index_prefix}a"
        Guarded(way, name, max_fields=50).write({f"f{number}": number for number in range(60)})
        orders = Guarded(way, name, max_fields=100)
        assert orders.write({f"f{number}": number for number in range(60)}, version=2) == [WRITTEN]
        assert orders.found_by({"exists": {"field": "f59"}}) == {"0"}
        index = Guarded(way, name, max_fields=50).generation.index
        settings = way.ask("GET", f"/{index}/_settings")[index]["settings"]["index"]
        assert settings["mapping"]["total_fields"]["limit"] == "100", "never lowered"

    def test_it_refuses_the_document_where_that_is_wanted(self, way: Side, index_prefix: str) -> None:
        orders = Guarded(way, f"{index_prefix}a", max_fields=50, when_full="dead-letter")
        (refused,) = orders.write({f"f{number}": number for number in range(60)})
        assert isinstance(refused, Refusal)
        assert "Limit of total fields [50]" in refused.reason


@pytest.mark.parametrize("when_dropped", ["dead-letter", "delete"])
def test_what_a_pipeline_of_the_index_drops_is_a_dead_letter_or_deleted(
    way: Side, index_prefix: str, when_dropped: str
) -> None:
    at = Guarded(way, f"{index_prefix}a", when_dropped=when_dropped)
    index = at.generation.index
    way.ask("PUT", f"/_ingest/pipeline/{index}", {"processors": [{"drop": {"if": "ctx.skip == true"}}]})
    way.ask("PUT", f"/{index}/_settings", {"index.default_pipeline": index})
    try:
        assert at.write({"n": 0}, {"n": 1}) == [WRITTEN, WRITTEN]
        kept, dropped = at.write({"n": 2}, {"n": 3, "skip": True}, version=2)
    finally:
        way.ask("PUT", f"/{index}/_settings", {"index.default_pipeline": "_none"})
        way.ask("DELETE", f"/_ingest/pipeline/{index}")
    assert kept == WRITTEN
    if when_dropped == "delete":
        assert (dropped, set(at.indexed()), at.attempts("dropped")) == (WRITTEN, {"0"}, 1)
    else:
        assert dropped == Refusal(200, DROPPED)
        assert (set(at.indexed()), at.attempts("dropped")) == ({"0", "1"}, 0)
