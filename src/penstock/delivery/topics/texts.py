"""The bytes of a record's key or value, in whatever form a converter of Kafka Connect wrote them."""

import json
import struct
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError

_CODEC: CodecOptions[dict[str, Any]] = CodecOptions(
    document_class=dict, tz_aware=False, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
_LEAST_BSON = 5


class Unreadable(ValueError):
    """The bytes have none of the known forms; the message says what they are not."""


def read_bson(data: bytes) -> dict[str, Any] | None:
    """Return the document that the bytes are; None if they are none. Raises Unreadable for a damaged one."""
    if len(data) < _LEAST_BSON or data[-1] != 0 or struct.unpack_from("<i", data)[0] != len(data):
        return None
    try:
        return bson.decode(data, _CODEC)
    except (BSONError, ValueError, OverflowError) as error:
        raise Unreadable(f"the BSON cannot be read ({type(error).__name__})") from error


def read_json(data: bytes) -> Any:
    """Return the JSON value, without the envelope that a converter with schemas puts around it. Raises Unreadable.

    Java's writer leaves NaN and Infinity bare, which is taken. A value that is itself JSON as text stays a text.
    """
    if data[:1] == b"\0":
        raise Unreadable("it begins as records of a schema registry do (Avro or Protobuf)")
    try:
        read = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"it is neither JSON nor BSON ({type(error).__name__})") from error
    return read["payload"] if isinstance(read, dict) and read.keys() == {"schema", "payload"} else read
