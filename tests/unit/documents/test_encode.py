import json
import re
import uuid
from collections import Counter
from datetime import datetime, timedelta, timezone
from decimal import Context, Decimal

import bson
import pytest
from bson import Binary, Code, DatetimeMS, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock.documents.document_id import document_id, id_json
from penstock.documents.encode import encode, encode_all
from penstock.documents.field_names import MAX_DEPTH, RESERVED
from penstock.documents.rewrite import encode_rewritten
from penstock.errors import DocumentError
from penstock.mongo.codec import CODEC
from testkit.bson_values import DOCUMENTS, VALUES, decoded, nested

HEX = "65a0f1c2d3e4f5061728394a"
NAN = float("nan")
UUID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")

FORMS = [
    (ObjectId(HEX), f'"{HEX}"'),
    (datetime(2024, 1, 2, 3, 4, 5, 678000), '"2024-01-02T03:04:05.678000Z"'),
    (datetime(2024, 1, 2), '"2024-01-02T00:00:00.000000Z"'),
    (datetime(1, 1, 1), '"0001-01-01T00:00:00.000000Z"'),
    (datetime(1900, 1, 1, 0, 0, 0, 1000), '"1900-01-01T00:00:00.001000Z"'),
    (DatetimeMS(253402300800000), '"+10000-01-01T00:00:00.000000Z"'),
    (DatetimeMS(-62135596800001), '"0000-12-31T23:59:59.999000Z"'),
    (DatetimeMS(-62167219200001), '"-0001-12-31T23:59:59.999000Z"'),
    (DatetimeMS(2**63 - 1), '"+292278994-08-17T07:12:55.807000Z"'),
    (DatetimeMS(-(2**63)), '"-292275055-05-16T16:47:04.192000Z"'),
    (Decimal128("12.50"), "12.50"),
    (Decimal128("5"), "5.0"),
    (Decimal128("-0"), "-0.0"),
    (Decimal128("1E+3"), "1E+3"),
    (Decimal128("0.1234567890123456789012345678901234"), "0.1234567890123456789012345678901234"),
    (Decimal128("123456789012345678901234567890"), "123456789012345678901234567890.0"),
    (5, "5"),
    (Int64(2**63 - 1), "9223372036854775807"),
    (Int64(-(2**63)), "-9223372036854775808"),
    (5.0, "5.0"),
    (1e300, "1e+300"),
    (b"\x00\xff", '"AP8="'),
    (Binary(b"\x00\xff", 128), '"AP8="'),
    (Binary(UUID.bytes, 4), f'"{UUID}"'),
    (Binary(UUID.bytes, 3), f'"{UUID}"'),
    (Timestamp(5, 6), '{"t":5,"i":6}'),
    (Regex("^a/b", "mi"), '"/^a/b/im"'),
    (Code("f()"), '"f()"'),
    (Code("f()", {"x": 1}), '"f()"'),
    (MinKey(), '"MinKey"'),
    (MaxKey(), '"MaxKey"'),
    (DBRef("c", ObjectId(HEX), "d"), f'{{"$ref":"c","$id":"{HEX}","$db":"d"}}'),
    ([[1, [2]], [], [{"a": None}]], '[[1,[2]],[],[{"a":null}]]'),
    (None, "null"),
    (True, "true"),
    ("é\n", '"é\\n"'),
]


def plain(body: bytes):
    """The JSON with numbers as decimals; a name twice, or NaN, is no JSON for the index."""

    def document(pairs):
        names = [name for name, _ in pairs]
        assert len(set(names)) == len(names), names
        return dict(pairs)

    def refuse(constant):
        raise AssertionError(constant)

    return json.loads(body, object_pairs_hook=document, parse_float=Decimal, parse_int=Decimal, parse_constant=refuse)


