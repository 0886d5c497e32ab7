"""What `where` refuses, and how values are written in the settings."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from bson import Decimal128, ObjectId

from penstock.errors import SettingsError
from penstock.reactions.where import condition_of


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"a": {"$regex": "x"}}, "$regex is not supported here; supported are $eq"),
        ({"a": {"$elemMatch": {"b": 1}}}, "$elemMatch is not supported"),
        ({"$expr": {}}, "$expr is not supported here; supported are $and, $or"),
        ({"$nor": [{"a": 1}]}, "$nor is not supported"),
        ({"a": {"$gt": 1, "b": 2}}, "b is not supported"),
        ({"a": {"$not": 3}}, "$not must have a table of operators"),
        ({"a": {"$in": 3}}, "$in must have a list"),
        ({"$or": []}, "$or must have a list"),
        ({"a": {"$gt": [1]}}, "array it cannot"),
        ({"a": date(2026, 1, 1)}, "no date with a time"),
        ("[1]", "a condition must be a table"),
        ("{", "is not extended JSON"),
    ],
)
def test_what_is_not_supported_is_named(where, said):
    with pytest.raises(SettingsError, match="where") as raised:
        condition_of(where)
    assert said in str(raised.value)


def test_a_date_of_toml_and_extended_json_are_values_of_bson():
    moment, oid = datetime(2026, 1, 1, tzinfo=UTC), "507f1f77bcf86cd799439011"
    stored = {"at": datetime(2026, 1, 1), "by": ObjectId(oid), "gone": None}
    assert condition_of({"at": {"$lte": moment}})(stored)
    assert not condition_of({"at": {"$lt": moment}})(stored)
    assert condition_of({"by": {"$oid": oid}})(stored)
    assert condition_of('{"gone": null, "missing": null}')(stored)


def test_no_condition_is_met_by_everything():
    assert condition_of(None)({})


def test_a_signalling_nan_is_a_number_like_any_other_nan():
    stored = {"a": Decimal128(Decimal("sNaN"))}
    assert not condition_of({"a": {"$gt": 1}})(stored)
    assert condition_of({"a": {"$ne": 1}})(stored)
