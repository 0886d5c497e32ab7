"""Points that OpenSearch finds elsewhere: in a `geo_point` with `ignore_malformed` it moves what is out of range.

A latitude beyond 90 degrees, or a longitude beyond 180, counts as one that has gone around the earth; most often the
two are interchanged. The document names no field in `_ignored` for that.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_PAIR = re.compile(r"([^,]+),([^,]+)(?:,.*)?")


def moved_points(mapping: Mapping[str, Any], document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the fields of a mapping in which an indexed document has such a point."""
    return tuple(
        sorted(
            {
                path
                for path, within in _geo_points(mapping, "")
                if any(_is_beyond(value) for value in _values(document, within))
            }
        )
    )


def _geo_points(mapping: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    """Yield each `geo_point`, and the path of its values in documents."""
    for name, each in mapping.get("properties", {}).items():
        path = f"{prefix}{name}"
        fields = {path: each, **{f"{path}.{sub}": field for sub, field in each.get("fields", {}).items()}}
        yield from ((found, path) for found, field in fields.items() if field.get("type") == "geo_point")
        yield from _geo_points(each, f"{path}.")


def _values(value: Any, path: str) -> Iterator[Any]:
    """Yield what a document has at a path; names in it may have dots."""
    if isinstance(value, list):
        for inner in value:
            yield from _values(inner, path)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name == path:
                yield inner
            elif path.startswith(f"{name}."):
                yield from _values(inner, path[len(name) + 1 :])


def _is_beyond(value: Any) -> bool:
    """Whether a value, in any form of a point, or one of several is out of range."""
    if isinstance(value, dict):
        if "coordinates" in value:
            return _is_beyond(value["coordinates"])
        return _are_beyond(value.get("lat"), value.get("lon"))
    if isinstance(value, str):
        found = _PAIR.fullmatch(value)
        return found is not None and _are_beyond(found[1], found[2])
    if not isinstance(value, list):
        return False
    if len(value) > 1 and all(isinstance(each, int | float) for each in value):
        return _are_beyond(value[1], value[0])
    return any(map(_is_beyond, value))


def _are_beyond(latitude: Any, longitude: Any) -> bool:
    try:
        return abs(float(latitude)) > 90 or abs(float(longitude)) > 180
    except (TypeError, ValueError):
        return False
