"""The order of `_id` values, in brackets: what a comparison in a query stays within.

`{_id: {$gt: 5}}` finds numbers alone, so a load goes from bracket to bracket, and within one from value to value. All
numbers are one bracket, whatever their types. Where a bracket is a few values, these are asked for by equality; the
types that no query can go through in steps, and hardly anybody has, are read whole.

A load that several processes share is cut into slices, between `_id`s that were chosen by chance.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import bson
from bson import json_util
from bson.binary import Binary
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.timestamp import Timestamp

from penstock.errors import PositionLost
from penstock.model import BsonDocument, Position
from penstock.mongo.position import EXACT


@dataclass(frozen=True)
class IdRange:
    """One bracket. `way`: from `lowest` on in steps, the one value `lowest`, or all of the BSON type `lowest`."""

    name: str
    way: Literal["steps", "value", "type"]
    lowest: Any

    def filter(self, progress: "LoadProgress", end: "LoadProgress | None" = None) -> BsonDocument:
        """What finds the bracket's documents that the progress has not reached, up to an end in this bracket."""
        if self.way == "value":
            return {"_id": {"$eq": self.lowest}}
        if self.way == "type":
            return {"_id": {"$type": self.lowest}}
        lowest = {"$gt": progress.after} if progress.begun else {"$gte": self.lowest}
        if end and end.begun and BRACKETS[end.bracket] is self:
            lowest["$lte"] = end.after
        return {"_id": lowest}


BRACKETS: tuple[IdRange, ...] = (
    IdRange("min_key", "value", MinKey()),
    IdRange("null", "value", None),
    IdRange("nan", "value", float("nan")),
    IdRange("number", "steps", float("-inf")),
    IdRange("string", "steps", ""),
    IdRange("object", "steps", {}),
    IdRange("binary", "steps", Binary(b"", 0)),
    IdRange("object_id", "steps", ObjectId(b"\0" * 12)),
    IdRange("false", "value", False),
    IdRange("true", "value", True),
    IdRange("date", "steps", DatetimeMS(-(2**63))),
    IdRange("timestamp", "steps", Timestamp(0, 0)),
    IdRange("db_pointer", "type", 12),
    IdRange("code", "type", 13),
    IdRange("code_with_scope", "type", 15),
    IdRange("max_key", "value", MaxKey()),
)
"""In the order of MongoDB. An `_id` is never an array, a regular expression or undefined."""

_STEPS_OF_TYPE = {
    **dict.fromkeys((0x01, 0x10, 0x12, 0x13), "number"),
    **dict.fromkeys((0x02, 0x0E), "string"),
    0x03: "object",
    0x05: "binary",
    0x07: "object_id",
    0x09: "date",
    0x11: "timestamp",
}
"""The bracket of each BSON type whose values a slice can end at."""

_MAX_BOUND_BYTES = 4096
_TYPE_AT = 4
"""Where a raw document has the type of its first element."""

_BY_TYPE = {0x02: "string", 0x05: "binary", 0x07: "object_id", 0x10: "number", 0x12: "number"}
"""The brackets of the usual BSON types (https://bsonspec.org/spec.html), each of which is all of its bracket's kind."""


def brackets_between(lowest: int | None, highest: int | None) -> range:
    """The brackets, by number, that hold what lies between two values of these BSON types; None: there is no value.

    A server keeps what is of one bracket together, so between two values of one lies nothing else, whatever its order
    of the brackets is. Where the types do not tell, all brackets are answered.
    """
    if lowest is None and highest is None:
        return range(0)
    name = _BY_TYPE.get(lowest or 0)
    if name is None or name != _BY_TYPE.get(highest or 0):
        return range(len(BRACKETS))
    number = next(number for number, bracket in enumerate(BRACKETS) if bracket.name == name)
    return range(number, number + 1)


@dataclass(frozen=True)
class LoadProgress:
    """Where a load stands: in a bracket, and after a value when it was begun (a bracket without steps is over then)."""

    bracket: int = 0
    after: Any = None
    begun: bool = False

    @property
    def over(self) -> bool:
        """Whether nothing is left to read."""
        return self.bracket >= len(BRACKETS)

    def position(self, time: int) -> Position:
        """The progress as a position; `time` is the version of what was read last."""
        name = "" if self.over else BRACKETS[self.bracket].name
        progress = {"bracket": name, "begun": self.begun, "after": self.after}
        return Position(json_util.dumps(progress, json_options=EXACT), time)


def progress_of(position: Position | None) -> LoadProgress:
    """Read a position back; without one a load begins."""
    if position is None:
        return LoadProgress()
    try:
        saved = json_util.loads(position.token, json_options=EXACT)
        name, after, begun = saved["bracket"], saved["after"], saved["begun"]
    except (BSONError, ValueError, TypeError, KeyError) as error:
        raise PositionLost(
            "The saved position is not a load's position. Load the collection from the start."
        ) from error
    number = next((index for index, bracket in enumerate(BRACKETS) if bracket.name == name), len(BRACKETS))
    return LoadProgress(number, after, begun)


END = LoadProgress(len(BRACKETS))
"""Beyond every document."""


@dataclass(frozen=True)
class IdSlice:
    """What lies behind `start`, up to `end` and including the document there."""

    start: LoadProgress
    end: LoadProgress

    @property
    def brackets(self) -> range:
        """The brackets, by number, in which it has a part."""
        return range(self.start.bracket, self.end.bracket + self.end.begun)

    def text(self) -> str:
        """Return it as text, which `of` reads."""
        return f"{self.start.position(0).token}\n{self.end.position(0).token}"

    @classmethod
    def of(cls, text: str) -> "IdSlice":
        """Read what `text` returned. Raises PositionLost for another text."""
        start, _, end = text.partition("\n")
        return cls(progress_of(Position(start, 0)), progress_of(Position(end, 0)))


def slices(brackets: range, bounds: Iterable[Any]) -> list[IdSlice]:
    """Cut what these brackets hold, at bounds in the order of the source.

    Bounds that a slice cannot end at are left out. Whatever the order of the others is, each document is in a slice: it
    is behind the start, it is before the end, so somewhere in between it is the one and then the other.
    """
    if not brackets:
        return []
    cuts = [LoadProgress(brackets.start)]
    for bound in bounds:
        number = _bracket_of(bound)
        if number in brackets and cuts[-1].bracket <= number:
            cuts.append(LoadProgress(number, bound, begun=True))
    return [IdSlice(start, end) for start, end in pairwise([*cuts, LoadProgress(brackets.stop)])]


def _bracket_of(value: Any) -> int:
    """Return the number of the bracket that a bound is in, -1 for what is no bound."""
    try:
        raw = bson.encode({"_id": value})
    except (BSONError, UnicodeError, OverflowError):  # a text that is not UTF-8 cannot be named in a query
        return -1
    name = _STEPS_OF_TYPE.get(raw[_TYPE_AT])
    is_nan = name == "number" and "nan" in str(value).lower()  # these are a bracket of their own
    if name is None or is_nan or len(raw) > _MAX_BOUND_BYTES:
        return -1
    return next(number for number, bracket in enumerate(BRACKETS) if bracket.name == name)
