"""The user's mapping file: what is merged, and every problem told with the file's name."""

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import SettingsError
from penstock.opensearch.index.mapping import flat_settings, index_body, read_mapping
from penstock.settings import ConflictPolicy


def body(path: Path | None = None) -> dict[str, Any]:
    return index_body(shards=3, replicas=2, mapping=read_mapping(path), meta={"schema": 1})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not valid JSON"),
        ("[]", "must be a JSON object"),
        ('{"properties": {}}', "Put `properties` under `mappings`"),
        ('{"mapping": {}}', "`mapping` is not known at the top"),
        ('{"mappings": []}', "`mappings` must be an object"),
        ('{"mappings": {"properties": 5}}', "`mappings.properties` must be an object"),
        ('{"mappings": {"_source": false}}', "`mappings._source` must be an object"),
        ('{"mappings": {"_meta": null}}', "`mappings._meta` must be an object"),
        ('{"mappings": {"dynamic_templates": null}}', "`mappings.dynamic_templates` must be a list"),
        ('{"mappings": {"properties": {"a": {"properties": {"b": "text"}}}}}', "the field `a.b` must be an object"),
        ('{"mappings": {"properties": {"_penstock": {}}}}', "is reserved for penstock"),
        ('{"settings": {"gc_deletes": "1s"}}', "`index.gc_deletes` is set by penstock, so that deleted documents"),
        ('{"settings": {"index": {"translog": {"durability": "async"}}}}', "`index.translog.durability`"),
        ('{"settings": {"mapping.total_fields.limit": 50}}', "is set by `max_fields` of the collection"),
    ],
)
def test_a_problem_is_told_with_the_name_of_the_file(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "mapping.json"
    path.write_text(content)
    with pytest.raises(SettingsError, match=r"mapping\.json") as raised:
        body(path)
    assert message in str(raised.value)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mapping.json"
    path.write_text('{"mapping": {}, "aliases": {}, "settings": 5}')
    with pytest.raises(SettingsError) as raised:
        body(path)
    assert len(raised.value.problems) == 3


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        body(tmp_path / "mapping.json")


def test_without_a_file_everything_is_penstocks_own() -> None:
    made = body()
    assert made["settings"]["index.number_of_shards"] == 3
    assert made["settings"]["index.number_of_replicas"] == 2
    assert made["mappings"]["_meta"] == {"penstock": {"schema": 1}}
    assert list(made["mappings"]["properties"]) == ["_penstock"]


def test_two_indexes_share_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mapping.json"
    path.write_text(json.dumps({"mappings": {"properties": {"a": {"type": "keyword"}}}}))
    body(path)
    assert "a" not in body()["mappings"]["properties"]


def test_settings_may_be_nested_or_dotted_with_or_without_index() -> None:
    expected = {"index.mapping.depth.limit": 5, "index.refresh_interval": "5s"}
    assert flat_settings({"index": {"mapping": {"depth": {"limit": 5}}, "refresh_interval": "5s"}}) == expected
    assert flat_settings({"index.mapping.depth.limit": 5, "refresh_interval": "5s"}) == expected


def with_conflicts(path: Path | None, **conflicts: ConflictPolicy) -> dict[str, Any]:
    body = index_body(shards=1, replicas=1, mapping=read_mapping(path), meta={}, conflicts=conflicts)
    mapped: dict[str, Any] = body["mappings"]["properties"]
    return {name: each for name, each in mapped.items() if name != "_penstock"}


def test_conflicts_map_their_fields_unless_the_file_does(tmp_path: Path) -> None:
    path = tmp_path / "mapping.json"
    german = {"type": "text", "analyzer": "german"}
    path.write_text(
        json.dumps({"mappings": {"properties": {"a": {"properties": {"b": german}}, "l": {"type": "long"}}}})
    )
    policies: dict[str, ConflictPolicy] = {"a.b": "text", "a.c": "flat_object", "d.e": "leave-out", "l": "leave-out"}
    assert with_conflicts(path, **policies) == {
        "a": {"properties": {"b": german, "c": {"type": "flat_object"}}},
        "d": {"properties": {"e": {"type": "object"}}},
        "l": {"type": "long"},
    }
    assert with_conflicts(None, **{"*": "leave-out", "a": "dead-letter"}) == {}
    nested: dict[str, ConflictPolicy] = {"a": "leave-out", "a.b": "text"}
    assert with_conflicts(None, **nested)["a"]["properties"]["b"]["type"] == "text"
    assert with_conflicts(None, a="leave-out") == {"a": {"type": "object"}}


@pytest.mark.parametrize(
    ("path", "policy", "message"),
    [
        ("a", "flat_object", "says flat_object for `a`, but the mapping has text for it"),
        ("o", "text", "says text for `o`, but the mapping has object for it"),
        ("a.b", "text", "names `a.b`, but `a` is mapped as text and has no fields"),
    ],
)
def test_conflicts_that_the_file_contradicts_are_told(
    tmp_path: Path, path: str, policy: ConflictPolicy, message: str
) -> None:
    file = tmp_path / "mapping.json"
    file.write_text(json.dumps({"mappings": {"properties": {"a": {"type": "text"}, "o": {"properties": {}}}}}))
    with pytest.raises(SettingsError, match=message):
        with_conflicts(file, **{path: policy})
