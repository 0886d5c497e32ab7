"""Index templates of others: what penstock's indexes need is said, undone or reported, whatever the templates say."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from penstock.errors import SettingsError
from penstock.model import WRITTEN, Write
from penstock.opensearch.index.system_index import ensure_system_index
from penstock.opensearch.index.templates import extra_fields
from penstock.opensearch.state.store import StateStore
from testkit.sink_access import Side

KEYWORDS = {"dynamic_templates": [{"kw": {"match_mapping_type": "string", "mapping": {"type": "keyword"}}}]}


@pytest.fixture
def template(way: Side, index_prefix: str) -> Iterator[Callable[..., str]]:
    """Make a template for all indexes of the test; its pipeline `drops` drops every document."""
    name = f"test-{secrets.token_hex(6)}"
    made = [f"/_ingest/pipeline/{name}"]
    way.ask("PUT", made[0], {"processors": [{"drop": {}}]})

    def make(*, legacy: bool = False, pipeline: bool = False, **content: Any) -> str:
        if pipeline:
            content["settings"] = {"index.default_pipeline": name, "index.final_pipeline": name}
        pattern = {"index_patterns": [f"{index_prefix}*"]}
        made.insert(0, f"/_template/{name}" if legacy else f"/_index_template/{name}")
        way.ask("PUT", made[0], {**pattern, **content} if legacy else {**pattern, "priority": 3, "template": content})
        return name

    yield make
    for path in made:
        way.client.request("DELETE", path)


def write(way: Side, alias: str, body: bytes = b'{"name":"two words"}') -> None:
    assert way.sink.write([Write(alias, "a", 1, body)]) == [WRITTEN]
    way.ask("POST", f"/{alias}/_refresh")


def found(way: Side, alias: str, query: dict[str, Any]) -> int:
    return int(way.ask("POST", f"/{alias}/_count", {"query": query})["count"])


@pytest.mark.parametrize("legacy", [False, True], ids=["composable", "legacy"])
def test_a_template_changes_nothing_that_penstock_needs(
    way: Side, index_prefix: str, template: Callable[..., str], legacy: bool
) -> None:
    mappings = {"dynamic": "strict", "_source": {"enabled": False}, "_routing": {"required": True}}
    template(legacy=legacy, pipeline=True, mappings={**KEYWORDS, **mappings, "date_detection": False})
    made = way.generation(f"{index_prefix}orders")
    write(way, made.write_alias)
    assert way.documents(made.index) == {"a": {"name": "two words"}}
    assert found(way, made.read_alias, {"match": {"name": "words"}}) == 1


def test_the_template_that_adds_to_an_index_is_named_with_what_it_adds(
    way: Side, index_prefix: str, template: Callable[..., str]
) -> None:
    name = template(
        settings={"index.refresh_interval": "7s"},
        mappings={**KEYWORDS, "properties": {"host": {"properties": {"ip": {"type": "ip"}}}}},
        aliases={f"{index_prefix}all": {}},
    )
    with capture_logs() as logs:
        made = way.generation(f"{index_prefix}orders")
    (line,) = [each for each in logs if "index template" in each["event"]]
    assert (line["index"], line["template"]) == (made.index, [name])
    assert (line["fields"], line["settings"]) == (["host"], ["index.refresh_interval"])
    assert (line["aliases"], line["overruled"]) == ([f"{index_prefix}all"], ["dynamic_templates"])


def test_without_a_template_nothing_is_reported(way: Side, index_prefix: str) -> None:
    with capture_logs() as logs:
        way.generation(f"{index_prefix}orders")
    assert [each for each in logs if "template" in each] == []


@pytest.mark.parametrize("legacy", [False, True], ids=["composable", "legacy"])
def test_fields_that_a_template_leaves_out_of_source_are_kept_or_reported(
    way: Side, index_prefix: str, template: Callable[..., str], legacy: bool
) -> None:
    """OpenSearch adds the lists of a legacy template to those of the request."""
    name = template(legacy=legacy, mappings={"_source": {"excludes": ["name"]}})
    with capture_logs() as logs:
        made = way.generation(f"{index_prefix}orders")
    write(way, made.write_alias)
    (kept,) = way.documents(made.index).values()
    reported = [(each["template"], each["fields"]) for each in logs if "template" in each]
    assert (kept, reported) == (({}, [([name], ["_source"])]) if legacy else ({"name": "two words"}, []))


def test_what_the_mapping_file_names_is_used(
    way: Side, index_prefix: str, template: Callable[..., str], tmp_path: Any
) -> None:
    name = template(mappings={"dynamic": True})
    (tmp_path / "mapping.json").write_text(
        f'{{"settings": {{"default_pipeline": "{name}"}}, "mappings": {{"dynamic": "false"}}}}'
    )
    made = way.generation(f"{index_prefix}orders", mapping_file=tmp_path / "mapping.json")
    described = way.ask("GET", f"/{made.index}")[made.index]
    assert described["settings"]["index"]["default_pipeline"] == name
    assert described["mappings"]["dynamic"] == "false"


def test_a_generation_that_is_built_is_not_searched_by_an_alias_of_a_template(
    way: Side, index_prefix: str, template: Callable[..., str]
) -> None:
    everything = f"{index_prefix}everything"
    template(aliases={everything: {}})
    first = way.generation(f"{index_prefix}orders")
    second = way.indexes.ensure_generation(way.declared(f"{index_prefix}orders"), number=2, serving=False)
    assert set(way.ask("GET", f"/_alias/{everything}")) == {first.index}
    assert set(way.ask("GET", f"/{second.index}/_alias")[second.index]["aliases"]) == {second.write_alias}


def test_an_index_that_is_there_already_keeps_its_pipeline(
    way: Side, index_prefix: str, template: Callable[..., str]
) -> None:
    name, made = template(), way.generation(f"{index_prefix}orders")
    way.ask("PUT", f"/{made.index}/_settings", {"index.default_pipeline": name})
    way.generation(f"{index_prefix}orders")
    assert way.ask("GET", f"/{made.index}")[made.index]["settings"]["index"]["default_pipeline"] == name


def test_an_index_that_a_template_makes_impossible_is_refused_with_the_name_of_the_template(
    way: Side, index_prefix: str, template: Callable[..., str], tmp_path: Any
) -> None:
    name = template(mappings={"properties": {"city": {"type": "keyword"}}})
    (tmp_path / "mapping.json").write_text(
        '{"mappings": {"properties": {"city": {"properties": {"name": {"type": "text"}}}}}}'
    )
    with pytest.raises(SettingsError, match=f"The index template {name} applies to {index_prefix}orders-g1"):
        way.generation(f"{index_prefix}orders", mapping_file=tmp_path / "mapping.json")


class TestOwnIndexes:
    """penstock's state and dead letters."""

    @pytest.mark.parametrize("legacy", [False, True])
    def test_state_is_kept_whatever_a_template_says(
        self, way: Side, index_prefix: str, template: Callable[..., str], legacy: bool
    ) -> None:
        template(legacy=legacy, pipeline=True, mappings={"dynamic": "strict", "_source": {"enabled": False}})
        store = StateStore(way.client, way.patience, index=f"{index_prefix}state")
        store.put("pipeline/a", {"kind": "pipeline", "position": {"token": "x"}}, None)
        assert store.get(["pipeline/a"])["pipeline/a"].document["position"] == {"token": "x"}

    def test_an_index_of_an_earlier_version_loses_the_pipeline_that_a_template_gave_it(
        self, way: Side, index_prefix: str, template: Callable[..., str]
    ) -> None:
        alias, name = f"{index_prefix}state", template()
        settings = {"index.default_pipeline": name, "index.number_of_replicas": 0}
        way.ask("PUT", f"/{alias}-v1", {"settings": settings, "aliases": {alias: {}}})
        store = StateStore(way.client, way.patience, index=alias)
        store.put("pipeline/a", {"kind": "pipeline"}, None)
        assert store.get(["pipeline/a"]).keys() == {"pipeline/a"}

    def test_they_are_hidden_from_searches_over_all_indexes(self, way: Side, index_prefix: str) -> None:
        ensure_system_index(way.client, way.patience, f"{index_prefix}state", {"mappings": {}})
        assert way.ask("GET", f"/{index_prefix}*") == {}
        assert way.ask("GET", f"/{index_prefix}state").keys() == {f"{index_prefix}state-v1"}


def test_only_the_fields_that_nobody_asked_for_are_extra() -> None:
    asked = {"properties": {"a.b": {"type": "text"}, "c": {"properties": {"d": {"type": "text"}}}}}
    made = {
        "properties": {
            "a": {"properties": {"b": {"type": "text"}}},
            "c": {"properties": {"d": {"type": "text"}, "e": {"type": "text"}}},
            "f": {"properties": {"g": {"type": "text"}}},
        }
    }
    assert extra_fields(made, asked) == ["c.e", "f"]
