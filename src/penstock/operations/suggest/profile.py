"""What the bodies of many documents hold, field by field, in bounded memory."""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final, Literal

ValueKind = Literal["text", "date", "long", "double", "boolean", "object"]

NAMES: Final = 500
"""Of an object that has more names than this, no further ones are kept."""

FIELDS: Final = 50_000
"""How many fields of one collection are kept."""

_DATE = re.compile(r"[+-]?\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}000Z")
"""The form in which penstock writes dates (docs/bson.md)."""

_DISTINCT = 64


@dataclass(slots=True)
class Texts:
    """What the texts of one field are like. `distinct` holds the first 64 different ones."""

    longest: int = 0
    spaced: int = 0
    distinct: set[str] = field(default_factory=set)

    def add(self, text: str) -> None:
        """Take one text into account."""
        self.longest = max(self.longest, len(text))
        self.spaced += any(map(str.isspace, text))
        if len(self.distinct) < _DISTINCT:
            self.distinct.add(text[:_DISTINCT])


@dataclass(slots=True)
class FieldProfile:
    """The values of one field in all documents; what arrays hold counts one by one, null not at all.

    `inner` are the fields of its documents, `names` how many names all of these had together, `more` says that
    there were more different ones than are kept, `points` is how many of the documents are points on the earth,
    `dotted` that some of its fields came as names with dots (`a.b` for the field `b` of `a`).
    """

    kinds: Counter[ValueKind] = field(default_factory=Counter)
    texts: Texts = field(default_factory=Texts)
    inner: dict[str, "FieldProfile"] = field(default_factory=dict)
    names: int = 0
    more: bool = False
    points: int = 0
    dotted: bool = False

    @property
    def longest(self) -> int:
        """The length of the longest text in it, however deep."""
        return max(self.texts.longest, *(each.longest for each in self.inner.values()), 0)


class Profile:
    """Gathers documents; `root` is the document itself as a field."""

    def __init__(self) -> None:
        self.documents = 0
        self.root = FieldProfile()
        self._room = FIELDS

    def add(self, body: dict[str, Any]) -> None:
        """Take one document into account, as it would be indexed."""
        self.documents += 1
        self._add(self.root, body)

    def _add(self, into: FieldProfile, value: Any) -> None:
        if isinstance(value, dict):
            into.kinds["object"] += 1
            into.names += len(value)
            into.points += _is_point(value)
            for name, inner in value.items():
                self._add_named(into, name, inner)
        elif isinstance(value, list):
            for inner in value:
                self._add(into, inner)
        elif isinstance(value, str):
            _add_text(into, value)
        elif value is not None:
            into.kinds[_kind_of(value)] += 1

    def _add_named(self, into: FieldProfile, name: str, value: Any) -> None:
        """Add to the field of this name; with dots in it, it is a path."""
        first, _, rest = name.partition(".")
        if first not in into.inner:
            if len(into.inner) >= NAMES or not self._room:
                into.more = True
                into.texts.longest = max(into.texts.longest, _longest_in(value))
                return
            self._room -= 1
            into.inner[first] = FieldProfile()
        within = into.inner[first]
        if rest:
            within.kinds["object"] += 1
            within.names += 1
            within.dotted = True
            self._add_named(within, rest, value)
        else:
            self._add(within, value)


def _add_text(into: FieldProfile, text: str) -> None:
    if _DATE.fullmatch(text):
        into.kinds["date"] += 1
    else:
        into.kinds["text"] += 1
        into.texts.add(text)


def _is_point(value: dict[str, Any]) -> bool:
    """Whether it is `{lat, lon}`, or a point of GeoJSON, and in range."""
    if value.keys() == {"lat", "lon"}:
        pair = [value["lat"], value["lon"]]
    elif (
        value.keys() == {"type", "coordinates"} and value["type"] == "Point" and isinstance(value["coordinates"], list)
    ):
        pair = value["coordinates"][::-1]
    else:
        return False
    numbers = [each for each in pair if isinstance(each, int | float) and not isinstance(each, bool)]
    return len(pair) == len(numbers) == 2 and abs(numbers[0]) <= 90 and abs(numbers[1]) <= 180


def _kind_of(value: Any) -> ValueKind:
    if isinstance(value, bool):
        return "boolean"
    return "long" if isinstance(value, int) else "double"


def _longest_in(value: Any) -> int:
    if isinstance(value, dict | list):
        return max(map(_longest_in, value.values() if isinstance(value, dict) else value), default=0)
    return len(value) if isinstance(value, str) else 0
