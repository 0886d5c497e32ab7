"""What the encoder makes is taken by a real OpenSearch under the product's own mapping, and found by the searches that
docs/bson.md gives."""

import json
import secrets
from collections.abc import Iterator
from datetime import datetime

import bson
import pytest
import urllib3
from bson import Binary, Code, DatetimeMS, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from penstock.documents.document_id import document_id
from penstock.documents.encode import encode
from penstock.documents.field_names import MAX_DEPTH, RESERVED
from penstock.mongo.codec import CODEC
from penstock.opensearch.index.mapping import index_body

HEX = "65a0f1c2d3e4f5061728394a"
NAN = float("nan")


class Index:
    """One real index with penstock's mapping."""

    def __init__(self, http: urllib3.PoolManager, url: str) -> None:
        self._http, self._url = http, url
        made = index_body(shards=1, replicas=0, mapping={}, meta={})
        assert self.ask("PUT", "", json.dumps(made))[0] == 200

    def ask(self, method: str, path: str, body: bytes | str | None = None):
        headers = {"content-type": "application/x-ndjson" if path.startswith("/_bulk") else "application/json"}
        answer = self._http.request(method, self._url + path, body=body, headers=headers, timeout=60, retries=False)
        return answer.status, json.loads(answer.data)

    def put(self, bodies: dict[str, bytes]) -> dict[str, str]:
        """Index the bodies by id; answer the refusals."""
        lines = b"".join(
            json.dumps({"index": {"_id": name}}).encode() + b"\n" + body + b"\n" for name, body in bodies.items()
        )
        status, answer = self.ask("POST", "/_bulk?refresh=true", lines)
        assert status == 200, answer
        items = [item["index"] for item in answer["items"]]
        return {item["_id"]: json.dumps(item["error"]) for item in items if "error" in item}

    def find(self, query: dict) -> set[str]:
        status, answer = self.ask("POST", "/_search?size=1000", json.dumps({"query": query, "_source": False}))
        assert status == 200, answer
        return {hit["_id"] for hit in answer["hits"]["hits"]}

    def type_of(self, field: str) -> str:
        _, answer = self.ask("GET", f"/_mapping/field/{field}")
        (index,) = answer.values()
        (mapping,) = index["mappings"][field]["mapping"].values()
        return mapping["type"]


@pytest.fixture(scope="module")
def http() -> Iterator[urllib3.PoolManager]:
    with urllib3.PoolManager() as pool:
        yield pool


@pytest.fixture
def index(http, sink_url, index_prefix) -> Index:
    return Index(http, f"{sink_url}/{index_prefix}forms")


def stored(document: dict) -> dict:
    """The document as the source gives it."""
    return bson.decode(bson.encode(document), CODEC)


def nested(value, levels: int, *, array: bool = False):
    for _ in range(levels):
        value = [value] if array else {"d": value}
    return value


VALUES = {
    "object_id": (ObjectId(HEX), {"term": {"object_id.keyword": HEX}}),
    "text": ("The Grand Canal", {"match": {"text": "canal"}}),
    "number": (5.7, {"range": {"number": {"gt": 5.6, "lt": 5.8}}}),
    "long": (Int64(2**53), {"term": {"long": 2**53}}),
    "decimal": (Decimal128("12.50"), {"term": {"decimal": 12.5}}),
    "huge_decimal": (Decimal128("123456789012345678901234567890"), {"range": {"huge_decimal": {"gt": 1e29}}}),
    "not_finite": ([1, NAN], {"term": {"_penstock.not_finite": "not_finite=NaN"}}),
    "too_large": ({"d": Decimal128("1E+6000")}, {"term": {"_penstock.not_finite": "too_large.d=1E+6000"}}),
    "flag": (True, {"term": {"flag": True}}),
    "binary": (b"\x00\xff", {"term": {"binary.keyword": "AP8="}}),
    "uuid": (Binary(bytes(range(16)), 4), {"term": {"uuid.keyword": "00010203-0405-0607-0809-0a0b0c0d0e0f"}}),
    "stamp": (Timestamp(1_700_000_000, 3), {"range": {"stamp.t": {"gte": 1_700_000_000}}}),
    "regex": (Regex("^a.*b$", "i"), {"term": {"regex.keyword": "/^a.*b$/i"}}),
    "code": (Code("function f() { return canal }", {"x": 1}), {"match": {"code": "canal"}}),
    "min_key": (MinKey(), {"term": {"min_key.keyword": "MinKey"}}),
    "max_key": (MaxKey(), {"term": {"max_key.keyword": "MaxKey"}}),
    "reference": (DBRef("c", ObjectId(HEX), "d"), {"term": {"reference.$id.keyword": HEX}}),
    "arrays": ([[1, [2]], [[[3]]]], {"term": {"arrays": 3}}),
    "documents": ([{"a": 1}, [{"a": 2}]], {"term": {"documents.a": 2}}),
}