@pytest.mark.parametrize("way", [encode, encode_rewritten])
@pytest.mark.parametrize(("value", "form"), FORMS, ids=lambda value: repr(value)[:40])
def test_every_bson_type_has_one_form(value, form, way):
    assert way(decoded({"f": value, "in": [{"f": [value]}]})).decode() == f'{{"f":{form},"in":[{{"f":[{form}]}}]}}'


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        (NAN, "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (Decimal128("NaN"), "NaN"),
        (Decimal128("sNaN"), "NaN"),
        (Decimal128("-Infinity"), "-Infinity"),
        (Decimal128("1E+6000"), "1E+6000"),
        (Decimal128("1.79769313486231581E+308"), "1.79769313486231581E+308"),
    ],
)
def test_numbers_that_json_cannot_hold_are_null_and_told_beside(value, spelled):
    body = plain(encode(decoded({"a": {"n": value}, "l": [[1.5, value], {"n": value}], "all": [value, value]})))
    assert body == {
        "a": {"n": None},
        "l": [[Decimal("1.5"), None], {"n": None}],
        "all": [None, None],
        "_penstock": {"not_finite": [f"{path}={spelled}" for path in ("a.n", "l", "l.n", "all")]},
    }


@pytest.mark.parametrize(
    "place", [[NAN], [1, NAN], [1.5, float("inf"), -float("inf")], ["x", NAN], [[NAN]], {"d": [NAN]}]
)
def test_a_number_that_json_cannot_hold_is_seen_wherever_it_is(place):
    assert "_penstock" in plain(encode({"p": place}))


IMPOSSIBLE = Decimal128.from_bid(b"\xff" * 14 + b"\x41\x30")
"""A decimal of more digits than it may have, which is 0 by IEEE 754 and an error to pymongo."""


def test_a_decimal_of_impossible_bits_is_zero():
    with pytest.raises(ArithmeticError):
        IMPOSSIBLE.to_decimal()
    assert encode({"d": IMPOSSIBLE, "": [IMPOSSIBLE]}) == b'{"d":0.0,"_":[0.0]}'
    assert document_id(IMPOSSIBLE) == "n:0"
    assert id_json(IMPOSSIBLE) == '"n:0"'


def test_the_largest_finite_numbers_stay_numbers():
    assert encode(
        {"a": 1.7976931348623157e308, "b": [1.7e308, 1.7e308], "c": Decimal128("1.7976931348623157E+308")}
    ) == (b'{"a":1.7976931348623157e+308,"b":[1.7e+308,1.7e+308],"c":1.7976931348623157E+308}')


@pytest.mark.parametrize(
    ("document", "names"),
    [
        ({"": 1}, ["_"]),
        ({" \t": 1}, ["_"]),
        ({".": 1}, ["_._"]),
        ({".a": 1}, ["_.a"]),
        ({"a.": 1}, ["a._"]),
        ({"a..b": 1}, ["a._.b"]),
        ({"a.b": 1, "a.c": 2}, ["a.b", "a.c"]),
        ({"a.b": 1, "a": 2}, ["a_b", "a"]),
        ({"a": {"b": 2}, "a.b": 1}, ["a", "a_b"]),
        ({"a.b": 1, "a.b.c": 2}, ["a.b", "a_b_c"]),
        ({"a.b": 1, "a": 2, "a_b": 3}, ["_a_b", "a", "a_b"]),
        ({"": 1, "_": 2}, ["__", "_"]),
        ({"_": 1, "": 2, " ": 3}, ["_", "__", "___"]),
        ({"": 1, "_": 2, "__.x": 3}, ["___", "_", "__.x"]),
        ({"_._": 1, "___.": 2, "": 3}, ["____", "___._", "_"]),
        ({"_id": 1}, ["__id"]),
        ({"_source": 1, "__source": 2}, ["___source", "__source"]),
        ({"_id.x": 1}, ["__id.x"]),
        ({"_soft_deletes": 1}, ["___soft_deletes"]),
        ({"_penstock": 1}, ["__penstock"]),
        ({"__v": 1, "_class": 2, "$ref": 3, " a": 4}, ["__v", "_class", "$ref", " a"]),
        ({".".join("abcdefghijklmnopqrstu"): 1}, ["a_b_c_d_e_f_g_h_i_j_k_l_m_n_o_p_q_r_s_t_u"]),
        ({".".join("abcdefghijklmnopqrst"): 1}, ["a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t"]),
    ],
)
def test_names_that_the_index_refuses_are_mapped_and_no_value_is_lost(document, names):
    body = plain(encode(document))
    assert list(body) == names
    assert list(body.values()) == list(document.values())


def test_reserved_names_are_reserved_at_the_top_only():
    assert encode({"a": {"_id": 1, "_source": {"_penstock": 2}}}) == b'{"a":{"_id":1,"_source":{"_penstock":2}}}'


