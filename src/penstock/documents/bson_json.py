"""The JSON form of every BSON value that JSON does not have; docs/bson.md is this table for people."""

import datetime as dt
import math
import re
import uuid
from base64 import b64encode
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import orjson
from bson import Binary, Code, DatetimeMS, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp

NATIVE = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
OWN_DATES = NATIVE | orjson.OPT_PASSTHROUGH_DATETIME
# Types that orjson or `json_form` writes correctly whatever they contain, or stops at.
ATOMS = frozenset(
    {str, int, bool, type(None), ObjectId, Int64, bytes, Binary, Decimal128, Regex, Code, MinKey, MaxKey, DatetimeMS}
)
NUMBERS = frozenset({int, float, Int64})

_EPOCH = dt.datetime(1970, 1, 1)
_MILLISECOND = dt.timedelta(milliseconds=1)
_CYCLE_MS = 146_097 * 86_400_000  # the calendar repeats every 400 years
_EXPONENT_BIAS, _COEFFICIENT, _MOST_COEFFICIENT = 6176, (1 << 113) - 1, 10**34 - 1  # of IEEE 754 decimal128
_FLAGS = {"i": re.I, "l": re.L, "m": re.M, "s": re.S, "u": re.U, "x": re.X}


class NotFiniteError(ValueError):
    """The value is not a JSON number: NaN, an infinity, or beyond the range of a double."""


def json_form(value: Any) -> Any:
    """Return the value's JSON form, which may be a document with values that need one too.

    Raises NotFiniteError, and TypeError for a type that is neither BSON's nor JSON's.
    """
    form = FORMS.get(value.__class__)
    if form is not None:
        return form(value)
    for kind, inherited in FORMS.items():
        if isinstance(value, kind):
            return inherited(value)
    raise TypeError(f"a value of type {type(value).__name__} cannot be written as JSON")


def not_finite(value: Any) -> str | None:
    """Return the text for a number that JSON does not have, None for any other value."""
    if isinstance(value, float):
        return None if math.isfinite(value) else _spell(Decimal(value))
    if isinstance(value, int) and not isinstance(value, bool) and not _is_long(value):
        value = Decimal(value)
    if isinstance(value, Decimal128):
        value = decimal(value)
    return _spell(value) if isinstance(value, Decimal) and not _fits_double(value) else None


def milliseconds(value: dt.datetime | DatetimeMS) -> int:
    """Return a date as milliseconds since 1970; one without a zone is UTC."""
    if isinstance(value, DatetimeMS):
        return int(value)
    naive = value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo else value
    return (naive - _EPOCH) // _MILLISECOND


def decimal(value: Decimal128) -> Decimal:
    """Return the exact number; bits that no driver should have written mean 0, as in IEEE 754."""
    try:
        return value.to_decimal()
    except ArithmeticError:
        return Decimal(0)


def regex_pattern(value: "Regex[Any]") -> str:
    """Return the pattern of a regular expression as text."""
    pattern = value.pattern
    return pattern if isinstance(pattern, str) else pattern.decode("utf-8", "replace")


def regex_flags(value: "Regex[Any]") -> str:
    """Return the options of a regular expression, in the source's letters."""
    return "".join(letter for letter, flag in _FLAGS.items() if value.flags & flag)


def _date(value: dt.datetime) -> Any:
    """Write six digits of a second, of which the last three are always 0.

    Nothing else writes dates this way, so an index that accepts only this form finds no dates in other strings.
    """
    if value.tzinfo is not None or value.microsecond % 1000:
        return _any_date(value)
    written = orjson.dumps(value, None, NATIVE)
    return orjson.Fragment(written if value.microsecond else written[:-2] + b'.000000Z"')


def _any_date(value: dt.datetime | DatetimeMS) -> str:
    cycles, rest = divmod(milliseconds(value), _CYCLE_MS)
    within = _EPOCH + rest * _MILLISECOND
    year = within.year + 400 * cycles
    sign = "-" if year < 0 else "+" if year > 9999 else ""
    return f"{sign}{abs(year):04}{within.isoformat(timespec='microseconds')[4:]}Z"


def _number(value: Decimal) -> orjson.Fragment:
    """Write all digits, always as a fraction: for `5` the index would map an integer field, and refuse longer ones."""
    if not _fits_double(value):
        raise NotFiniteError
    text = str(value)
    return orjson.Fragment(text if "." in text or "E" in text else f"{text}.0")


def _decimal128(value: Decimal128) -> orjson.Fragment:
    """Do the same, faster than the driver, for nearly all decimals: those with up to six digits after the point."""
    bits = int.from_bytes(value.bid, "little")
    exponent = (bits >> 113 & 0x3FFF) - _EXPONENT_BIAS
    coefficient = bits & _COEFFICIENT
    if not -7 < exponent < 0 or bits >> 125 & 3 == 3 or coefficient > _MOST_COEFFICIENT:
        return _number(decimal(value))
    digits = str(coefficient).zfill(1 - exponent)
    return orjson.Fragment(f"{'-' if bits >> 127 else ''}{digits[:exponent]}.{digits[exponent:]}")


def _is_long(value: int) -> bool:
    return -(2**63) <= value < 2**63


def _fits_double(value: Decimal) -> bool:
    return value.is_finite() and math.isfinite(float(value))


def _spell(value: Decimal) -> str:
    return "NaN" if value.is_nan() else str(value)


def _integer(value: int) -> Any:
    return int(value) if _is_long(value) else _number(Decimal(value))


def _float(value: float) -> float:
    if not math.isfinite(value):
        raise NotFiniteError
    return float(value)


def _binary(value: bytes) -> str:
    is_uuid = isinstance(value, Binary) and value.subtype in {3, 4} and len(value) == 16
    return str(uuid.UUID(bytes=bytes(value))) if is_uuid else b64encode(value).decode()


def _reference(value: DBRef) -> dict[str, Any]:
    return dict(value.as_doc())


FORMS: dict[type, Callable[[Any], Any]] = {
    ObjectId: str,
    dt.datetime: _date,
    DatetimeMS: _any_date,
    Decimal128: _decimal128,
    bytes: _binary,
    Binary: _binary,
    Timestamp: lambda value: {"t": value.time, "i": value.inc},
    Regex: lambda value: f"/{regex_pattern(value)}/{regex_flags(value)}",
    MinKey: lambda _: "MinKey",
    MaxKey: lambda _: "MaxKey",
    DBRef: _reference,
    Code: str,
    # types that JSON has, and that user functions may add
    str: str,
    bool: bool,
    Int64: int,
    int: _integer,
    float: _float,
    Decimal: _number,
    uuid.UUID: str,
    dt.date: lambda value: _any_date(dt.datetime(value.year, value.month, value.day)),
    type(None): lambda _: None,
}
