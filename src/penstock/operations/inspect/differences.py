"""How two bodies of one document differ: the names of the fields, or each field with both values.

The names are for counting: a document that only one side has is one name. With values each of its fields is its own.
Both compare values as the index keeps them, as JSON.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import orjson

from penstock.documents.omitted import as_left_out

_MISSING = object()


@dataclass(frozen=True)
class NotCompared:
    """What is not compared: what `paths` name, and if there are any, what `only` does not name; or `everything`.

    The paths are those of `_source` in a mapping: dotted, with `*` for any characters; a document's path stands for all
    within it.
    """

    paths: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    everything: bool = False

    @classmethod
    def of(cls, named: Iterable[str], mappings: Mapping[str, Any]) -> "NotCompared":
        """Return what the settings name together with what the mapping of an index does not keep in `_source`."""
        kept = mappings.get("_source", {})
        is_off = str(kept.get("enabled", True)).lower() == "false"
        return cls((*named, *kept.get("excludes", ())), tuple(kept.get("includes", ())), is_off)

    @property
    def names(self) -> tuple[str, ...]:
        """What is not compared, in words."""
        if self.everything:
            return ("all fields",)
        return (*self.paths, *([f"all but {', '.join(self.only)}"] if self.only else []))

    def __bool__(self) -> bool:
        return bool(self.paths or self.only or self.everything)

    def without(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is compared of a document; documents and arrays that this leaves empty are left out too."""
        if self.everything:
            return {}
        compared = _Compared(_pattern(self.paths), _pattern(self.only)).value(document, "", within=not self.only)
        return compared if isinstance(compared, dict) else {}


ALL_COMPARED = NotCompared()


class _Compared(NamedTuple):
    """Takes out of a document what `left_out` names, and what `kept` does not name."""

    left_out: re.Pattern[str]
    kept: re.Pattern[str]

    def value(self, value: Any, path: str, *, within: bool) -> Any:
        """Return what is left of the value at a path, _MISSING if nothing is; `within`: what is kept named a parent."""
        if self.left_out.fullmatch(path):
            return _MISSING
        within = within or self.kept.fullmatch(path) is not None
        if isinstance(value, Mapping):
            start = f"{path}." if path else ""
            inner = {name: self.value(each, f"{start}{name}", within=within) for name, each in value.items()}
            return {name: each for name, each in inner.items() if each is not _MISSING} or _MISSING
        if isinstance(value, list):
            left = (self.value(each, path, within=within) for each in value)
            return [each for each in left if each is not _MISSING] or _MISSING
        return value if within else _MISSING


def _pattern(paths: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern for any of the paths; none of them is the empty path of a whole document."""
    return re.compile("|".join(".*".join(map(re.escape, path.split("*"))) for path in paths) or r"(?!)", re.DOTALL)


def differences(body: bytes, indexed: Mapping[str, Any], not_compared: NotCompared = ALL_COMPARED) -> list[str]:
    """The names of the fields in which an indexed document is not what this body says, with dots for inner ones.

    The order of fields does not count, every type does. A field that the document says it was left without is equal.
    """
    if not_compared.everything or orjson.dumps(indexed) == body:
        return []
    wanted = orjson.loads(as_left_out(body, indexed))
    if not_compared:
        wanted, indexed = not_compared.without(wanted), not_compared.without(indexed)
    return list(_differing(wanted, indexed, ""))


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
