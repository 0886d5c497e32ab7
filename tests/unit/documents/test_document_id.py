import uuid
from datetime import datetime, timedelta, timezone

import pytest
from bson import Binary, Code, DatetimeMS, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock.documents.document_id import (
    FOREIGN,
    HASHED,
    HIDDEN,
    MAX_ID_BYTES,
    are_short,
    can_be_asked_for,
    document_id,
    id_json,
    read,
    read_id_json,
    source_id_of,
)
from testkit.bson_values import SCALARS, TEXT, VALUES, decoded, exact

HEX = "65a0f1c2d3e4f5061728394a"
NAN = float("nan")

FORMS = [
    (ObjectId(HEX), HEX),
    (HEX, f"s:{HEX}"),
    (HEX.upper(), HEX.upper()),
    ("order-17", "order-17"),
    ("user:17", "user:17"),
    ("n:1", "s:n:1"),
    ("s:", "s:s:"),
    ("h:", "s:h:"),
    ("", "s:"),
    (" ", " "),
    (7, "n:7"),
    (Int64(7), "n:7"),
    (7.0, "n:7"),
    (Decimal128("7.00"), "n:7"),
    (-0.0, "n:0"),
    (Decimal128("-0"), "n:0"),
    (2**63 - 1, "n:9223372036854775807"),
    (-(2.0**63), "n:-9223372036854775808"),
    (2.0**63, "n:9.223372036854776e+18"),
    (Decimal128("9223372036854775808"), "n:9.223372036854776e+18"),
    (0.1, "n:0.1"),
    (0.5, "n:0.5"),
    (Decimal128("0.5"), "n:0.5"),
    (Decimal128("0.1"), "d:0.1"),
    (Decimal128("0.10"), "d:0.1"),
    (Decimal128("1E+6000"), "d:1E+6000"),
    (Decimal128("1000E+5997"), "d:1E+6000"),
    (NAN, "n:NaN"),
    (Decimal128("-NaN"), "n:NaN"),
    (Decimal128("sNaN"), "n:NaN"),
    (float("inf"), "n:Infinity"),
    (Decimal128("-Infinity"), "n:-Infinity"),
    (None, "null:"),
    (True, "bool:true"),
    (datetime(1970, 1, 1, 0, 0, 1, 500000), "date:1500"),
    (datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), "date:0"),
    (DatetimeMS(-(2**63)), "date:-9223372036854775808"),
    (b"\x00\xff", "bin:0:AP8="),
    (Binary(b"\x00\xff", 128), "bin:128:AP8="),
    (uuid.UUID(int=1), "bin:4:AAAAAAAAAAAAAAAAAAAAAQ=="),
    (Timestamp(5, 6), "ts:5:6"),
    (Regex("^a:b", "mi"), "regex:im:^a:b"),
    (Code("f()"), "code:f()"),
    (Code("f()", {"x": 1}), 'scoped:["f()",{"x":"n:1"}]'),
    (MinKey(), "minkey:"),
    (MaxKey(), "maxkey:"),
    ({"b": 1.0, "a": {"c": [HEX, ObjectId(HEX)]}}, f'doc:{{"b":"n:1","a":{{"c":["s:{HEX}","{HEX}"]}}}}'),
    (DBRef("c", 1), 'doc:{"$ref":"c","$id":"n:1"}'),
    ([1], 'list:["n:1"]'),
]


@pytest.mark.parametrize(("value", "text"), FORMS, ids=lambda value: repr(value)[:40])
def test_every_type_of_id_has_its_own_text(value, text):
    assert document_id(value) == text


@pytest.mark.parametrize(("value", "text"), FORMS, ids=lambda value: repr(value)[:40])
def test_an_id_read_back_is_the_same_document(value, text):
    assert document_id(read(text)) == text


@pytest.mark.parametrize(
    "value", [HEX, "n:1", "", ObjectId(HEX), 7, 0.1, Decimal128("0.1"), None, True, Timestamp(1, 2)]
)
def test_an_id_read_back_is_the_value_itself(value):
    back = read(document_id(value))
    assert (type(back), back) == (type(value), value)


def _source_takes_them_for_equal(one, other) -> bool:
    """How the source compares two ids, written down once more without document_id's own means."""
    if exact(one) is not None and exact(other) is not None:
        return exact(one) == exact(other)
    if (exact(one) is None) != (exact(other) is None):
        return False
    one, other = (value.as_doc() if isinstance(value, DBRef) else value for value in (one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(map(_source_takes_them_for_equal, one.values(), other.values()))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_source_takes_them_for_equal, one, other))
    return id_json(one) == id_json(other)


