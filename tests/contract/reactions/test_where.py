"""`where` answers as the source's own `find` does, for documents and conditions of every shape."""

import json
from datetime import UTC, datetime

import pytest
from bson import Decimal128, Int64, ObjectId, json_util
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from penstock.mongo.codec import CODEC
from penstock.reactions.where import condition_of

OID = ObjectId("507f1f77bcf86cd799439011")
DATE = datetime(2026, 1, 1, tzinfo=UTC)

DOCUMENTS = [
    {},
    {"a": None},
    {"a": 1},
    {"a": 1.0},
    {"a": Int64(1)},
    {"a": Decimal128("1.0")},
    {"a": 2.5},
    {"a": "1"},
    {"a": "é"},
    {"a": True},
    {"a": OID},
    {"a": DATE},
    {"a": float("nan")},
    {"a": Decimal128("NaN")},
    {"a": Decimal128("1E+6000")},
    {"a": Decimal128("-Infinity")},
    {"a": []},
    {"a": [1, 2]},
    {"a": [[1, 2], 3]},
    {"a": [None]},
    {"a": {}},
    {"a": {"b": 1}},
    {"a": {"b": 1.0, "c": 2}},
    {"a": {"b": None}},
    {"a": {"b": [1, 5]}},
    {"a": [{"b": 1}, {"b": 5}]},
    {"a": [{"b": 1}, {"c": 5}]},
    {"a": [{"b": [1, 7]}, 3]},
    {"a": [{"c": 1}]},
    {"a": [[{"b": 1}]]},
    {"a": 5, "b": 1},
]

CONDITIONS = [
    {},
    {"a": 1},
    {"a": 1.0},
    {"a": "1"},
    {"a": None},
    {"a": True},
    {"a": {"$oid": str(OID)}},
    {"a": []},
    {"a": [1, 2]},
    {"a": {}},
    {"a": {"b": 1}},
    {"a": {"b": 1, "c": 2}},
    {"a": {"c": 2, "b": 1}},
    {"a": {"$eq": 1}},
    {"a": {"$ne": 1}},
    {"a": {"$ne": None}},
    {"a": {"$gt": 1}},
    {"a": {"$gte": 1}},
    {"a": {"$lt": 2}},
    {"a": {"$lte": 2.5}},
    {"a": {"$gt": "0"}},
    {"a": {"$lt": "z"}},
    {"a": {"$gte": {"$date": "2026-01-01T00:00:00Z"}}},
    {"a": {"$gt": {"$date": "2026-01-01T00:00:00Z"}}},
    {"a": {"$gt": False}},
    {"a": {"$gte": None}},
    {"a": {"$gte": {"$numberDecimal": "0.1"}}},
    {"a": {"$lt": {"$numberDouble": "NaN"}}},
    {"a": {"$gte": {"$numberDouble": "NaN"}}},
    {"a": {"$gt": 1, "$lt": 3}},
    {"a": {"$in": [1, "1"]}},
    {"a": {"$in": [None]}},
    {"a": {"$in": []}},
    {"a": {"$nin": [1, None]}},
    {"a": {"$exists": True}},
    {"a": {"$exists": False}},
    {"a": {"$not": {"$gt": 1}}},
    {"a.b": 1},
    {"a.b": None},
    {"a.b": {"$ne": 1}},
    {"a.b": {"$gt": 4}},
    {"a.b": {"$exists": True}},
    {"a.b": {"$exists": False}},
    {"a.b": {"$nin": [1]}},
    {"a.b": [1, 5]},
    {"a.0": 1},
    {"a.0.b": 1},
    {"a.1": {"$exists": True}},
    {"a.b.0": 1},
    {"a": 5, "b": 1},
    {"$and": [{"a": {"$gte": 1}}, {"a": {"$lt": 2}}]},
    {"$or": [{"a": "1"}, {"a.b": 5}]},
    {"$or": [{"a": 1}], "a": {"$ne": [1, 2]}},
]


def found_by(collection, where):
    """The `_id`s of what the source's own find finds."""
    query = json_util.loads(json.dumps(where))
    return {each["_id"] for each in collection.find(query, {"_id": 1})}


def met_by(collection, where):
    condition = condition_of(where)
    return {each["_id"] for each in collection.with_options(codec_options=CODEC).find() if condition(each)}


@pytest.fixture(scope="module")
def filled(source_client):
    collection = source_client.test_where.documents
    collection.drop()
    collection.insert_many({"_id": number, **each} for number, each in enumerate(DOCUMENTS))
    yield collection
    source_client.drop_database("test_where")


@pytest.mark.parametrize("where", CONDITIONS, ids=json.dumps)
def test_it_answers_as_a_find_does(filled, where):
    assert met_by(filled, where) == found_by(filled, where)


plain = st.sampled_from([None, True, 0, 1, 1.5, "", "a", "b"])
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
paths = st.lists(st.sampled_from(["a", "b", "c", "0", "1"]), min_size=1, max_size=3).map(".".join)
ordered = st.sampled_from([0, 1, 1.5, "", "a", True])
tests = st.one_of(
    values,
    st.builds(lambda name, value: {name: value}, st.sampled_from(["$eq", "$ne"]), values),
    st.builds(lambda name, value: {name: value}, st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), ordered),
    st.builds(lambda name, value: {name: value}, st.sampled_from(["$in", "$nin"]), st.lists(values, max_size=3)),
    st.builds(lambda value: {"$exists": value}, st.booleans()),
    st.builds(lambda value: {"$not": {"$gte": value}}, ordered),
)
fields = st.dictionaries(paths, tests, min_size=1, max_size=2)
conditions = fields | st.builds(
    lambda name, parts: {name: parts}, st.sampled_from(["$and", "$or"]), st.lists(fields, min_size=1, max_size=3)
)
documents = st.lists(st.dictionaries(st.sampled_from("abc"), values, max_size=3), min_size=1, max_size=20)


def ends_in_a_place(value, path):
    """Whether a path comes to a plain value at a place in an array, and goes on.

    MongoDB looks no further (src/mongo/db/matcher/path.cpp), so that nothing is null there; the local source takes the
    rest of the path for a field that is missing.
    """
    name, _, rest = path.partition(".")
    if not rest:
        return False
    if isinstance(value, dict):
        return ends_in_a_place(value.get(name), rest)
    if not isinstance(value, list):
        return False
    at_place = value[int(name) : int(name) + 1] if name.isdigit() else []
    return any(not isinstance(each, dict | list) or ends_in_a_place(each, rest) for each in at_place) or any(
        ends_in_a_place(each, path) for each in value if isinstance(each, dict)
    )


def paths_in(where):
    for name, its in where.items():
        if name in ("$and", "$or"):
            for each in its:
                yield from paths_in(each)
        else:
            yield name


def test_at_a_plain_value_in_an_array_a_path_ends():
    assert ends_in_a_place({"a": [None]}, "a.0.a")
    assert not condition_of({"a.0.a": None})({"a": [None]})
    assert not ends_in_a_place({"a": [{"a": 1}]}, "a.0.a")
    assert not ends_in_a_place({"a": [None]}, "a.0")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents=documents, where=st.lists(conditions, min_size=1, max_size=8))
def test_it_answers_as_a_find_does_whatever_is_asked(database, documents, where):
    assume(not any(ends_in_a_place(each, path) for each in documents for one in where for path in paths_in(one)))
    collection = database.documents
    collection.drop()
    collection.insert_many([{"_id": number, **each} for number, each in enumerate(documents)])
    for each in where:
        assert met_by(collection, each) == found_by(collection, each), each
