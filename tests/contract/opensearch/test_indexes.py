"""Generations on the real server: names, aliases, what the default mapping makes of values, and the user's own."""

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import SettingsError, SystemicFault
from penstock.model import WRITTEN, Refusal, Write
from penstock.settings import CollectionSettings
from testkit.sink_access import Relay, Said, Side
from testkit.workspace import until

DATE = "2024-01-02T03:04:05.678000Z"


def described(way: Side, index: str) -> Any:
    return way.ask("GET", f"/{index}")[index]


class TestGenerations:
    def test_an_index_is_made_once_behind_a_read_alias_and_a_write_alias(self, way: Side, index_prefix: str) -> None:
        name = f"{index_prefix}orders"
        made = way.generation(name)
        assert (made.index, made.read_alias, made.write_alias) == (f"{name}-g1", name, f"{name}-g1-write")
        assert made.created
        again = way.generation(name)
        assert not again.created
        assert (again.uuid, again.index) == (made.uuid, made.index)
        assert set(described(way, made.index)["aliases"]) == {made.read_alias, made.write_alias}
        assert way.indexes.uuids([made.index, made.write_alias, "penstock-nothing"]) == {
            made.index: made.uuid,
            made.write_alias: made.uuid,
        }

    def test_deleted_documents_are_remembered_longer_than_anything_is_in_flight(
        self, way: Side, index_prefix: str
    ) -> None:
        settings = described(way, way.generation(f"{index_prefix}a").index)["settings"]["index"]
        assert settings["gc_deletes"] == "900s"
        assert settings["translog"]["durability"] == "request"

    def test_shards_and_replicas_are_as_set(self, way: Side, index_prefix: str) -> None:
        made = way.generation(f"{index_prefix}a", shards=2, replicas=0)
        settings = described(way, made.index)["settings"]["index"]
        assert (settings["number_of_shards"], settings["number_of_replicas"]) == ("2", "0")

    def test_a_later_generation_is_made_beside_the_one_that_people_search(self, way: Side, index_prefix: str) -> None:
        name = f"{index_prefix}a"
        first = way.generation(name)
        settings = CollectionSettings(namespace="shop.orders", index=name, replicas=0)
        second = way.indexes.ensure_generation(settings, number=2)
        assert (second.index, second.write_alias) == (f"{name}-g2", f"{name}-g2-write")
        assert set(described(way, second.index)["aliases"]) == {second.write_alias}
        assert way.indexes.uuids([name]) == {name: first.uuid}

    def test_an_index_that_has_the_name_already_is_left_alone(self, way: Side, index_prefix: str) -> None:
        way.ask("PUT", f"/{index_prefix}orders")
        with pytest.raises(SettingsError, match=f"an index named {index_prefix}orders already exists"):
            way.generation(f"{index_prefix}orders")
        assert way.client.request("GET", f"/{index_prefix}orders-g1").status == 404

    def test_an_alias_in_use_for_something_else_is_left_alone(self, way: Side, index_prefix: str) -> None:
        way.ask("PUT", f"/{index_prefix}other", {"aliases": {f"{index_prefix}orders": {}}})
        with pytest.raises(SettingsError, match=f"points to the index {index_prefix}other"):
            way.generation(f"{index_prefix}orders")

    def test_an_index_that_penstock_did_not_make_is_left_alone(self, way: Side, index_prefix: str) -> None:
        way.ask("PUT", f"/{index_prefix}orders-g1")
        with pytest.raises(SettingsError, match="this penstock version did not create it"):
            way.generation(f"{index_prefix}orders")

    def test_the_index_of_another_collection_is_left_alone(self, way: Side, index_prefix: str) -> None:
        way.generation(f"{index_prefix}orders")
        with pytest.raises(SettingsError, match=r"belongs to the collection shop\.orders"):
            way.generation(f"{index_prefix}orders", namespace="shop.customers")

    def test_an_index_that_lost_its_write_alias_is_told(self, way: Side, index_prefix: str) -> None:
        made = way.generation(f"{index_prefix}orders")
        actions = [{"remove": {"index": made.index, "alias": made.write_alias}}]
        way.ask("POST", "/_aliases", {"actions": actions})
        with pytest.raises(SystemicFault, match="has lost its write alias"):
            way.generation(f"{index_prefix}orders")

    def test_a_closed_index_is_found(self, way: Side, index_prefix: str) -> None:
        made = way.generation(f"{index_prefix}orders")
        way.ask("POST", f"/{made.index}/_close")
        assert way.generation(f"{index_prefix}orders").uuid == made.uuid

    def test_names_of_other_scripts_and_with_signs_work(self, way: Side, index_prefix: str) -> None:
        made = way.generation(f"{index_prefix}shop.bestellungen-für&%2b'ünf")
        assert way.sink.write([Write(made.write_alias, "a", 1, b"{}")]) == [WRITTEN]
        assert set(way.documents(made.index.replace("%", "%25"))) == {"a"}


