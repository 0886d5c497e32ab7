"""Where an index does not keep exactly what penstock writes: by its mapping, by a pipeline, by the function."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database
from structlog.testing import capture_logs

from penstock.documents.document_id import document_id
from testkit.sink_access import Side
from testkit.verify_case import Case, case

DOCUMENT = {"name": "a", "address": {"city": "b", "zip": "c"}, "lines": [{"sku": "d", "price": 1}, {"price": 2}]}


@pytest.fixture
def at(
    database: Database, source_uri: str, sink_url: str, index_prefix: str, tmp_path: Path
) -> Iterator[Callable[..., Case]]:
    """Ten documents, loaded into an index by this mapping file and these settings of the collection."""
    opened = []

    def at(mapping: dict[str, Any] | None = None, **collection: Any) -> Case:
        (tmp_path / "mapping.json").write_text(json.dumps(mapping or {}))
        given = {"mapping_file": tmp_path / "mapping.json", **collection}
        opened.append(case(database, source_uri, sink_url, f"{index_prefix}items", **given))
        made = opened[-1].__enter__()
        if not made.items.count_documents({}):
            made.items.insert_many([{"_id": n, **DOCUMENT} for n in range(10)])
        made.load()
        return made

    yield at
    for each in opened:
        each.__exit__(None, None, None)


@pytest.fixture
def pipeline(way: Side, index_prefix: str) -> Iterator[str]:
    """An ingest pipeline that sets a field."""
    path = f"/_ingest/pipeline/{index_prefix}stamps"
    way.ask("PUT", path, {"processors": [{"set": {"field": "seen.at", "value": "now"}}]})
    yield f"{index_prefix}stamps"
    way.ask("DELETE", path)


@pytest.mark.parametrize(
    "source",
    [
        {"excludes": ["address"]},
        {"excludes": ["address.zip", "lines.price"]},
        {"excludes": ["address.*", "*.sku"]},
        {"excludes": ["lines.*"]},
        {"includes": ["name", "lines.p*"]},
        {"includes": ["name", "address.*"], "excludes": ["*.zip"]},
    ],
    ids=str,
)
def test_what_the_mapping_does_not_keep_is_not_compared(at: Callable[..., Case], source: dict[str, Any]) -> None:
    made = at({"mappings": {"_source": source}})
    result = made.verify()
    assert (result.is_equal, bool(result.not_compared)) == (True, True)
    made.tamper(3, {**DOCUMENT, "name": "z"})
    made.tamper(77, DOCUMENT)
    assert not made.verify().is_equal
    assert {(each.kind, each.id, each.fields) for each in made.found} == {
        ("different", "n:3", ("name",)),
        ("too many", "n:77", ()),
    }
    assert made.verify(repair=True).is_equal


def test_without_source_only_the_ids_are_compared_and_no_document_is_taken_for_a_stranger(
    at: Callable[..., Case], database: Database
) -> None:
    """Of a long id the index has only a hash."""
    long = "x" * 600
    database["items"].insert_many([{"_id": 1, **DOCUMENT}, {"_id": long, **DOCUMENT}])
    made = at({"mappings": {"_source": {"enabled": False}}})
    made.tamper(77, DOCUMENT)
    made.verify(repair=True)
    assert [(each.kind, each.id, each.repaired) for each in made.found] == [("too many", "n:77", True)]
    found = made.adapters.client.request("POST", f"/{made.generation.index}/_mget", {"ids": [document_id(long)]})
    assert found.json()["docs"][0]["found"]
    assert made.verify().is_equal


def test_a_repair_that_is_changed_on_its_way_says_so_and_is_not_repeated(
    at: Callable[..., Case], pipeline: str
) -> None:
    made = at({"settings": {"index.default_pipeline": pipeline}})
    with capture_logs() as logs:
        result = made.verify(repair=True)
    assert not result.is_equal
    assert {(each.kind, each.fields, each.repaired, each.cause) for each in made.found} == {
        ("different", ("seen",), False, "changed on its way")
    }
    assert len(made.found) == 10
    assert [each["fields"] for each in logs if each["event"] == "a document differs: changed on its way"] == [["seen"]]


@pytest.mark.parametrize("named", ["seen", "seen.at", "see*"])
def test_fields_that_are_not_to_be_compared_may_differ(at: Callable[..., Case], pipeline: str, named: str) -> None:
    made = at({"settings": {"index.default_pipeline": pipeline}}, not_compared=[named])
    assert made.verify().is_equal
    made.tamper(3, {**DOCUMENT, "name": "z"})
    made.verify(repair=True)
    assert [(each.fields, each.repaired) for each in made.found] == [(("name",), True)]


@pytest.mark.parametrize("repair", [False, True])
def test_a_function_that_gives_another_result_each_time_is_named_as_the_cause(
    at: Callable[..., Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repair: bool
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "moving_shapes.py").write_text(
        "import itertools\nCALLS = itertools.count()\n"
        "def stamped(document):\n    return {**document, 'n': {'at': next(CALLS)}}\n"
    )
    made = at(function="moving_shapes:stamped")
    assert not made.verify(repair=repair).is_equal
    assert {(each.kind, each.fields, each.cause) for each in made.found} == {
        ("different", ("n.at",), "function not repeatable")
    }
