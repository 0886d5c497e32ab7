"""Two documents compared: what counts as a difference, and how it is named."""

import orjson
import pytest

from penstock.operations.inspect.differences import differences

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
