"""The condition on a document: a subset of MongoDB's query language, with the answers of a `find`.

    { status = "paid", total = { "$gte" = 100 } }

Equality, $eq $ne $gt $gte $lt $lte $in $nin $exists $not, $and $or, dotted paths through documents and arrays. Any
other operator is refused by its name, at the start.
"""

import datetime as dt
import json
import math
import operator
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from bson import Binary, Code, DatetimeMS, Decimal128, ObjectId, Regex, Timestamp, json_util

from penstock.documents.bson_json import decimal, milliseconds
from penstock.errors import SettingsError
from penstock.model import BsonDocument

Condition = Callable[[BsonDocument], bool]
"""Whether a document meets a condition."""

_Test = Callable[[Sequence[Any]], bool]
"""Whether the values that a path leads to meet a condition; MISSING stands where there is none."""

_MISSING = object()
_NAN = ("number", "NaN")

_ORDERED = frozenset({"number", "text", "date", "ObjectId", "bool", "timestamp", "null"})
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
_OPERATORS = ("$eq", "$ne", *_COMPARISONS, "$in", "$nin", "$exists", "$not")


def condition_of(where: Mapping[str, Any] | str | None) -> Condition:
    """Return the condition that the settings declare, as a table or as extended JSON. Raises SettingsError."""
    if where is None:
        return lambda _: True
    try:
        read = json_util.loads(as_text(where))
    except (ValueError, TypeError) as error:
        raise SettingsError(f"where is not extended JSON: {error}") from None
    return _all_of(read)


def as_text(where: Mapping[str, Any] | str) -> str:
    """Return a condition as extended JSON. Raises TypeError."""
    return where if isinstance(where, str) else json.dumps(where, default=_as_extended)


def _as_extended(value: Any) -> Any:
    """Return a date of TOML as extended JSON."""
    if not isinstance(value, dt.datetime):
        raise TypeError(f"{value!r} is no date with a time; write it as 2026-11-29T00:00:00Z")
    return {"$date": {"$numberLong": str(milliseconds(value))}}


def _all_of(condition: Any) -> Condition:
    if not isinstance(condition, dict):
        raise SettingsError("where: a condition must be a table of fields and what they are compared with")
    parts = [_part(name, value) for name, value in condition.items()]
    return lambda document: all(part(document) for part in parts)


def _part(name: str, value: Any) -> Condition:
    if name in ("$and", "$or"):
        if not isinstance(value, list) or not value:
            raise SettingsError(f"where: {name} must have a list of conditions")
        parts = [_all_of(each) for each in value]
        every = all if name == "$and" else any
        return lambda document: every(part(document) for part in parts)
    if name.startswith("$"):
        raise _unsupported(name, ("$and", "$or"))
    path, test = name.split("."), _test(value)
    return lambda document: test(list(_values(document, path)))


def _test(value: Any) -> _Test:
    if not (isinstance(value, dict) and any(name.startswith("$") for name in value)):
        return _equals(value)
    tests = [_of_operator(name, operand) for name, operand in value.items()]
    return lambda values: all(test(values) for test in tests)


def _of_operator(name: str, operand: Any) -> _Test:
    match name:
        case "$eq":
            return _equals(operand)
        case "$ne":
            return _inverted(_equals(operand))
        case "$in" | "$nin":
            if not isinstance(operand, list):
                raise SettingsError(f"where: {name} must have a list of values")
            test = _any_of([_equals(each) for each in operand])
            return test if name == "$in" else _inverted(test)
        case "$exists":
            exists: _Test = lambda values: any(each is not _MISSING for each in values)  # noqa: E731
            return exists if operand else _inverted(exists)
        case "$not":
            if not isinstance(operand, dict) or not operand or not all(each.startswith("$") for each in operand):
                raise SettingsError("where: $not must have a table of operators")
            return _inverted(_test(operand))
        case _ if name in _COMPARISONS:
            return _compares(name, operand)
    raise _unsupported(name, _OPERATORS)


def _unsupported(name: str, known: Sequence[str]) -> SettingsError:
    return SettingsError(f"where: {name} is not supported here; supported are {', '.join(known)}")


def _inverted(test: _Test) -> _Test:
    return lambda values: not test(values)


def _any_of(tests: Sequence[_Test]) -> _Test:
    return lambda values: any(test(values) for test in tests)


def _equals(operand: Any) -> _Test:
    if isinstance(operand, Regex):
        raise _unsupported("$regex", _OPERATORS)
    wanted = _comparable(operand)
    return lambda values: any(_comparable(each) == wanted for each in values)


def _compares(name: str, operand: Any) -> _Test:
    """Compare with values of the same type alone, as the source does."""
    kind, wanted = _comparable(operand)
    if kind not in _ORDERED:
        raise SettingsError(f"where: {name} compares numbers, texts, dates, ObjectIds and the like; {kind} it cannot")
    compare, or_equal = _COMPARISONS[name], name in ("$gte", "$lte")

    def holds(value: Any) -> bool:
        its, found = _comparable(value)
        if its != kind:
            return False
        if kind == "null" or _NAN in ((its, found), (kind, wanted)):
            return or_equal and found == wanted
        return compare(found, wanted)

    return lambda values: any(holds(each) for each in values)


def _values(value: Any, path: Sequence[str]) -> Iterator[Any]:
    """Yield what a path leads to: every element of an array on the way, and an array at its end with its elements."""
    for place, name in enumerate(path):
        if isinstance(value, list):
            yield from _values_within(value, path[place:])
            return
        value = value.get(name, _MISSING) if isinstance(value, dict) else _MISSING
    if isinstance(value, list):
        yield from value
    yield value


def _values_within(array: list[Any], path: Sequence[str]) -> Iterator[Any]:
    for place, each in enumerate(array):
        if isinstance(each, dict):
            yield from _values(each, path)
        if path[0] == str(place):
            if len(path) == 1:
                yield from _values(each, ())
            elif isinstance(each, dict | list):
                yield from _values(each, path[1:])


def _comparable(value: Any) -> tuple[str, Any]:
    """Return the kind of a value, and what tells it from others of that kind; a missing one is null."""
    if value is None or value is _MISSING:
        return "null", None
    return next((form(value) for kind, form in _FORMS if isinstance(value, kind)), (type(value).__name__, value))


def _number(value: float | Decimal) -> tuple[str, Any]:
    is_nan = value.is_nan() if isinstance(value, Decimal) else math.isnan(value)
    return _NAN if is_nan else ("number", value)


def _binary(value: bytes) -> tuple[str, Any]:
    return "binary", (value.subtype if isinstance(value, Binary) else 0, bytes(value))


_FORMS: tuple[tuple[Any, Callable[[Any], tuple[str, Any]]], ...] = (
    (bool, lambda value: ("bool", value)),
    (int | float, _number),
    (Decimal128, lambda value: _number(decimal(value))),
    (Code, lambda value: ("code", (str(value), value.scope))),
    (str, lambda value: ("text", value)),
    (DatetimeMS | dt.datetime, lambda value: ("date", milliseconds(value))),
    (ObjectId, lambda value: ("ObjectId", value)),
    (Timestamp, lambda value: ("timestamp", value)),
    (bytes, _binary),
    (uuid.UUID, lambda value: ("binary", (4, value.bytes))),
    (dict, lambda value: ("document", tuple((name, _comparable(each)) for name, each in value.items()))),
    (list, lambda value: ("array", tuple(map(_comparable, value)))),
    (Regex, lambda value: ("regular expression", (value.pattern, value.flags))),
)
"""Each kind of value of BSON, the narrower one first: a bool is an int to Python, and Code is a str."""
