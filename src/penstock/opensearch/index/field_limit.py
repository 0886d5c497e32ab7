"""The fields of an index and their limit, `max_fields`; a full index accepts no new fields."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import structlog

from penstock.opensearch.http.client import Client
from penstock.opensearch.http.requests import ask, error_of
from penstock.opensearch.http.waiting import RetryForever
from penstock.opensearch.index.mapping import FIELD_LIMIT, body_for
from penstock.settings import CollectionSettings

log = structlog.get_logger(__name__)

_OPENSEARCHS_OWN = 1000
_OF_A_NESTED_FIELD = ("type", "include_in_parent", "include_in_root")


def count_fields(mappings: Mapping[str, Any]) -> int:
    """Return the number of fields in a mapping as OpenSearch counts them: objects, fields and their sub-fields."""
    return sum(1 + len(each.get("fields", {})) + count_fields(each) for each in mappings.get("properties", {}).values())


def limit_of(settings: Mapping[str, Any]) -> int:
    """Return the maximum number of fields of an index, by its settings."""
    return int(settings.get("mapping", {}).get("total_fields", {}).get("limit", _OPENSEARCHS_OWN))


def takes_new_fields(mappings: Mapping[str, Any]) -> bool:
    """Whether a field that is new to the index becomes searchable."""
    return str(mappings.get("dynamic", "true")).lower() != "false"


def raise_limit(
    client: Client, patience: RetryForever, index: str, collection: CollectionSettings, mapping: Mapping[str, Any]
) -> None:
    """If `max_fields` has grown since the index was created, let the index accept new fields again.

    An index that was deleted meanwhile is left to those who write to it.
    """
    described = ask(client, patience, "GET", f"/{quote(index, safe='')}").json().get(index)
    if described is None or limit_of(described["settings"]["index"]) >= collection.max_fields:
        return
    refused = _put(client, patience, f"{index}/_settings", {FIELD_LIMIT: collection.max_fields})
    if not refused and not takes_new_fields(described["mappings"]):
        wanted = body_for(collection, mapping=mapping, meta={})["mappings"].get("dynamic", True)
        refused = _put(client, patience, f"{index}/_mapping", {"dynamic": wanted})
    if refused:
        log.warning("the index's limit of fields could not be changed", index=index, reason=refused)
    else:
        log.info("the index's limit of fields was changed", index=index, fields=collection.max_fields)


def take_no_new_fields(client: Client, patience: RetryForever, alias: str) -> bool:
    """Let the index accept documents with new fields without making those searchable; they stay in the documents."""
    return not _put(client, patience, f"{alias}/_mapping", {"dynamic": False})


def map_field(client: Client, patience: RetryForever, alias: str, path: str, mapping: Mapping[str, Any]) -> str:
    """Map a field; return why the index keeps the mapping it has, empty if it accepted this one."""
    *parents, last = path.split(".")
    kinds = _kinds_of(client, patience, alias, parents) if parents else []
    body: dict[str, Any] = {"properties": {last: dict(mapping)}}
    for name, kind in zip(reversed(parents), reversed(kinds), strict=True):
        body = {"properties": {name: {**kind, **body}}}
    return _put(client, patience, f"{alias}/_mapping", body)


def _kinds_of(client: Client, patience: RetryForever, alias: str, parents: list[str]) -> list[dict[str, Any]]:
    """Return what must be said again of each parent: OpenSearch takes an object without a type for not nested."""
    described = ask(client, patience, "GET", f"/{quote(alias, safe='')}/_mapping").json()
    index: Mapping[str, Any] = next(iter(described.values()), {}) if isinstance(described, dict) else {}
    within = index.get("mappings", {})
    kinds = []
    for name in parents:
        within = within.get("properties", {}).get(name, {})
        is_nested = within.get("type") == "nested"
        kinds.append({each: within[each] for each in _OF_A_NESTED_FIELD if is_nested and each in within})
    return kinds


def _put(client: Client, patience: RetryForever, path: str, body: dict[str, Any]) -> str:
    """Send the change; return why it was refused, empty if it was not."""
    answer = ask(client, patience, "PUT", "/" + quote(path), body)
    return "" if answer.ok else ": ".join(error_of(answer))
