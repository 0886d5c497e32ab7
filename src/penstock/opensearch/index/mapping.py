"""The mapping and settings of the indexes that penstock creates: its own, overridden by the user's file."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import orjson

from penstock.errors import SettingsError
from penstock.runtime.intervals import GC_DELETES_S
from penstock.settings import RESERVED_FIELD, CollectionSettings, ConflictPolicy

_DATE_FORMS = ["uuuu-MM-dd'T'HH:mm:ss.SSS'000Z'"]
"""Only the text that the encoder writes for a date: a string such as 2024-01-02 stays text."""

_SETTINGS: dict[str, Any] = {
    "index.gc_deletes": f"{GC_DELETES_S}s",
    "index.translog.durability": "request",
    "index.mapping.ignore_malformed": True,
    "index.mapping.coerce": False,
}
FIELD_LIMIT: Final = "index.mapping.total_fields.limit"

NOT_YOURS = {
    "index.gc_deletes": "is set by penstock, so that deleted documents do not come back; leave it out",
    "index.translog.durability": "is set by penstock, so that no acknowledged write is lost; leave it out",
    FIELD_LIMIT: "is set by `max_fields` of the collection; leave it out",
}

PIPELINES: Final = ("index.default_pipeline", "index.final_pipeline")
_SAID_SETTINGS: dict[str, Any] = dict.fromkeys(PIPELINES, "_none")
_SAID_MAPPINGS: dict[str, Any] = {"dynamic": True, "_source": {"enabled": True}, "_routing": {"required": False}}

_RESERVED = {
    "properties": {
        "id": {"type": "keyword", "index": False, "doc_values": False},
        "not_finite": {"type": "keyword", "ignore_above": 1024},
        "left_out": {"type": "keyword", "ignore_above": 1024},
    }
}

TEXT: Final[dict[str, Any]] = {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 1024}}}
"""Accepts every plain value, which can be searched by its words and as a whole."""

_OWN_FORMAT = "strict_date_optional_time"
"""Accepts every date that the encoder writes."""

_WITH_OWN_FORMAT = frozenset({_OWN_FORMAT, "strict_date_optional_time_nanos", "strict_date_time", "iso8601"})
_DATES = ("date", "date_nanos", "date_range", "{dynamic_type}")

DATE: Final[dict[str, Any]] = {"type": "date", "format": _OWN_FORMAT}

_MAPPINGS: dict[str, Any] = {
    "date_detection": True,
    "numeric_detection": False,
    "dynamic_date_formats": _DATE_FORMS,
    "dynamic_templates": [
        {"whole_numbers": {"match_mapping_type": "long", "mapping": {"type": "double"}}},
        {"numbers": {"match_mapping_type": "double", "mapping": {"type": "double"}}},
        {"dates": {"match_mapping_type": "date", "mapping": DATE}},
        {"strings": {"match_mapping_type": "string", "mapping": TEXT}},
    ],
}


_OF_POLICY: Final[dict[ConflictPolicy, dict[str, Any]]] = {
    "text": TEXT,
    "flat_object": {"type": "flat_object"},
    "leave-out": {"type": "object"},
}
_TEXTS = ("text", "keyword", "match_only_text", "wildcard")


def index_body(
    *,
    shards: int,
    replicas: int,
    mapping: Mapping[str, Any],
    meta: dict[str, Any],
    max_fields: int = 2000,
    conflicts: Mapping[str, ConflictPolicy] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the body that creates an index, without aliases; `mapping` is the user's, `meta` goes into its `_meta`.

    Raises SettingsError.
    """
    mappings = deepcopy({**_MAPPINGS, **mapping.get("mappings", {})})
    _accept_own_dates(mappings)
    mappings["properties"] = {**mappings.get("properties", {}), RESERVED_FIELD: _RESERVED}
    mappings["_meta"] = {**mappings.get("_meta", {}), "penstock": meta}
    if problems := [problem for each in conflicts.items() if (problem := _map_by_policy(mappings, *each))]:
        raise SettingsError(*(f"mapping_file: {problem}" for problem in problems))
    settings = {"index.number_of_shards": shards, "index.number_of_replicas": replicas, **_SETTINGS}
    settings.update(flat_settings(mapping.get("settings", {})))
    return {"settings": {**settings, FIELD_LIMIT: max_fields}, "mappings": mappings}


def body_for(collection: CollectionSettings, *, mapping: Mapping[str, Any], meta: dict[str, Any]) -> dict[str, Any]:
    """Return the body that creates the index of a collection with the user's mapping. Raises SettingsError."""
    body = index_body(
        shards=collection.shards,
        replicas=collection.replicas,
        mapping=mapping,
        meta=meta,
        max_fields=collection.max_fields,
        conflicts=collection.conflicts,
    )
    return explicit(body)