def test_every_bson_type_is_indexed_and_found_by_its_search(index):
    assert index.put({name: encode(stored({name: value})) for name, (value, _) in VALUES.items()}) == {}
    assert {name: index.find(query) for name, (_, query) in VALUES.items()} == {name: {name} for name in VALUES}


DATES = {
    "first": DatetimeMS(-(2**63)),
    "before year 0": DatetimeMS(-62_198_755_200_000),
    "year 0": DatetimeMS(-62_167_219_200_000),
    "year 1": datetime(1, 1, 1),
    "midnight": datetime(2024, 1, 2),
    "now": datetime(2024, 1, 2, 3, 4, 5, 678000),
    "year 10000": DatetimeMS(253_402_300_800_000),
    "last": DatetimeMS(2**63 - 1),
}


@pytest.mark.parametrize("first", ["first", "midnight", "last"])
def test_dates_of_every_age_make_a_date_field_that_sorts_and_takes_ranges(index, first):
    assert index.put({first: encode(stored({"at": DATES[first]}))}) == {}
    assert index.put({name: encode(stored({"at": date})) for name, date in DATES.items()}) == {}
    assert index.type_of("at") == "date"
    assert index.find({"range": {"at": {"lt": "0001-01-01"}}}) == {"first", "before year 0", "year 0"}
    assert index.find({"range": {"at": {"gte": "2024-01-02", "lte": "2024-01-02T03:04:05.678Z"}}}) == {
        "midnight",
        "now",
    }
    assert index.find({"range": {"at": {"gte": "+10000-01-01"}}}) == {"year 10000", "last"}
    _, found = index.ask("POST", "/_search", json.dumps({"sort": [{"at": "asc"}]}))
    assert [hit["_id"] for hit in found["hits"]["hits"]] == list(DATES)


TEXTS = [
    *("2024-01-02", "1", "2024", "2024/01/02", "2024-01-02T03:04:05Z", "2024-01-02T03:04:05.678Z", "20240102"),
    *("2024-01-02T03:04:05.678901Z", "2024-01-02T03:04:05.678000+00:00", "2024-01-02T03:04:05.678000", "1704164645678"),
]


def test_strings_that_look_like_dates_stay_text(index):
    assert index.put({str(place): encode({f"s{place}": text}) for place, text in enumerate(TEXTS)}) == {}
    assert {text: index.type_of(f"s{place}") for place, text in enumerate(TEXTS)} == dict.fromkeys(TEXTS, "text")


NAMES = [
    *(
        "",
        " ",
        "\t",
        "\u3000",
        ".",
        "..",
        ".a",
        "b.",
        "c..d",
        "e. .f",
        " .g",
        "h",
        "h.i",
        "$j",
        "k*",
        "l,m",
        "\x01",
        "é",
    ),
    *("n" * 513, "n" * 50_001, "o." * 400 + "o", "_id.x", "_source.x.y", "__id", "_", "_._", "j.k.l", "j.k", "x._id"),
    ".".join("abcdefghijklmnopqrstuvwxyz"),
    *sorted(RESERVED),
]


