"""The user's mapping file: what is merged, and every problem told with the file's name."""

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import SettingsError
from penstock.opensearch.mapping import flat_settings, index_body, read_mapping


def body(path: Path | None = None) -> dict[str, Any]:
    return index_body(shards=3, replicas=2, mapping=read_mapping(path), meta={"schema": 1})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "must be a JSON object"),
        ('{"properties": {}}', "Put `properties` under `mappings`"),
        ('{"mapping": {}}', "`mapping` is not known at the top"),
        ('{"mappings": []}', "`mappings` must be an object"),
        ('{"mappings": {"properties": 5}}', "`mappings.properties` must be an object"),
        ('{"mappings": {"properties": {"_penstock": {}}}}', "is penstock's own"),
        ('{"settings": {"gc_deletes": "1s"}}', "`index.gc_deletes` keeps deleted documents"),
        ('{"settings": {"index": {"translog": {"durability": "async"}}}}', "`index.translog.durability`"),
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