def explicit(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body that creates an index, which also says the defaults that an index template could change.

    Its settings have full dotted names.
    """
    settings = {**_SAID_SETTINGS, **body["settings"]}
    mappings = {**_SAID_MAPPINGS, **body["mappings"]}
    if included := mappings["_source"].get("includes"):
        included = included.split(",") if isinstance(included, str) else included
        mappings["_source"] = {**mappings["_source"], "includes": [*included, RESERVED_FIELD]}
    return {**body, "settings": settings, "mappings": mappings}


def _accept_own_dates(mappings: dict[str, Any]) -> None:
    """Let every date field accept penstock's dates, after its own formats: a search still shows the first of these."""
    for each in _nodes(mappings):
        if each.get("type", "date") in _DATES and isinstance(each.get("format"), str):
            each["format"] = _with_own_format(each["format"])
    own = mappings.get("dynamic_date_formats")
    if isinstance(own, list) and own != _DATE_FORMS:
        mappings["dynamic_date_formats"] = [*own, *_DATE_FORMS]
        if mappings["dynamic_templates"] == _MAPPINGS["dynamic_templates"]:
            date = {**DATE, "format": "||".join([_OWN_FORMAT, *map(str, own)])}
            next(each["dates"] for each in mappings["dynamic_templates"] if "dates" in each)["mapping"] = date


def _with_own_format(formats: str) -> str:
    return formats if _WITH_OWN_FORMAT.intersection(formats.split("||")) else f"{formats}||{_OWN_FORMAT}"


def _nodes(mapping: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a mapping and every one within it: of fields, of their sub-fields, and in dynamic templates."""
    yield mapping
    templates = [each for named in mapping.get("dynamic_templates", ()) for each in _dicts(named)]
    inner = (*_dicts(mapping.get("properties")), *_dicts(mapping.get("fields")))
    for each in (*inner, *(found for template in templates if isinstance(found := template.get("mapping"), dict))):
        yield from _nodes(each)


def _dicts(named: Any) -> list[dict[str, Any]]:
    """The values that are objects; OpenSearch says what is wrong with any other."""
    return [each for each in named.values() if isinstance(each, dict)] if isinstance(named, dict) else []


def _map_by_policy(mappings: dict[str, Any], path: str, policy: ConflictPolicy) -> str | None:
    """Map the field as its policy in `conflicts` asks, unless the user has mapped it; return what is wrong, if any."""
    if path == "*" or policy not in _OF_POLICY:
        return None
    *parents, last = path.split(".")
    within = mappings
    for name in parents:
        within = within.setdefault("properties", {}).setdefault(name, {})
        if within.get("type", "object") not in ("object", "nested"):
            return f"`conflicts` names `{path}`, but `{name}` is mapped as {within['type']} and has no fields."
    wanted = _OF_POLICY[policy]
    found = within.setdefault("properties", {}).setdefault(last, dict(wanted))
    kind = found.get("type", "object")
    if policy == "leave-out" or kind in (_TEXTS if policy == "text" else (wanted["type"],)):
        return None
    return f"`conflicts` says {policy} for `{path}`, but the mapping has {kind} for it; make the two agree."


def flat_settings(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return index settings by their full dotted names, however they were nested."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        full = f"{prefix}{name}"
        if isinstance(value, dict):
            flat.update(flat_settings(value, f"{full}."))
        else:
            flat[full if full.startswith("index.") else f"index.{full}"] = value
    return flat


def pipelines_in(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the ingest pipelines that settings by their full dotted names ask for, by the setting; `_none` is none."""
    return {name: str(settings[name]) for name in PIPELINES if (settings.get(name) or "_none") != "_none"}


def read_mapping(path: Path | None) -> dict[str, Any]:
    """Return the user's mapping file, empty without one. Raises SettingsError with everything that is wrong."""
    if path is None:
        return {}
    try:
        parsed = orjson.loads(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"mapping_file {path} cannot be read: {error.strerror}.") from error
    except orjson.JSONDecodeError as error:
        raise SettingsError(f"mapping_file {path} is not valid JSON: {error}.") from error
    problems = _problems(parsed)
    if problems:
        raise SettingsError(*(f"mapping_file {path}: {problem}" for problem in problems))
    return dict(parsed)


_KINDS: Final = {"properties": dict, "_source": dict, "_meta": dict, "_routing": dict, "dynamic_templates": list}


def _no_objects(mapping: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Say which fields are not mapped by an object."""
    for name, each in mapping.get("properties", {}).items():
        if not isinstance(each, dict) or not isinstance(each.get("properties", {}), dict):
            yield f'the field `{prefix}{name}` must be an object, such as {{"type": "keyword"}}.'
        else:
            yield from _no_objects(each, f"{prefix}{name}.")


def _problems(parsed: Any) -> list[str]:
    if not isinstance(parsed, dict):
        return ["must be a JSON object with `mappings`, `settings` or both."]
    problems = [
        f"`{name}` is not known at the top level, which may contain `mappings` and `settings`."
        + (" (Put `properties` under `mappings`.)" if name == "properties" else "")
        for name in parsed
        if name not in ("mappings", "settings")
    ]
    problems += [f"`{name}` must be an object." for name in parsed if not isinstance(parsed[name], dict)]
    if problems:
        return problems
    mappings = parsed.get("mappings", {})
    problems = [
        f"`mappings.{name}` must be {'a list' if kind is list else 'an object'}."
        for name, kind in _KINDS.items()
        if name in mappings and not isinstance(mappings[name], kind)
    ]
    if problems := problems or [*_no_objects(mappings)]:
        return problems
    if RESERVED_FIELD in mappings.get("properties", {}):
        problems.append(f"the field `{RESERVED_FIELD}` is reserved for penstock; leave it out.")
    if str(mappings.get("_routing", {}).get("required", "")).lower() == "true":
        problems.append(
            "`_routing` is required, but penstock writes and reads every document by its id alone; leave it out."
        )
    for name in sorted(NOT_YOURS.keys() & flat_settings(parsed.get("settings", {})).keys()):
        problems.append(f"the setting `{name}` {NOT_YOURS[name]}.")
    return problems
