"""The order of `_id` values, in brackets: what a comparison in a query stays within.

`{_id: {$gt: 5}}` finds numbers alone, so a load goes from bracket to bracket, and within one from value to value. All
numbers are one bracket, whatever their types. Where a bracket is a few values, these are asked for by equality; the
types that no query can go through in steps, and hardly anybody has, are read whole.
"""

from dataclasses import dataclass
from typing import Any, Literal

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

    def filter(self, progress: "LoadProgress") -> BsonDocument:
        """What finds the bracket's documents that the progress has not reached."""
        if self.way == "value":
            return {"_id": {"$eq": self.lowest}}
        if self.way == "type":
            return {"_id": {"$type": self.lowest}}
        return {"_id": {"$gt": progress.after} if progress.begun else {"$gte": self.lowest}}


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
