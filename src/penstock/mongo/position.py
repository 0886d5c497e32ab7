"""A stream's position as text: the whole token document, or nothing where only the cluster time is known.

The whole document, since MongoDB 4.0 keeps a part of a token outside its `_data` when an `_id` is a double or an int64.
"""

from collections.abc import Mapping
from typing import Any

from bson import json_util
from bson.codec_options import DatetimeConversion
from bson.errors import BSONError
from bson.json_util import JSONMode, JSONOptions
from bson.timestamp import Timestamp

from penstock.errors import PositionLost
from penstock.model import Position, seconds_of

EXACT = JSONOptions(json_mode=JSONMode.CANONICAL, tz_aware=False, datetime_conversion=DatetimeConversion.DATETIME_AUTO)
"""Every BSON value comes back from text as it was."""

_OF_MONGODB = "82"
_TIME_AFTER = frozenset({_OF_MONGODB, "01"})
"""What a token's `_data` begins with where its cluster time follows: MongoDB's, DocumentDB's."""


def position_after(token: Mapping[str, Any], time: int) -> Position:
    """The position right after the event or the batch that the token stands for."""
    return Position(json_util.dumps(token, json_options=EXACT), time)


def moves_when_idle(token: Mapping[str, Any]) -> bool:
    """Whether such a token moves on with the source's time while a stream is idle: MongoDB's does, from 4.2 on."""
    return str(token.get("_data")).startswith(_OF_MONGODB)


def position_at(time: int) -> Position:
    """The position right before everything of this cluster time."""
    return Position("", time)


def resume_option(position: Position | None) -> dict[str, Any]:
    """The option of $changeStream that begins at the position; none begins with what happens from now on."""
    if position is None:
        return {}
    if not position.token:
        return {"startAtOperationTime": Timestamp(seconds_of(position.time), position.time & 0xFFFFFFFF)}
    try:
        token = json_util.loads(position.token, json_options=EXACT)
    except (BSONError, ValueError, TypeError) as error:
        raise PositionLost(
            "The saved position is not a change stream's.", "Load the collections of this pipeline again."
        ) from error
    return {"resumeAfter": token}


def time_within(token: Mapping[str, Any], lowest: int, highest: int) -> int:
    """The cluster time in a token, where it can be read and is between the two; else the lowest.

    An idle stream's token moves on without an event that would tell its time.
    """
    text = token.get("_data")
    if isinstance(text, str) and text[:2] in _TIME_AFTER and len(text) >= 18:
        try:
            time = int(text[2:18], 16)
        except ValueError:
            return lowest
        if lowest <= time <= highest:
            return time
    return lowest
