"""Fields that a document is indexed without, because the index refuses them; `_penstock.left_out` names them.

Whether the index refuses a field depends on earlier documents, so the transform alone cannot know. Code that compares a
document with the index therefore uses `as_left_out`: the index should hold the transform's body without the fields that
the indexed document itself names.
"""

import json
from collections.abc import Mapping
from typing import Any

import orjson

from penstock.settings import RESERVED_FIELD

JsonDocument = dict[str, Any]


def leave_out(body: bytes, path: str) -> bytes | None:
    """Return the body without a field, which it names instead; None if it has no such field."""
    document = _parsed(body)
    return _noted(document, [*left_out(document), path]) if _drop(document, path) else None


def left_out(indexed: Mapping[str, Any]) -> list[str]:
    """Return the fields that an indexed document says were left out."""
    own = indexed.get(RESERVED_FIELD)
    names = own.get("left_out") if isinstance(own, dict) else None
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def as_left_out(body: bytes, indexed: Mapping[str, Any]) -> bytes:
    """Return what the index should hold for the transform's body, given the fields that the indexed document names."""
    names = left_out(indexed)
    if not names:
        return body
    document = _parsed(body)
    for name in names:
        _drop(document, name)
    return _noted(document, names)


def _parsed(body: bytes) -> JsonDocument:
    """Parse the document; its numbers keep all their digits."""
    return dict(json.loads(body, parse_float=orjson.Fragment))


def _noted(document: JsonDocument, names: list[str]) -> bytes:
    document[RESERVED_FIELD] = {**document.get(RESERVED_FIELD, {}), "left_out": names}
    return orjson.dumps(document)


def _drop(value: Any, path: str) -> bool:
    """Remove a field wherever the value has it, also in arrays; a name may itself be a dotted path."""
    if isinstance(value, list):
        return sum(_drop(inner, path) for inner in value) > 0
    if not isinstance(value, dict):
        return False
    found = False
    for name in list(value):
        if name == path or name.startswith(f"{path}."):
            del value[name]
            found = True
        elif path.startswith(f"{name}."):
            found = _drop(value[name], path[len(name) + 1 :]) or found
    return found
