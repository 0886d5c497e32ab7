"""docs/bson.md says what the code does."""

import json
import re
from datetime import datetime
from pathlib import Path

import bson
import pytest
import urllib3
from bson import Binary, Code, DatetimeMS, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp

from penstock.documents.bson_json import FORMS
from penstock.documents.document_id import HASHED, TAGS, document_id, read
from penstock.documents.encode import encode
from penstock.documents.field_names import RESERVED
from penstock.mongo.codec import CODEC
from penstock.opensearch.index.mapping import index_body

PAGE = (Path(__file__).parents[2] / "docs" / "bson.md").read_text()
UUID = bytes.fromhex("00112233445566778899aabbccddeeff")
OID = ObjectId("65a0f1c2d3e4f5061728394a")

VALUES = {
    "string": "The Grand Canal",
    "int": 5,
    "long": Int64(2**63 - 1),
    "double": 5.7,
    "decimal": Decimal128("12.50"),
    "double, not finite": float("nan"),
    "decimal, not a double": Decimal128("1E+6000"),
    "bool": True,
    "null": None,
    "date": datetime(2024, 1, 2, 3, 4, 5, 678000),
    "date after 9999": DatetimeMS(253402300800000),
    "date before year 0": DatetimeMS(-62167219200001),
    "ObjectId": OID,
    "binary": b"\x00\xff",
    "UUID, binary subtype 4": Binary(UUID, 4),
    "UUID, binary subtype 3": Binary(UUID, 3),
    "timestamp": Timestamp(5, 6),
    "regular expression": Regex("^a.*b$", "mi"),
    "code": Code("f()"),
    "code with scope": Code("f()", {"x": 1}),
    "MinKey": MinKey(),
    "MaxKey": MaxKey(),
    "DBRef": DBRef("c", OID, "d"),
    "document": {"a": 1},
    "array": [1, [2, 3]],
}
# what pymongo can read but not write, as bytes: a document with one field "f"
BYTES = {"symbol": b"\x0e\x00\x00\x00\x0ef\x00\x02\x00\x00\x00a\x00\x00", "undefined": b"\x08\x00\x00\x00\x06f\x00\x00"}


def rows(heading: str) -> list[list[str]]:
    """The rows of the first table below the heading."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_table_has_every_value_once():
    assert sorted(row[0] for row in rows("Values")) == sorted([*VALUES, *BYTES])


@pytest.mark.parametrize("row", rows("Values"), ids=lambda row: row[0])
def test_the_form_in_the_table_is_the_form_in_the_index(row):
    stored = BYTES[row[0]] if row[0] in BYTES else bson.encode({"f": VALUES[row[0]]})
    body = encode(bson.decode(stored, CODEC)).decode()
    assert body.startswith(f'{{"f":{code(row[1])[0]}')
    if '"_penstock"' in body:
        told = json.loads(body)["_penstock"]["not_finite"]
        assert told[0] in row[2]
    else:
        assert body == f'{{"f":{code(row[1])[0]}}}'


def test_every_query_in_the_table_finds_its_document(sink_url, index_prefix):
    table = [
        (f"f{place}", VALUES[row[0]], code(row[2])) for place, row in enumerate(rows("Values")) if row[0] in VALUES
    ]
    address = f"{sink_url}/{index_prefix}table"
    with urllib3.PoolManager() as http:
        made = index_body(shards=1, replicas=0, mapping={}, meta={})
        assert http.request("PUT", address, json=made).status == 200
        for name, value, _ in table:
            body = encode(bson.decode(bson.encode({name: value}), CODEC))
            put = http.request("PUT", f"{address}/_doc/{name}", body=body, headers={"content-type": "application/json"})
            assert put.status == 201, put.data
        http.request("POST", f"{address}/_refresh")
        asked = 0
        for name, _, queries in table:
            for query in (query for query in queries if query.startswith("{") and "exists" not in query):
                own = json.loads(re.sub(r'"f(?=[".=])', f'"{name}', query))
                found = http.request("POST", f"{address}/_search", json={"query": own}).json()
                assert [hit["_id"] for hit in found["hits"]["hits"]] == [name], query
                asked += 1
        assert asked > 15


def test_every_bson_type_with_a_form_is_in_the_table():
    decoded = [bson.decode(bson.encode({"f": value}), CODEC)["f"] for value in VALUES.values()]
    of_functions = {"Decimal", "UUID", "date"}
    assert {kind.__name__ for kind in FORMS} - of_functions == {type(value).__name__ for value in decoded} - {
        "dict",
        "list",
    }


@pytest.mark.parametrize("row", rows("Field names"), ids=lambda row: row[0])
def test_the_examples_of_field_names_hold(row):
    assert encode(json.loads(code(row[0])[0])).decode() == code(row[1])[0]


def test_the_reserved_names_are_those_of_the_code():
    assert code(PAGE.split("<!-- reserved -->")[1].split("<!-- end -->")[0]) == sorted(RESERVED)


def test_the_examples_of_document_ids_are_forms_that_read_back():
    texts = [text for row in rows("Document ids")[:-1] for text in code(row[1])]
    assert [document_id(read(text)) for text in texts] == texts
    tags = {tag for tag in TAGS for text in texts if text.startswith(tag)}
    assert tags == set(TAGS) - {HASHED}
