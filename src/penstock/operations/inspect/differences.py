"""How two bodies of one document differ: the names of the fields, or each field with both values.

The names are for counting: a document that only one side has is one name. With values each of its fields is its own.
Both compare values as the index keeps them, as JSON.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import orjson

from penstock.documents.omitted import as_left_out

_MISSING = object()


def differences(body: bytes, indexed: Mapping[str, Any]) -> list[str]:
    """The names of the fields in which an indexed document is not what this body says, with dots for inner ones.

    The order of fields does not count, every type does. A field that the document says it was left without is equal.
    """
    if orjson.dumps(indexed) == body:
        return []
    return list(_differing(orjson.loads(as_left_out(body, indexed)), indexed, ""))


def _differing(wanted: Mapping[str, Any], indexed: Mapping[str, Any], path: str) -> Iterator[str]:
    for name in sorted(wanted.keys() | indexed.keys()):
        one, other = wanted.get(name, _MISSING), indexed.get(name, _MISSING)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _differing(one, other, f"{path}{name}.")
        elif one is _MISSING or other is _MISSING or not _are_equal(one, other):
            yield f"{path}{name}"


FieldState = Literal["equal", "differs", "missing", "extra"]
"""Missing: the index lacks it. Extra: only the index has it."""


class FieldComparison(NamedTuple):
    """One field by its dotted path, with both values; None where there is none."""

    state: FieldState
    wanted: Any
    indexed: Any


def field_by_field(wanted: Mapping[str, Any], indexed: Mapping[str, Any]) -> dict[str, FieldComparison]:
    """Compare two bodies; documents by their fields, arrays as a whole."""
    ours, theirs = dict(_flat(wanted)), dict(_flat(indexed))
    return {
        path: FieldComparison(_state(path, ours, theirs), ours.get(path), theirs.get(path))
        for path in sorted(ours.keys() | theirs.keys())
    }


def _state(path: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> FieldState:
    if path not in theirs:
        return "missing"
    if path not in ours:
        return "extra"
    return "equal" if _are_equal(ours[path], theirs[path]) else "differs"


def _are_equal(one: Any, other: Any) -> bool:
    """Whether both are the same JSON, in which true is not 1 and 1 not 1.0, as they are in Python."""
    return _canonical(one) == _canonical(other)


def _canonical(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