def test_a_document_of_all_the_odd_names_is_indexed_with_every_value(index):
    document = stored({name: place for place, name in enumerate(NAMES)})
    body = encode(document)
    assert index.put({"top": body, "within": encode({"in": document, "list": [document]})}) == {}
    mapped = json.loads(body)
    assert list(mapped.values()) == list(document.values())
    assert [name for name, place in mapped.items() if index.find({"term": {name: place}}) != {"top"}] == []


METADATA = [
    *("_id", "_index", "_source", "_routing", "_field_names", "_ignored", "_version", "_seq_no", "_nested_path"),
    *("_feature", "_data_stream_timestamp", "_doc_count", "_primary_term", "_tombstone", "__soft_deletes"),
]


@pytest.mark.parametrize("name", METADATA)
def test_each_name_of_the_indexs_own_is_indexed_and_its_documents_can_be_deleted(index, name):
    """A name can be taken and still break the shard at the next delete."""
    assert index.put({"a": encode(stored({name: 1})), "b": encode(stored({"in": {name: {"": 1}}}))}) == {}
    assert index.put({"c": encode(stored({name: 2}))}) == {}
    status, answer = index.ask("POST", "/_bulk?refresh=true", '{"delete":{"_id":"a"}}\n{"delete":{"_id":"b"}}\n')
    assert status == 200
    assert [item["delete"]["status"] for item in answer["items"]] == [200, 200]
    assert index.find({"match_all": {}}) == {"c"}


@pytest.mark.parametrize("value", ["x", {"a": 1}, [{"a": 1}, {"b": [2]}], None, {"": {" ": 1}}], ids=repr)
def test_reserved_names_hold_every_kind_of_value(index, value):
    assert index.put({"a": encode(stored(dict.fromkeys(RESERVED, value)))}) == {}


@pytest.mark.parametrize("array", [False, True])
def test_any_depth_is_indexed(index, array):
    levels = range(MAX_DEPTH - 3, MAX_DEPTH + 4)
    leaves = {"number": 1, "object": {}, "array": [], "stamp": Timestamp(1, 2), "null": None}
    bodies = {
        f"{kind} {count}": encode(stored({f"{kind}{count}": nested(leaf, count, array=array)}))
        for kind, leaf in leaves.items()
        for count in (*levels, 90)
    }
    assert index.put(bodies) == {}


def test_arrays_and_documents_in_turns_are_indexed_at_any_depth(index):
    value = 1
    for _ in range(40):
        value = {"d": [[value]]}
    assert index.put({"a": encode(stored(value))}) == {}


TREES = st.recursive(
    st.integers(0, 9),
    lambda inner: st.dictionaries(st.sampled_from(NAMES) | st.text("a. _", max_size=4), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(trees=st.lists(TREES, min_size=60, max_size=60))
def test_documents_of_arbitrary_names_are_indexed(http, sink_url, index_prefix, trees):
    index = Index(http, f"{sink_url}/{index_prefix}{secrets.token_hex(4)}")
    bodies = {str(place): encode(stored({f"t{place}": tree})) for place, tree in enumerate(trees)}
    assert index.put(bodies) == {}


IDS = [" ", "_x", "a/b", "\n", "\x00", "*", "..", "_all", "{}", '"', "é" * 256, "x" * 512, "x" * 513, "😀" * 500, ""]


def test_every_document_id_is_taken(index):
    ids = [*map(document_id, [*IDS, None, 0.5, {"a": [1]}, b"x", Timestamp(1, 2), MinKey(), ObjectId(HEX), HEX])]
    assert index.put({text: encode({"a": 1}) for text in ids}) == {}
    assert index.find({"match_all": {}}) == set(ids)
    assert len(set(ids)) == len(ids)
