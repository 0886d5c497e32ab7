"""Two ids have one text exactly when a real source takes them for one document."""

from datetime import datetime

import pytest
from bson import Binary, Code, DatetimeMS, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from pymongo.errors import DuplicateKeyError

from penstock.documents.document_id import document_id
from penstock.mongo.codec import CODEC

HEX = "65a0f1c2d3e4f5061728394a"
IDS = {
    "numbers": [0, -0.0, 1, 1.0, Int64(1), Decimal128("1.0"), Decimal128("1"), 0.5, Decimal128("0.50"), 0.1, "1", True],
    "tenths": [0.1, Decimal128("0.1"), Decimal128("0.10")],
    "large numbers": [2**53, 2**53 + 1, float(2**53), 2**63 - 1, 2.0**63, Decimal128("9223372036854775808"), -(2**63)],
    "not finite": [float("nan"), Decimal128("NaN"), float("inf"), Decimal128("Infinity"), float("-inf"), "NaN"],
    "texts": [HEX, ObjectId(HEX), HEX.upper(), "", " ", "n:1", "s:n:1", "null:", "é", "e\u0301"],
    "others": [None, True, False, datetime(1970, 1, 1), Timestamp(0, 1), b"", Binary(b"", 128), MinKey(), MaxKey()],
    "dates": [datetime(1970, 1, 1), DatetimeMS(0), DatetimeMS(1), DatetimeMS(-(2**60)), 0],
    "documents": [
        {"a": 1},
        {"a": 1.0},
        {"a": "1"},
        {"a": 1, "b": 2},
        {"b": 2, "a": 1},
        {"a": {"b": 1}},
        {"a": [1]},
        {},
    ],
    "codes": [Code("f"), "f", Binary(b"f", 5), b"f"],
    "regexes": [{"r": Regex("a")}, {"r": Regex("a", "i")}, {"r": "a"}],
    "long texts": ["x" * 512, "x" * 513, "x" * 514],
}


@pytest.mark.parametrize("values", IDS.values(), ids=IDS)
def test_two_ids_have_one_text_exactly_when_they_are_one_document(database, values):
    collection = database.get_collection("ids", codec_options=CODEC)
    kept, refused = {}, []
    for value in values:
        try:
            collection.insert_one({"_id": value})
            kept[document_id(value)] = value
        except DuplicateKeyError:
            refused.append(document_id(value))
    assert len(kept) + len(refused) == len(values)
    assert set(refused) <= set(kept)
    assert {document_id(document["_id"]) for document in collection.find()} == set(kept)
    assert collection.count_documents({}) == len(kept)
