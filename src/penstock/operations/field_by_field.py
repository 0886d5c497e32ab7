"""What an index holds of a document beside what it should hold, field by field."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import orjson

FieldState = Literal["equal", "differs", "missing", "extra"]
"""Missing: the index lacks it. Extra: only the index has it."""


class Field(NamedTuple):
    """One field by its dotted path, with both values; None where there is none."""

    state: FieldState
    wanted: Any
    indexed: Any


def field_by_field(wanted: Mapping[str, Any], indexed: Mapping[str, Any]) -> dict[str, Field]:
    """Compare two bodies; documents by their fields, arrays as a whole."""
    ours, theirs = dict(_flat(wanted)), dict(_flat(indexed))
    return {
        path: Field(_state(path, ours, theirs), ours.get(path), theirs.get(path))
        for path in sorted(ours.keys() | theirs.keys())
    }


def _state(path: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> FieldState:
    if path not in theirs:
        return "missing"
    if path not in ours:
        return "extra"
    return "equal" if _exact(ours[path]) == _exact(theirs[path]) else "differs"


def _exact(value: Any) -> bytes:
    """The value as JSON: unlike in Python, true is not 1 there."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
