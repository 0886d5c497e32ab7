"""What the recordings of `testkit/topics` are, and the documents that the recorded operations leave."""

from datetime import datetime
from typing import Any

from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from pymongo.database import Database

from penstock.documents.document_id import document_id
from testkit.connect import Topics, recorded
from testkit.workspace import Site

TYPES = {
    "double": 1.5,
    "nan": float("nan"),
    "inf": float("inf"),
    "negzero": -0.0,
    "whole_double": 3.0,
    "string": "h\u00e9llo \U0001f600",
    "empty": "",
    "nul": "a\0b",
    "doc": {"x": 1, "y": {"z": 2}},
    "array": [1, "a", [2, {"q": 1}], None],
    "bin": Binary(b"\x00\x01\xff"),
    "uuid": Binary(bytes(range(16)), 4),
    "uuid_legacy": Binary(bytes(range(16)), 3),
    "bin_user": Binary(b"u", 128),
    "oid": ObjectId("5bb1f2a0c0ffee0000000001"),
    "true": True,
    "date_1901": datetime(1901, 1, 1),
    "null": None,
    "regex": Regex("^a.b$", "im"),
    "dbref": DBRef("c", 5),
    "code": Code("function(){}"),
    "code_scope": Code("f", {"a": 1}),
    "int": 42,
    "timestamp": Timestamp(4, 7),
    "long": Int64(5),
    "long_big": Int64(9223372036854775807),
    "decimal": Decimal128("1.10"),
    "decimal_nan": Decimal128("NaN"),
    "minkey": MinKey(),
    "maxkey": MaxKey(),
    "a.b": "key with a dot",
    "\u00fcml aut": "key with a space",
}

COLLS = ("people", "ids", "types", "orders")
FORMS = {
    "debezium-2.7-changestreams": "keys",
    "debezium-2.7-unwrap": "keys",
    "debezium-2.7-unwrap-rewrite": "keys",
    "debezium-2.7-updatefull": "keys",
    "debezium-3.6-unwrap": "keys",
    "debezium-3.6-updatefull": "keys",
    "mongo-2.0-extended-updatelookup-copy": "change-events",
    "mongo-bson": "change-events",
    "mongo-default": "change-events",
    "mongo-extended": "change-events",
    "mongo-fulldocument": "keys",
    "mongo-fulldocument-extended": "keys",
    "mongo-simplified": "change-events",
    "mongo-token-key": "change-events",
    "mongo-updatelookup-copy": "change-events",
}

IDS = [
    *(ObjectId("5bb1f2a0c0ffee0000000001"), "str", "", 7, Int64(8), Int64(9007199254740993), 1.5, 2.0),
    *({"a": 1, "b": "x"}, {"b": "x", "a": 1.0}, Binary(b"\x01\x02"), Binary(bytes(range(16)), 4)),
    *(datetime(2018, 10, 1, 12, 34, 56, 789000), Decimal128("3.10"), True, None, Timestamp(5, 6), 99.0),
]


def filled(topics: Topics, file: str, database: Database) -> list[str]:
    """Fill the topics `cdc.DATABASE.COLLECTION` with what connectors wrote; the source is as it was at the end.

    Return the collections of which there are records.
    """
    records = [each for each in recorded(file, database.name) if each.coll in COLLS]
    _ended_with(database, ids=IDS if FORMS[file] == "change-events" else [])
    if any(b"after dropDatabase" in (each.value or b"") for each in records if each.coll == "people"):
        database.people.insert_one({"_id": "after dropDatabase"})
    for coll in COLLS:
        topics.create(f"cdc.{database.name}.{coll}", 2)
    for each in records:
        topics.send(f"cdc.{database.name}.{each.coll}", each.key, each.value)
    topics.flush()
    return sorted({each.coll for each in records})


def require_recorded(site: Site, file: str, database: Database, written: list[str]) -> None:
    """Compare the indexes of these collections with the documents that the recording stands for."""
    with_gaps = {"ids"} if FORMS[file] == "change-events" else set()  # some deletes were left out of the recordings
    assert site.differences(database, *(set(written) - with_gaps)) == []
    for coll in with_gaps & set(written):
        assert site.indexed(f"{database.name}.{coll}").keys() <= {document_id(each) for each in IDS}
    assert site.letters(database) == []


def _ended_with(database: Database, *, ids: list[Any]) -> None:
    """The documents that the recorded operations leave, of these collections; every other one was deleted."""
    for coll in COLLS:
        database.create_collection(coll)
    database.people.insert_many([{"_id": "up", "x": 1}, {"_id": "again", "new": True}, {"_id": "t1", "k": 1}])
    database.types.insert_one({"_id": "all", **TYPES, "date": datetime(2019, 1, 1)})
    for each in ids:
        database.ids.insert_one({"_id": each, "v": 2})
