"""Encodes a document as the JSON bytes that the index accepts.

Nearly every document is clean: one check of its names and types shows this, and orjson writes it in one go. Any other
document is first rewritten, value by value: names that OpenSearch refuses, numbers that JSON does not have, paths that
are too deep. Both ways give the same bytes for a clean document. docs/bson.md has the rules for people.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any

import orjson

from penstock.documents.bson_json import json_form
from penstock.documents.fast_encode import options_of, options_of_all
from penstock.documents.field_names import CLEAN_AT_TOP
from penstock.documents.rewrite import encode_rewritten
from penstock.errors import DocumentError
from penstock.model import Body

FORM = 1
"""Increased when a value's JSON form changes, so that indexes made before it are known to differ."""


def encode(document: dict[str, Any], long_id: str | None = None) -> bytes:
    """Return the document as JSON; `long_id` is the `_id` as extended JSON, stored when its document id is only a hash.

    Raises DocumentError if a value has no JSON form, or arrays and documents are nested too deeply.
    """
    if long_id is None:
        try:
            options = options_of(document, CLEAN_AT_TOP, 1, 0)
            if options is not None:
                return orjson.dumps(document, json_form, options)
        except (TypeError, OverflowError):  # a value that only the rewriting can convert or report
            pass
    return encode_rewritten(document, long_id)


def encode_all(documents: Sequence[dict[str, Any]]) -> list[Body]:
    """Return what `encode` returns or raises for each document, with one check and one write for all of them."""
    try:
        options = options_of_all(documents, CLEAN_AT_TOP, 1, 0)
        if options is not None:
            return list(map(orjson.dumps, documents, repeat(json_form), repeat(options)))
    except (TypeError, OverflowError):  # one of them has such a value
        pass
    return one_by_one(encode, documents)


def one_by_one(make: Callable[[dict[str, Any]], bytes | None], documents: Iterable[dict[str, Any]]) -> list[Body]:
    """Return what `make` returns or raises for each document."""

    def body_of(document: dict[str, Any]) -> Body:
        try:
            return make(document)
        except DocumentError as error:
            return error

    return list(map(body_of, documents))
