"""The mapping and settings of the indexes that penstock creates: its own, and the user's file laid over them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from penstock.errors import SettingsError

GC_DELETES_S: Final = 900
"""How long an index remembers the version of a deleted document (OpenSearch: 60 s). Anything sent later than this
after its reading could bring a deleted document back, so it outlives every request in flight and every lease; what is
read outside the stream is sent within half of it."""

RESERVED_FIELD: Final = "_penstock"

_DATE_FORMS = ["uuuu-MM-dd'T'HH:mm:ss.SSS'000Z'"]
"""The text that the encoder makes of a date, and no other: a string such as 2024-01-02 stays text."""

_SETTINGS: dict[str, Any] = {
    "index.gc_deletes": f"{GC_DELETES_S}s",
    "index.translog.durability": "request",
    "index.mapping.ignore_malformed": True,
    "index.mapping.coerce": False,
    "index.mapping.total_fields.limit": 2000,
}
_NOT_YOURS = frozenset({"index.gc_deletes", "index.translog.durability"})

_RESERVED = {
    "properties": {
        "id": {"type": "keyword", "index": False, "doc_values": False},
        "not_finite": {"type": "keyword", "ignore_above": 1024},
    }
}

_MAPPINGS: dict[str, Any] = {
    "date_detection": True,
    "numeric_detection": False,
    "dynamic_date_formats": _DATE_FORMS,
    "dynamic_templates": [
        {"whole_numbers": {"match_mapping_type": "long", "mapping": {"type": "double"}}},
        {"numbers": {"match_mapping_type": "double", "mapping": {"type": "double"}}},
        {"dates": {"match_mapping_type": "date", "mapping": {"type": "date", "format": "strict_date_optional_time"}}},
        {
            "strings": {
                "match_mapping_type": "string",
                "mapping": {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 1024}}},
            }
        },
    ],
}


def index_body(*, shards: int, replicas: int, mapping: Mapping[str, Any], meta: dict[str, Any]) -> dict[str, Any]:
    """The body that creates an index, without its aliases; `mapping` is the user's, `meta` is kept in the index's."""
    mappings = {**_MAPPINGS, **mapping.get("mappings", {})}
    mappings["properties"] = {**mappings.get("properties", {}), RESERVED_FIELD: _RESERVED}
    mappings["_meta"] = {**mappings.get("_meta", {}), "penstock": meta}
    settings = {"index.number_of_shards": shards, "index.number_of_replicas": replicas, **_SETTINGS}
    settings.update(flat_settings(mapping.get("settings", {})))
    return {"settings": settings, "mappings": mappings}


def flat_settings(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Index settings with their full dotted names, however they were nested."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        full = f"{prefix}{name}"
        if isinstance(value, dict):
            flat.update(flat_settings(value, f"{full}."))
        else:
            flat[full if full.startswith("index.") else f"index.{full}"] = value
    return flat


def read_mapping(path: Path | None) -> dict[str, Any]:
    """The user's mapping file, empty without one; raises SettingsError with all that is wrong with it."""
    if path is None:
        return {}
    try:
        parsed = orjson.loads(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"mapping_file {path} cannot be read: {error.strerror}.") from error
    except orjson.JSONDecodeError as error:
        raise SettingsError(f"mapping_file {path} is not JSON: {error}.") from error
    problems = _problems(parsed)
    if problems:
        raise SettingsError(*(f"mapping_file {path}: {problem}" for problem in problems))
    return dict(parsed)


def _problems(parsed: Any) -> list[str]:
    if not isinstance(parsed, dict):
        return ["must be a JSON object with `mappings`, `settings` or both."]
    problems = [
        f"`{name}` is not known at the top; it may hold `mappings` and `settings`."
        + (" (Put `properties` under `mappings`.)" if name == "properties" else "")
        for name in parsed
        if name not in ("mappings", "settings")
    ]
    problems += [f"`{name}` must be an object." for name in parsed if not isinstance(parsed[name], dict)]
    if problems:
        return problems
    properties = parsed.get("mappings", {}).get("properties", {})
    if not isinstance(properties, dict):
        return ["`mappings.properties` must be an object."]
    if RESERVED_FIELD in properties:
        problems.append(f"the field `{RESERVED_FIELD}` is penstock's own; leave it out.")
    for name in sorted(_NOT_YOURS & flat_settings(parsed.get("settings", {})).keys()):
        problems.append(f"the setting `{name}` keeps deleted documents from coming back; leave it out.")
    return problems
