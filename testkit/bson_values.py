"""Hypothesis strategies for every BSON value, as pymongo decodes it."""

import datetime as dt
import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any

import bson
from bson import Binary, Code, DatetimeMS, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import UuidRepresentation
from hypothesis import strategies as st

from penstock.documents.field_names import RESERVED
from penstock.mongo.codec import CODEC

_WITH_UUIDS = CODEC.with_options(uuid_representation=UuidRepresentation.STANDARD)


def _can_be_spelled(value: Decimal128) -> bool:
    """Some bits stand for no decimal that pymongo knows, nor can show when a test fails."""
    try:
        value.to_decimal()
    except ArithmeticError:
        return False
    return True


IDS: list[Any] = [
    ObjectId(), "a", "63eeb6e7d418cd98afb1c1d7", "n:7", "", "x" * 600, "ü\n\u2028\x00", 7, Int64(2**60 + 1), 1.5, 8.0,
    float("nan"), float("inf"), Decimal128("1.10"), Decimal128("9"), Decimal128("1E+6000"), True, None,
    dt.datetime(2024, 1, 2, 3, 4, 5, 678000), Binary(b"\x01", 0), Binary(b"\x01", 5),
    Binary.from_uuid(uuid.UUID(int=7)), Timestamp(5, 6), {"a": 1, "b": [1.0, None, Decimal128("2")]},
    {"b": Int64(3), "a": {"d": dt.datetime(2024, 1, 2)}}, MinKey(), MaxKey(), Code("f()"),
]  # fmt: skip
"""One `_id` of every kind, and those of one kind that could be taken for each other."""

LONG = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
ODD_NAMES = ["", ".", "..", ".a", "a.", "a..b", "a.b", "a.b.c", "_.a", " ", "a. ", "_", "__", "a_b", "é", "k" * 600]
NAMES = st.one_of(
    st.sampled_from(["a", "b", "c", *ODD_NAMES, *sorted(RESERVED), "__id", "___soft_deletes", "_id.x"]), TEXT
)
DECIMALS = st.one_of(
    st.binary(min_size=16, max_size=16).map(Decimal128.from_bid).filter(_can_be_spelled),
    st.sampled_from(["NaN", "-NaN", "sNaN", "Infinity", "-Infinity", "-0", "5", "1E+3", "1E+6000", "1E-6176"]).map(
        Decimal128
    ),
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**6), max_value=10**6).map(Decimal128),
)
DATES = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(
    lambda date: date.replace(microsecond=date.microsecond // 1000 * 1000)
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    LONG,
    LONG.map(Int64),
    st.floats(),
    TEXT,
    st.binary(max_size=20),
    st.builds(Binary, st.binary(min_size=16, max_size=16), st.sampled_from([0, 1, 3, 4, 5, 6, 7, 128])),
    st.binary(min_size=12, max_size=12).map(ObjectId),
    DATES,
    st.sampled_from([datetime(2020, 1, 1), datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999000)]),
    LONG.map(DatetimeMS),
    DECIMALS,
    st.builds(Regex, TEXT, st.sampled_from(["", "i", "imsx"])),
    TEXT.map(Code),
    st.builds(Code, TEXT, st.just({"x": 1})),
    st.builds(Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    st.sampled_from([MinKey(), MaxKey()]),
    st.builds(DBRef, TEXT, LONG, st.none() | st.just("db")),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)


def decoded(document: dict) -> dict:
    """The document as it comes out of the source."""
    return bson.decode(bson.encode(document, codec_options=_WITH_UUIDS), CODEC)


def nested(value, levels: int, *, array: bool = False):
    """The value within a number of documents (or arrays), one in the other."""
    for _ in range(levels):
        value = [value] if array else {"d": value}
    return value


DOCUMENTS = st.builds(
    lambda document, value, levels, array: decoded({**document, "deep": nested(value, levels, array=array)}),
    st.dictionaries(NAMES, VALUES, max_size=6) | st.dictionaries(st.sampled_from("abcdef"), SCALARS),
    SCALARS,
    st.integers(0, 24),
    st.booleans(),
)


def exact(value) -> Decimal | None:
    """A number's exact value, None for what is no finite number."""
    if isinstance(value, Decimal128):
        value = value.to_decimal()
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    number = Decimal(value)
    return number if number.is_finite() else None
