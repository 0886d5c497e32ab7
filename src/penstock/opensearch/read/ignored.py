"""Values that an index keeps and does not search by: they do not fit the type of their field.

`ignore_malformed` accepts them, and the document names the field in `_ignored`. No server aggregates that by itself, so
it is asked for each field of the mapping; only where there is such a document at all.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import structlog

from penstock.errors import SinkUnavailable
from penstock.observe.wording import counted
from penstock.opensearch.http.client import Client
from penstock.opensearch.http.waiting import RetryForever
from penstock.opensearch.read.scan import hits_of, read_json

log = structlog.get_logger(__name__)

_NAMED = 5


@dataclass(frozen=True)
class IgnoredValues:
    """How many documents have such values, and how many by field, the most first."""

    documents: int = 0
    fields: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        named = [f"{path} ({documents:,})" for path, documents in list(self.fields.items())[:_NAMED]]
        if more := len(self.fields) - len(named):
            named.append(f"{counted(more, 'more field')}")
        return f"{counted(self.documents, 'document')} cannot be searched by {', '.join(named)}"


def ignored_values(
    client: Client, patience: RetryForever, index: str, *, refreshed: bool = False
) -> IgnoredValues | None:
    """Count them in an index or alias; up to a second old, unless it is to be refreshed before.

    Return None where that is not known: nothing else depends on it. Raises Stopped.
    """
    try:
        return _counted(client, patience, index, refreshed=refreshed)
    except SinkUnavailable as error:
        log.info("cannot count the values that do not fit the mapping", index=index, reason=str(error))
        return None


def _counted(client: Client, patience: RetryForever, index: str, *, refreshed: bool) -> IgnoredValues:
    name = quote(index, safe="")
    if refreshed:
        read_json(client, patience, "POST", f"/{name}/_refresh", None)
    search = f"/{name}/_search"
    query: dict[str, Any] = {"size": 0, "track_total_hits": True, "query": {"exists": {"field": "_ignored"}}}
    found = read_json(client, patience, "POST", search, query)
    hits_of(found, index)
    if not found["hits"]["total"]["value"]:
        return IgnoredValues()
    mapped = read_json(client, patience, "GET", f"/{name}/_mapping", None)
    paths = {path for each in mapped.values() for path in _paths(each["mappings"], "")}
    filters = {path: {"term": {"_ignored": path}} for path in sorted(paths)}
    query["aggs"] = {"fields": {"filters": {"filters": filters}}}
    found = read_json(client, patience, "POST", search, query)
    hits_of(found, index)
    buckets = found["aggregations"]["fields"]["buckets"].items()
    counts = {path: int(each["doc_count"]) for path, each in buckets if each["doc_count"]}
    by_count = sorted(counts, key=lambda path: -counts[path])
    return IgnoredValues(int(found["hits"]["total"]["value"]), {path: counts[path] for path in by_count})


def _paths(mapping: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Every field of a mapping that has a type, and their sub-fields."""
    for name, each in {**mapping.get("properties", {}), **mapping.get("fields", {})}.items():
        if "type" in each:
            yield f"{prefix}{name}"
        yield from _paths(each, f"{prefix}{name}.")
