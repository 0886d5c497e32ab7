"""The part of `check` that watches how many fields an index has, before it is full."""

from collections.abc import Iterator, Mapping
from typing import Any

from penstock.opensearch.index.field_limit import count_fields, limit_of, takes_new_fields
from penstock.operations.finding import Finding, ok, warning
from penstock.settings import CollectionSettings

_NEARLY_FULL = 0.8
_WIDE = 20
_NAMED = 3


def field_findings(collection: CollectionSettings, index: str, described: Mapping[str, Any]) -> Iterator[Finding]:
    """How near the index's fields are to their limit, and which objects hold the most."""
    mappings = described.get("mappings", {})
    used, limit = count_fields(mappings), limit_of(described["settings"]["index"])
    subject, detail = f"{index}: fields", f"{used:,} of {limit:,}"
    if used < limit * _NEARLY_FULL:
        yield ok("sink", subject, detail)
        return
    if not takes_new_fields(mappings):
        detail += "; new ones are kept in the documents, and are not searchable"
    elif collection.when_full == "dead-letter":
        detail += "; documents that bring more of them will be dead letters"
    else:
        detail += "; soon new ones will not be searchable"
    wide = widest_objects(mappings)[:_NAMED]
    if wide:
        detail += f"; the widest objects: {', '.join(f'{path} ({size:,})' for path, size in wide)}"
    yield warning("sink", subject, detail, _todo(collection, [path for path, _ in wide]))


def widest_objects(mappings: Mapping[str, Any]) -> list[tuple[str, int]]:
    """The objects that name many fields themselves, by path, the widest first: often their names are data."""
    return sorted((each for each in _sizes(mappings, "") if each[1] >= _WIDE), key=lambda each: -each[1])


def _sizes(mappings: Mapping[str, Any], path: str) -> Iterator[tuple[str, int]]:
    for name, each in mappings.get("properties", {}).items():
        if "properties" in each:
            yield f"{path}{name}", len(each["properties"])
            yield from _sizes(each, f"{path}{name}.")


def _todo(collection: CollectionSettings, wide: list[str]) -> str:
    suggest = f"see what `penstock mapping suggest {collection.namespace}` proposes"
    if not wide:
        return f"{suggest}, leave fields out by `exclude`, or raise `max_fields`"
    return (
        f"where the names of {wide[0]} are data, set `conflicts` of it to flat_object, or `exclude` it; {suggest};"
        " or raise `max_fields`. A new mapping needs a new index"
    )
