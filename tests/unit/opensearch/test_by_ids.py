"""A read by ids: each answer belongs to the document that it names."""

from typing import Any

import orjson
import pytest

from penstock.opensearch.http.client import Response
from penstock.opensearch.http.waiting import Wait
from penstock.opensearch.read.by_ids import _read


def found(text_id: str, index: str = "a-g1") -> dict[str, Any]:
    versions = {"_version": 5, "_seq_no": 1, "_primary_term": 1}
    return {"_index": index, "_id": text_id, "found": True, "_source": {"is": text_id}, **versions}


def absent(text_id: str) -> dict[str, Any]:
    return {"_index": "a-g1", "_id": text_id, "found": False}


def read(*documents: dict[str, Any], asked: str) -> Any:
    return _read(Response(200, orjson.dumps({"docs": documents})), "a", frozenset(asked))


def test_answers_in_another_order_are_those_of_the_documents_they_name() -> None:
    documents = read(found("c"), absent("b"), found("a"), asked="abc")
    assert {text_id: each.source["is"] for text_id, each in documents.items()} == {"a": "a", "c": "c"}


@pytest.mark.parametrize(
    "documents",
    [
        [],
        [found("a")],
        [found("a"), found("c")],
        [found("a"), found("a")],
        [found("a"), found("b"), found("b")],
        [found("a"), found("b", index="other")],
    ],
)
def test_answers_for_other_documents_are_none(documents: list[dict[str, Any]]) -> None:
    wait = read(*documents, asked="ab")
    assert isinstance(wait, Wait)
    assert wait.reason == "lost"
