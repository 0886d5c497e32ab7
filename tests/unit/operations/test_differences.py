"""Two documents compared: what counts as a difference, and how it is named."""

import orjson
import pytest

from penstock.operations.inspect.differences import NotCompared, differences

WANTED = {"a": 1, "b": {"c": [1, {"d": True}], "e": None}, "f": "x"}


def test_the_order_of_fields_does_not_count() -> None:
    assert differences(orjson.dumps(WANTED), dict(reversed(WANTED.items()))) == []
    assert differences(b'{"n":12.50}', {"n": 12.5}) == []


@pytest.mark.parametrize(
    ("indexed", "names"),
    [
        ({**WANTED, "a": True}, ["a"]),
        ({**WANTED, "a": 1.0}, ["a"]),
        ({**WANTED, "b": {"c": [1, {"d": 1}], "e": None}}, ["b.c"]),
        ({**WANTED, "b": {"c": [1, {"d": True}]}}, ["b.e"]),
        ({**WANTED, "b": 5, "g": None}, ["b", "g"]),
        ({}, ["a", "b", "f"]),
    ],
)
def test_differing_fields_are_named_with_their_paths(indexed: dict, names: list[str]) -> None:
    assert differences(orjson.dumps(WANTED), indexed) == names


def test_a_field_that_the_document_was_left_without_is_no_difference() -> None:
    without = {"a": 1, "b": WANTED["b"], "_penstock": {"left_out": ["f"]}}
    assert differences(orjson.dumps(WANTED), without) == []
    assert differences(orjson.dumps(WANTED), {**without, "a": 2}) == ["a"]


@pytest.mark.parametrize(
    ("named", "source", "names"),
    [
        (("b",), {}, ["a"]),
        (("b.c",), {}, ["a", "b.e"]),
        (("*",), {}, []),
        (("a*", "b.*"), {}, []),
        ((), {"excludes": ["b"]}, ["a"]),
        ((), {"includes": ["b.e"]}, ["b.e"]),
        (("b.e",), {"includes": ["b"], "excludes": ["f"]}, ["b.c"]),
        ((), {"enabled": False}, []),
        ((), {"enabled": "false"}, []),
        (("A",), {"enabled": True}, ["a", "b.c", "b.e"]),
    ],
)
def test_what_is_not_to_be_compared_is_no_difference(
    named: tuple[str, ...], source: dict[str, object], names: list[str]
) -> None:
    indexed = {**WANTED, "a": 2, "b": {"c": [1, {"d": False}], "e": 1}}
    not_compared = NotCompared.of(named, {"_source": source})
    assert differences(orjson.dumps(WANTED), indexed, not_compared) == names


def test_what_is_left_empty_by_that_is_no_difference_either() -> None:
    not_compared = NotCompared(("a.b", "l.x"))
    assert differences(b'{"a":{"b":1},"l":[{"x":1},{"y":2}]}', {"a": {}, "l": [{"y": 2}]}, not_compared) == []
    assert differences(b'{"l":[{"x":1},{"y":2}]}', {"l": [{"y": 3}]}, not_compared) == ["l"]
