"""How documents are decoded, and their ids."""

from typing import Any

from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion

CODEC: CodecOptions[dict[str, Any]] = CodecOptions(
    document_class=dict,
    tz_aware=False,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler="replace",
)
"""How documents are decoded, so that none is refused and every value keeps what BSON says of it."""

OF_IDS: CodecOptions[dict[str, Any]] = CODEC.with_options(unicode_decode_error_handler="surrogateescape")
"""For an `_id` alone: keeps the bytes of a text that is not UTF-8, so that two of these are never the same."""