def test_a_very_long_name_is_cut_and_stays_apart_from_its_neighbour():
    names = list(plain(encode({"é" * 300 + "1": 1, "é" * 300 + "2": 2})))
    assert [len(name.encode()) <= 512 for name in names] == [True, True]
    assert len(set(names)) == 2


@pytest.mark.parametrize("array", [False, True])
def test_what_lies_too_deep_is_kept_as_text_of_its_extended_json(array):
    value = nested({"": NAN, "at": datetime(2024, 1, 2)}, MAX_DEPTH if array else MAX_DEPTH - 1, array=array)
    body = plain(encode({"a": 1, "top": nested(value, 1, array=array)}))
    text = body.pop("top")
    for _ in range(MAX_DEPTH if array else MAX_DEPTH - 1):
        text = text[0] if array else text["d"]
    assert '"": {"$numberDouble": "NaN"}' in text
    assert '"$date": "2024-01-02T00:00:00Z"' in text
    assert body == {"a": 1}


@pytest.mark.parametrize("leaf", [1, "x", [], {}, 1.5, datetime(2024, 1, 2)], ids=repr)
@pytest.mark.parametrize("levels", range(MAX_DEPTH - 2, MAX_DEPTH + 3))
@pytest.mark.parametrize("array", [False, True])
def test_both_ways_agree_on_where_it_is_too_deep(array, levels, leaf):
    document = {"a": nested(leaf, levels, array=array)}
    assert encode(document) == encode_rewritten(document)


def test_twenty_levels_are_kept_as_they_are():
    assert plain(encode(nested(1, MAX_DEPTH))) == nested(1, MAX_DEPTH)
    assert plain(encode({"a": nested(1, MAX_DEPTH, array=True)})) == {"a": nested(1, MAX_DEPTH, array=True)}


def test_the_key_of_a_long_id_is_kept_beside():
    assert encode({"a": 1}, '"xyz"') == b'{"a":1,"_penstock":{"id":"\\"xyz\\""}}'


def test_text_that_is_no_unicode_is_mended():
    assert plain(encode({"a\ud800": ["x\udfff", "\ud83d\ude00"]})) == {"a\ufffd": ["x\ufffd", "😀"]}
    stored = b"\x10\x00\x00\x00\x02a\x00\x04\x00\x00\x00\xed\xa0\x80\x00\x00"
    assert plain(encode(bson.decode(stored, CODEC))) == {"a": "\ufffd\ufffd\ufffd"}


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (Decimal("1.10"), "1.10"),
        (UUID, f'"{UUID}"'),
        (("a", 1), '["a",1]'),
        (Binary(b"short", 4), '"c2hvcnQ="'),
        (2**64, "18446744073709551616.0"),
        (datetime(2024, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))), '"2024-01-02T01:00:00.000000Z"'),
        (datetime(2024, 1, 2, 3, 4, 5, 678901), '"2024-01-02T03:04:05.678000Z"'),
    ],
)
def test_what_only_a_function_can_add_has_a_form_too(value, form):
    assert encode({"f": value}).decode() == f'{{"f":{form}}}'


@settings(deadline=None)
@given(st.integers(-(10**34) + 1, 10**34 - 1), st.integers(-9, 3))
@example(-1, -6)
@example(10**34 - 1, -1)
def test_a_decimal_keeps_all_its_digits(coefficient, exponent):
    value = Decimal(coefficient).scaleb(exponent, Context(prec=34))
    (text,) = re.fullmatch(rb'\{"d":(.+)\}', encode({"d": Decimal128(value)})).groups()
    expected = str(value)
    assert text.decode() == (expected if "." in expected or "E" in expected else f"{expected}.0")


@pytest.mark.parametrize("value", [{1, 2}, object(), 1j])
def test_a_value_without_a_form_is_the_documents_error_and_is_not_shown(value):
    with pytest.raises(DocumentError, match=f"type {type(value).__name__}") as caught:
        encode({"secret": "hunter2", "f": value})
    assert "hunter2" not in str(caught.value)


def test_a_value_within_itself_is_the_documents_error():
    document = {}
    document["self"] = [document]
    with pytest.raises(DocumentError, match="cannot be encoded"):
        encode(document)


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS)
@example({"a.b": 1, "a": 2})
def test_the_fast_way_and_the_careful_way_agree(document):
    assert encode(document) == encode_rewritten(document)