class TestEngines:
    """A text for each primary shard that changes when the shard forgets its deletes."""

    def test_they_change_when_the_index_is_closed_and_opened(self, way: Side, index_prefix: str) -> None:
        made = way.generation(f"{index_prefix}a", shards=3)
        engines = way.indexes.engines(made.index)
        way.sink.write([Write(made.write_alias, f"id-{n}", 5, b"{}") for n in range(10)])
        way.ask("POST", f"/{made.index}/_flush")
        assert len(engines) == 3
        assert way.indexes.engines(made.index) == engines
        way.ask("POST", f"/{made.index}/_close")
        closed = until(lambda: way.indexes.engines(made.index), "the shards of the closed index")
        way.ask("POST", f"/{made.index}/_open")
        opened = until(lambda: way.indexes.engines(made.index), "the shards that were opened")
        assert not {*engines} & {*closed} | {*closed} & {*opened} | {*opened} & {*engines}

    @pytest.mark.parametrize("said", [Said(403, b"{}"), Said(404, b"{}"), Said(200, b"[]"), Said(200, b"welcome")])
    def test_none_are_known_where_they_may_not_be_asked_for(
        self, between: Relay, relayed: Side, index_prefix: str, said: Said
    ) -> None:
        made = relayed.generation(f"{index_prefix}a")
        between.plan = lambda asked: said if "_recovery" in asked.path else "pass"
        assert relayed.indexes.engines(made.index) == []


class TestDefaultMapping:
    """Every value that the encoder makes is taken, and can be searched, whatever came first in its field."""

    @pytest.fixture
    def indexed(self, way: Side, index_prefix: str) -> Any:
        alias = way.generation(f"{index_prefix}a").write_alias

        def index(*documents: dict[str, Any]) -> list[Any]:
            writes = [
                Write(alias, str(number), 1, json.dumps(document).encode()) for number, document in enumerate(documents)
            ]
            outcomes = way.sink.write(writes)
            way.ask("POST", f"/{alias}/_refresh")
            return outcomes

        self.alias, self.way = alias, way
        return index

    def found(self, query: dict[str, Any]) -> set[str]:
        answer = self.way.ask("POST", f"/{self.alias}/_search", {"query": query, "size": 100})
        return {hit["_id"] for hit in answer["hits"]["hits"]}

    def types(self) -> dict[str, str]:
        (mapping,) = self.way.ask("GET", f"/{self.alias}/_mapping").values()
        return {name: told.get("type", "object") for name, told in mapping["mappings"]["properties"].items()}

    def test_a_fraction_after_a_whole_number_is_not_rounded(self, indexed: Any) -> None:
        assert indexed({"price": 5}, {"price": 5.7}, {"price": 6}) == [WRITTEN] * 3
        assert self.found({"range": {"price": {"gt": 5, "lt": 6}}}) == {"1"}
        assert self.found({"term": {"price": 5}}) == {"0"}
        assert self.types()["price"] == "double"

    def test_doubles_keep_their_64_bits(self, indexed: Any) -> None:
        indexed({"n": 0.1}, {"n": 0.1 + 2**-50})
        assert self.found({"term": {"n": 0.1}}) == {"0"}

    def test_large_whole_numbers_are_found(self, indexed: Any) -> None:
        indexed({"n": 2**53}, {"n": 2**63 - 1}, {"n": -(2**63)})
        assert self.found({"term": {"n": 2**53}}) == {"0"}
        assert self.found({"term": {"n": 2**63 - 1}}) == {"1"}
        assert self.found({"term": {"n": -(2**63)}}) == {"2"}

    def test_dates_of_the_encoder_are_dates_from_the_far_past_to_the_far_future(self, indexed: Any) -> None:
        dates = [DATE, "-0044-03-15T00:00:00.000000Z", "0000-01-01T00:00:00.000000Z", "+10000-01-01T00:00:00.000000Z"]
        assert indexed(*({"at": date} for date in dates)) == [WRITTEN] * 4
        assert self.types()["at"] == "date"
        assert self.found({"range": {"at": {"lt": "0001-01-01"}}}) == {"1", "2"}
        assert self.found({"range": {"at": {"gt": "2024-01-02T03:04:05.677Z", "lt": "2024-01-02T03:04:05.679Z"}}}) == {
            "0"
        }
        assert self.found({"exists": {"field": "at"}}) == {"0", "1", "2", "3"}

    @pytest.mark.parametrize("first", ["-0044-03-15T00:00:00.000000Z", "+10000-01-01T00:00:00.000000Z"])
    def test_a_far_date_that_comes_first_makes_a_date_field(self, indexed: Any, first: str) -> None:
        indexed({"at": first})
        assert self.types()["at"] == "date"

    @pytest.mark.parametrize(
        "text",
        ["2024-01-02", "2024/01/02", "2024-01-02T03:04:05Z", "2024-01-02T03:04:05.678Z", "2024-01-02T03:04:05.678901Z",
         "2024-01-02 03:04:05", "12", "1.5", "true"],
    )  # fmt: skip
    def test_strings_stay_text_whatever_they_look_like(self, indexed: Any, text: str) -> None:
        assert indexed({"s": text}, {"s": "soon"}) == [WRITTEN] * 2
        assert self.types()["s"] == "text"
        assert self.found({"term": {"s.keyword": text}}) == {"0"}
        assert self.found({"match": {"s": "soon"}}) == {"1"}

    def test_text_of_any_length_is_taken(self, indexed: Any) -> None:
        texts = ["x" * 40_000, "é x" * 40_000, "日本" * 20_000, "x" * 1024, "日" * 1024]
        assert indexed(*({"s": text} for text in texts)) == [WRITTEN] * 5
        assert self.found({"exists": {"field": "s.keyword"}}) == {"3", "4"}

    @pytest.mark.parametrize("value", [5, 5.7, DATE, True, "text"])
    def test_a_value_that_does_not_fit_its_field_refuses_no_document(self, indexed: Any, value: Any) -> None:
        others = [5, 5.7, DATE, True, "text", None, [], [1, [2, "x"]]]
        assert indexed({"f": value}, *({"f": other, "g": 1} for other in others)) == [WRITTEN] * 9
        assert len(self.found({"term": {"g": 1}})) == 8

    def test_a_value_where_objects_are_is_refused_with_the_name_of_the_field(self, indexed: Any) -> None:
        written, refused = indexed({"o": {"a": 1}}, {"o": 5})
        assert written == WRITTEN
        assert isinstance(refused, Refusal)
        assert "[o]" in refused.reason

    def test_the_reserved_field_takes_what_the_encoder_puts_there(self, indexed: Any) -> None:
        own = {"id": '{"$oid":"' + "x" * 40_000 + '"}', "not_finite": ["a.b=NaN", "x" * 40_000]}
        assert indexed({"_penstock": own}) == [WRITTEN]
        assert self.found({"term": {"_penstock.not_finite": "a.b=NaN"}}) == {"0"}

    def test_a_thousand_fields_fit(self, indexed: Any) -> None:
        assert indexed({f"field {number}": number for number in range(1900)}) == [WRITTEN]


