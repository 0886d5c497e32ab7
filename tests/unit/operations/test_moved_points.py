"""Points out of range, in every form that a `geo_point` takes."""

from typing import Any

import pytest

from penstock.operations.explain.moved_points import moved_points

MAPPING = {
    "properties": {
        "at": {"type": "geo_point"},
        "in": {"properties": {"at": {"type": "geo_point"}}},
        "text": {"type": "keyword", "fields": {"at": {"type": "geo_point"}}},
        "number": {"type": "double"},
    }
}


@pytest.mark.parametrize(
    "value",
    [
        {"lat": 113, "lon": 52.5},
        {"lat": "113", "lon": "52.5"},
        {"type": "Point", "coordinates": [52.5, 113]},
        [52.5, 113],
        [52.5, 113, 7],
        [[11, 48], [52.5, -113]],
        [{"lat": 1, "lon": 181}],
        "113,52.5",
    ],
)
def test_a_point_out_of_range_is_named(value: Any) -> None:
    assert moved_points(MAPPING, {"at": value, "number": 500}) == ("at",)
    assert moved_points(MAPPING, {"in": [{"at": value}]}) == moved_points(MAPPING, {"in.at": value}) == ("in.at",)
    assert moved_points(MAPPING, {"text": value}) == ("text.at",)


@pytest.mark.parametrize(
    "value",
    [{"lat": 90, "lon": -180}, [180, -90], "48.1,11.5", "u4pruyd", {"lat": None, "lon": 1}, None, 5, [], "a,b", {}],
)
def test_any_other_value_is_not(value: Any) -> None:
    assert moved_points(MAPPING, {"at": value}) == ()
