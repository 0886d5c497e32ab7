"""A collection cut into slices of `_id`."""

import math
from datetime import datetime

import bson
import pytest
from bson import Binary, Decimal128, Int64, MaxKey, MinKey, ObjectId, Timestamp

from penstock.errors import PositionLost
from penstock.mongo.id_ranges import BRACKETS, IdSlice, LoadProgress, slices

ALL = range(len(BRACKETS))
NUMBER = next(number for number, each in enumerate(BRACKETS) if each.name == "number")
STRING = next(number for number, each in enumerate(BRACKETS) if each.name == "string")


def asked(part):
    """What a load asks for in one slice, bracket by bracket, each from its start."""
    return [
        BRACKETS[number].filter(part.start if number == part.start.bracket else LoadProgress(number), part.end)["_id"]
        for number in part.brackets
        if not (number == part.start.bracket and part.start.begun and BRACKETS[number].way != "steps")
    ]


def test_slices_follow_each_other_without_a_gap():
    first, second, third = slices(range(NUMBER, NUMBER + 1), [10, 20.5])
    assert asked(first) == [{"$gte": -math.inf, "$lte": 10}]
    assert asked(second) == [{"$gt": 10, "$lte": 20.5}]
    assert asked(third) == [{"$gt": 20.5}]


def test_a_slice_goes_on_into_the_next_bracket():
    first, second, third = slices(range(NUMBER, STRING + 1), [10, "k"])
    assert asked(first) == [{"$gte": -math.inf, "$lte": 10}]
    assert asked(second) == [{"$gt": 10}, {"$gte": "", "$lte": "k"}]
    assert asked(third) == [{"$gt": "k"}]


def test_without_bounds_there_is_one_slice_and_without_documents_none():
    (whole,) = slices(ALL, [])
    assert whole.brackets == ALL
    assert slices(range(0), [5]) == []


@pytest.mark.parametrize(
    "bound",
    [math.nan, Decimal128("NaN"), None, True, MinKey(), MaxKey(), "\udcff", "x" * 5000],
    ids=lambda bound: repr(bound)[:20],
)
def test_a_slice_does_not_end_at_what_is_no_bound(bound):
    assert slices(ALL, [bound]) == slices(ALL, [])


def test_bounds_of_brackets_that_were_passed_are_left_out():
    assert slices(ALL, ["k", 5]) == slices(ALL, ["k"])


def test_bounds_in_any_order_leave_no_document_out():
    parts = slices(range(NUMBER, NUMBER + 1), [20, 10, 30])
    for number in range(40):
        where = [
            part
            for part in parts
            if (not part.start.begun or number > part.start.after) and (not part.end.begun or number <= part.end.after)
        ]
        assert where, f"{number} is in no slice"


@pytest.mark.parametrize(
    "bound",
    [
        *(
            1,
            Int64(5),
            2.5,
            Decimal128("3.10"),
            "a\nb",
            {"a": [1, None]},
            Binary(b"\0\n", 128),
            ObjectId("5bb1f2a0c0ffee0000000001"),
        ),
        *(datetime(1950, 1, 1), Timestamp(4, 7)),
    ],
    ids=repr,
)
def test_a_slice_comes_back_from_its_text(bound):
    for part in slices(ALL, [bound]):
        again = IdSlice.of(part.text())
        assert (again.start.bracket, again.start.begun, again.end.bracket) == (
            part.start.bracket,
            part.start.begun,
            part.end.bracket,
        )
        assert bson.encode({"_": again.end.after}) == bson.encode({"_": part.end.after})
    assert len(slices(ALL, [bound])) == 2


def test_another_text_is_no_slice():
    with pytest.raises(PositionLost):
        IdSlice.of("no slice")