class TestMappingFile:
    def written(self, folder: Path, content: Any) -> Path:
        path = folder / "mapping.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def test_the_users_fields_and_settings_go_over_the_default(
        self, way: Side, index_prefix: str, tmp_path: Path
    ) -> None:
        path = self.written(
            tmp_path,
            {
                "mappings": {"properties": {"sku": {"type": "keyword"}}, "_meta": {"team": "shop"}},
                "settings": {"index": {"mapping": {"depth": {"limit": 15}}}, "refresh_interval": "5s"},
            },
        )
        made = described(way, way.generation(f"{index_prefix}a", mapping_file=path).index)
        assert made["mappings"]["properties"]["sku"] == {"type": "keyword"}
        assert "_penstock" in made["mappings"]["properties"]
        assert made["mappings"]["_meta"]["team"] == "shop"
        assert made["mappings"]["dynamic_templates"]
        settings = made["settings"]["index"]
        assert (settings["mapping"]["depth"]["limit"], settings["refresh_interval"]) == ("15", "5s")
        assert settings["gc_deletes"] == "900s"

    def test_a_fraction_in_a_field_of_whole_numbers_is_left_out_rather_than_rounded(
        self, way: Side, index_prefix: str, tmp_path: Path
    ) -> None:
        path = self.written(tmp_path, {"mappings": {"properties": {"n": {"type": "long"}}}})
        alias = way.generation(f"{index_prefix}a", mapping_file=path).write_alias
        assert way.sink.write([Write(alias, "a", 1, b'{"n":5.7}')]) == [WRITTEN]
        way.ask("POST", f"/{alias}/_refresh")
        for query, count in ({"term": {"n": 5}}, 0), ({"term": {"_ignored": "n"}}, 1):
            assert way.ask("POST", f"/{alias}/_count", {"query": query})["count"] == count

    def test_a_mapping_that_the_server_refuses_is_told_with_its_file(
        self, way: Side, index_prefix: str, tmp_path: Path
    ) -> None:
        path = self.written(tmp_path, {"mappings": {"properties": {"a": {"type": "txet"}}}})
        with pytest.raises(SettingsError, match=r"mapping\.json: .*No handler for type \[txet\]"):
            way.generation(f"{index_prefix}a", mapping_file=path)