@settings(max_examples=200, deadline=None)
@given(st.lists(DOCUMENTS, max_size=4))
@example([{"at": datetime(2024, 1, 2, 3, 4, 5, 678000)}, {"at": datetime(2024, 1, 2)}])
@example([{"a": 1.5}, {"a": NAN}])
@example([{"a": [1, {"b": 2}]}, {"a": [1, {"": 2}]}])
@example([{"a": 1, "b": 2}, {"b": NAN, "a": 3}])
@example([{"a": 1, "b": 2}, {"a": 1, "": 2}])
@example([{"a": 1, "b": 2}, {"a": 1, "b": 2, "c": NAN}])
def test_many_at_once_become_what_each_becomes_alone(documents):
    assert encode_all(documents) == [encode(document) for document in documents]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.fixed_dictionaries({"a": VALUES, "b": st.fixed_dictionaries({"c": VALUES})}), max_size=4))
def test_many_of_one_form_become_what_each_becomes_alone(documents):
    documents = [decoded(each) for each in documents]
    assert encode_all(documents) == [encode(document) for document in documents]


def test_a_document_that_cannot_be_encoded_does_not_harm_those_around_it():
    first, second, third = encode_all([{"a": 1}, {"a": object()}, {"a": 2}])
    assert (first, third) == (b'{"a":1}', b'{"a":2}')
    assert isinstance(second, DocumentError)


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS)
def test_any_document_becomes_one_that_the_index_takes_without_losing_a_value(document):
    body = plain(encode(document))
    own = body.pop("_penstock", {})
    assert not [name for name in body if name.split(".")[0] in RESERVED]
    _check_names(body, 1)
    if not _is_too_deep(document, 1, 0):
        kinds, expected = Counter(), Counter()
        _count(body, kinds)
        _count(document, expected)
        assert kinds == expected
    assert set(own) <= {"not_finite"}


@settings(deadline=None)
@given(st.integers(-(2**63), 2**63 - 1))
@example(-62135596800000)
@example(253402300799999)
def test_the_text_of_a_date_sorts_and_reads_back(moment):
    (document,) = bson.decode_all(bson.encode({"d": DatetimeMS(moment)}), CODEC)
    text = plain(encode(document))["d"]
    year = int(text[: text.index("-", 1)])
    assert text.endswith("000Z")
    cycles = year // 400 - 5
    within = datetime.fromisoformat(f"{year - 400 * cycles:04}{text[text.index('-', 1) : -1]}")
    days = 146_097 * cycles
    assert (within - datetime(1970, 1, 1)) // timedelta(milliseconds=1) + days * 86_400_000 == moment


def _check_names(value, level):
    if isinstance(value, list):
        for inner in value:
            _check_names(inner, level)
    if not isinstance(value, dict):
        return
    assert level <= MAX_DEPTH
    for name, inner in value.items():
        pieces = name.split(".")
        assert all(piece.strip("".join(map(chr, range(33)))) for piece in pieces), name
        assert len(name.encode()) <= 512
        assert level + len(pieces) - 1 <= MAX_DEPTH
        assert not any(".".join(pieces[:count]) in value for count in range(1, len(pieces))), name
        _check_names(inner, level + len(pieces))


def _is_too_deep(value, level, arrays):
    if isinstance(value, DBRef | Timestamp):
        value = {"$ref": 1}
    if isinstance(value, dict):
        deepest = [level + name.count(".") for name in value]
        return level > MAX_DEPTH or any(_is_too_deep(inner, max(deepest) + 1, arrays) for inner in value.values())
    if isinstance(value, list):
        return arrays >= MAX_DEPTH or any(_is_too_deep(inner, level, arrays + 1) for inner in value)
    return False


def _count(value, found: Counter):
    """Count the leaves, documents and arrays."""
    if isinstance(value, DBRef):
        value = value.as_doc()
    if isinstance(value, Timestamp):
        value = {"t": value.time, "i": value.inc}
    if isinstance(value, dict | list):
        found["document" if isinstance(value, dict) else "array"] += 1
        for inner in value.values() if isinstance(value, dict) else value:
            _count(inner, found)
    else:
        found["leaf"] += 1