IDS = st.one_of(VALUES, st.integers(-3, 3), st.sampled_from([value for value, _ in FORMS])).map(
    lambda value: decoded({"v": value})["v"]
)
FINITE_IDS = IDS.filter(lambda value: "NaN" not in id_json(value) and "Infinity" not in id_json(value))


@settings(deadline=None)
@given(FINITE_IDS, FINITE_IDS)
@example(1, 1.0)
@example(0.1, Decimal128("0.1"))
@example(2**53 + 1, float(2**53))
@example({"a": 1, "b": 2}, {"b": 2, "a": 1})
@example({"a": 1}, {"a": 1.0})
@example(HEX, ObjectId(HEX))
def test_two_ids_have_the_same_text_exactly_when_the_source_takes_them_for_equal(one, other):
    assert (document_id(one) == document_id(other)) == _source_takes_them_for_equal(one, other)


@settings(deadline=None)
@given(IDS)
def test_every_id_fits_and_comes_back(value):
    text = document_id(value)
    assert 0 < len(text.encode()) <= MAX_ID_BYTES
    if not text.startswith(HASHED):
        assert document_id(read(text)) == text


@settings(deadline=None)
@given(IDS)
def test_the_key_keeps_the_exact_stored_type(value):
    again = read_id_json(id_json(value))
    assert type(again) is type(value) or {type(again), type(value)} == {int, Int64}
    assert id_json(again) == id_json(value)


@pytest.mark.parametrize("letter", ["x", "é", "€", "😀"])
def test_a_long_id_becomes_a_hash_and_its_beginning_cut_at_a_character(letter):
    value = letter * 513
    text = document_id(value)
    head, _, prefix = text.removeprefix(HASHED).partition(":")
    assert len(head) == 64
    assert len(prefix) > 100
    assert value.startswith(prefix)
    assert MAX_ID_BYTES - 4 < len(text.encode()) <= MAX_ID_BYTES
    assert text != document_id(value + letter)


def test_an_id_of_exactly_512_bytes_is_kept_whole():
    assert document_id("é" * 256) == "é" * 256
    assert document_id("é" * 256 + "x").startswith(HASHED)


@pytest.mark.parametrize("text", ["h:0123:abc", ""])
def test_a_hashed_id_cannot_be_read_back(text):
    with pytest.raises(ValueError, match=r"_penstock\.id"):
        read(text)


@settings(deadline=None)
@given(TEXT, SCALARS)
def test_no_string_takes_the_text_of_another_type(text, other):
    assert isinstance(other, str) or document_id(document_id(other)) != document_id(other)
    assert document_id(text) != document_id(other) or text == other


NOT_UTF8 = ["\udcff", "a\udcfe", {"a": ["\udcff"]}, {"\udcff": 1}, "\udcff" * 600]


@pytest.mark.parametrize("source_id", NOT_UTF8)
def test_a_text_that_is_not_utf8_has_a_document_id_of_its_own(source_id: object) -> None:
    text, kept = document_id(source_id), id_json(source_id)
    assert text.isascii()
    assert read_id_json(kept) == source_id
    assert text != document_id("\ufffd")
    assert not can_be_asked_for(source_id)
    if source_id != {"\udcff": 1}:
        assert source_id_of(text, kept if text.startswith(HASHED) else None) == source_id
    assert not are_short([source_id])


@pytest.mark.parametrize(
    "text", ["n:abc", "n:", "d:x", "bin:a", "bin:1:x", "doc:5", "h:abc", "list:[]", "ts:1", "n:1.0"]
)
def test_an_id_that_nobody_can_have_is_foreign(text: str) -> None:
    assert source_id_of(text, None) is FOREIGN


@pytest.mark.parametrize(
    "text", ["n:99999999999999999999", "ts:99999999999:1", "bin:999:AA==", "date:99999999999999999999"]
)
def test_an_id_that_no_source_can_store_is_foreign(text: str) -> None:
    assert source_id_of(text, None) is FOREIGN


@pytest.mark.parametrize("kept", ["{", "[1]", '{"$oid": "x"}', "5", '{"$numberLong": "x"}', "null"])
def test_an_id_whose_kept_form_is_another_one_is_foreign(kept: str) -> None:
    assert source_id_of("h:abc", kept) is FOREIGN


def test_a_hash_without_the_id_that_it_was_made_of_is_hidden_and_not_foreign() -> None:
    text = document_id("x" * 600)
    assert source_id_of(text, None) is HIDDEN
    assert not can_be_asked_for(HIDDEN)
    assert source_id_of(text, id_json("x" * 600)) == "x" * 600
