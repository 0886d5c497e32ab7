"""The part of `check` about one index: its settings, its mapping, its fields before they are full, its replicas."""

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import orjson

from penstock.errors import SettingsError
from penstock.observe.wording import counted
from penstock.opensearch.http.client import Client
from penstock.opensearch.http.waiting import FailFast
from penstock.opensearch.index.field_limit import count_fields, limit_of, takes_new_fields
from penstock.opensearch.index.indexes import AliasLost, Indexes, IndexRefused, index_of
from penstock.opensearch.index.mapping import body_for, flat_settings, pipelines_in, read_mapping
from penstock.opensearch.index.templates import templates_for
from penstock.operations.check.finding import CheckFinding, failure, ok, refused, warning
from penstock.operations.inspect.differences import NotCompared
from penstock.operations.inspect.views import Inspection
from penstock.planner import DeclaredCollection
from penstock.runtime.intervals import GC_DELETES_S
from penstock.settings import CollectionSettings

_NEARLY_FULL = 0.8
_WIDE = 20
_NAMED = 3


def _field_findings(collection: CollectionSettings, index: str, described: Mapping[str, Any]) -> Iterator[CheckFinding]:
    """How near the index's fields are to their limit, and which objects hold the most."""
    mappings = described.get("mappings", {})
    used, limit = count_fields(mappings), limit_of(described["settings"]["index"])
    subject, detail = f"{index}: fields", f"{used:,} of {limit:,}"
    if used < limit * _NEARLY_FULL:
        yield ok("sink", subject, detail)
        return
    if not takes_new_fields(mappings):
        detail += "; new fields are stored in the documents but cannot be searched"
    elif collection.when_full == "dead-letter":
        detail += "; documents that add more fields will become dead letters"
    else:
        detail += "; soon new fields will not be searchable"
    wide = widest_objects(mappings)[:_NAMED]
    if wide:
        detail += f"; objects with the most fields: {', '.join(f'{path} ({size:,})' for path, size in wide)}"
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
        return f"{suggest}, leave fields out with `exclude`, or raise `max_fields`"
    return (
        f"if the field names within {wide[0]} are data, set its `conflicts` to flat_object, or `exclude` it;"
        f" {suggest}; or raise `max_fields`. A new mapping needs a new index"
    )


def data_nodes(client: Client) -> int:
    """How many nodes can hold a copy; 0 when the cluster does not say."""
    health = client.request("GET", "/_cluster/health")
    return int(health.json().get("number_of_data_nodes", 0)) if health.ok else 0


def index_findings(
    seen: Inspection, collection: CollectionSettings, copies: dict[int, list[str]]
) -> Iterator[CheckFinding]:
    """What can be said of one index; `copies` gathers the indexes by their number of replicas."""
    alias, client = collection.alias, seen.index.client
    if alias not in seen.records:
        try:
            Indexes(client, FailFast(client.url)).require_names(collection)
        except IndexRefused as error:
            yield failure("sink", alias, error.cause, error.todo, exit_code=error.exit_code)
            return
        except AliasLost as error:
            yield warning("sink", alias, str(error), "start `penstock run`, which restores it")
    answer = client.request("GET", f"/{quote(alias, safe='')}")
    if answer.status == 404:
        yield ok("sink", alias, "will be created")
        yield from _mapping_findings(client, collection)
        yield from _template_findings(client, collection)
        with suppress(SettingsError):  # it is among the findings of the settings
            yield from _comparison_findings(client, collection, _asked_for(collection))
        copies.setdefault(collection.replicas, []).append(alias)
    elif not answer.ok:
        yield refused(alias, answer, otherwise="")
    else:
        for index, described in answer.json().items():
            yield from _state_findings(client, collection, index, described, copies=copies)


def _mapping_findings(client: Client, collection: CollectionSettings) -> Iterator[CheckFinding]:
    """Whether OpenSearch takes the user's mapping file (its analyzers may be missing), tried on a scratch index."""
    if collection.mapping_file is None and not collection.conflicts:
        return
    origin = collection.mapping_file or "`conflicts`"
    name, subject = f"penstock-check-{secrets.token_hex(6)}", f"{collection.alias}: mapping"
    try:
        one = collection.model_copy(update={"shards": 1, "replicas": 0})
        body = body_for(one, mapping=read_mapping(collection.mapping_file), meta={})
    except SettingsError:
        return  # it is among the findings of the settings
    answer = client.request("PUT", f"/{name}", body)
    if answer.ok:
        client.request("DELETE", f"/{name}")
        yield ok("sink", subject, f"OpenSearch accepts {origin}")
    else:
        found = refused(subject, answer, otherwise=f"Correct {origin}.")
        yield found._replace(exit_code=SettingsError.exit_code) if answer.status == 400 else found


def _asked_for(collection: CollectionSettings) -> dict[str, Any]:
    return body_for(collection, mapping=read_mapping(collection.mapping_file), meta={})


def _comparison_findings(
    client: Client, collection: CollectionSettings, described: Mapping[str, Any]
) -> Iterator[CheckFinding]:
    """Where an index does not keep what penstock writes, which `verify` then cannot compare."""
    settings = flat_settings(described["settings"])
    for pipeline in sorted(set(pipelines_in(settings).values())):
        yield _pipeline_finding(client, collection, pipeline)
    found, subject = NotCompared.of((), described.get("mappings", {})), f"{collection.alias}: _source"
    if found.everything:
        what = "is off: `verify` and `reindex` compare only which documents there are, not what is in them"
        yield warning("sink", subject, what, "leave `_source` on in the mapping")
    elif found:
        left = [f"leaves out {', '.join(found.paths)}"] if found.paths else []
        left += [f"has only {', '.join(found.only)}"] if found.only else []
        what = f"{' and '.join(left)}: `verify` and `reindex` do not compare the rest"
        yield warning("sink", subject, what, "keep all of it, if that matters")
    if str(settings.get("index.derived_source.enabled")).lower() == "true":
        what = "is derived from the index, so its values are not those that penstock writes"
        yield warning("sink", subject, what, "set index.derived_source.enabled to false in the mapping_file")


def _pipeline_finding(client: Client, collection: CollectionSettings, pipeline: str) -> CheckFinding:
    subject = f"{collection.alias}: ingest pipeline"
    if client.request("GET", f"/_ingest/pipeline/{quote(pipeline, safe='')}").status == 404:
        return warning("sink", subject, f"{pipeline} does not exist: no document can be written", f"create {pipeline}")
    if collection.not_compared:
        return ok("sink", subject, f"{pipeline}; not compared: {', '.join(collection.not_compared)}")
    todo = "name the fields that it sets in `not_compared`; otherwise `verify` finds them different"
    return warning("sink", subject, f"{pipeline} may change documents on their way in", todo)


def _template_findings(client: Client, collection: CollectionSettings) -> Iterator[CheckFinding]:
    """What an index template of others would do to the index."""
    found, subject = templates_for(client, index_of(collection.alias, 1)), f"{collection.alias}: index template"
    fields = sorted(found.mappings.get("properties", {}))
    if fields or found.pipelines:
        what = [f"maps {', '.join(fields)}"] if fields else []
        what += [f"names the pipeline {each}, which will not be used" for each in found.pipelines]
        todo = "exclude the index from its index_patterns, or say in mapping_file what the index should have"
        yield warning("sink", subject, f"{', '.join(found.names)} {' and '.join(what)}", todo)
    elif found.names:
        yield ok("sink", subject, f"{', '.join(found.names)} applies, and changes no field")


def _state_findings(
    client: Client,
    collection: CollectionSettings,
    index: str,
    described: Mapping[str, Any],
    *,
    copies: dict[int, list[str]],
) -> Iterator[CheckFinding]:
    alias, settings = collection.alias, described["settings"]["index"]
    owner = described.get("mappings", {}).get("_meta", {}).get("penstock", {}).get("collection")
    if owner != collection.namespace:
        todo = f"move the alias back, unless that is intended: penstock does not update {index}"
        yield warning("sink", alias, f"points to {index}, which is not penstock's", todo)
        return
    yield ok("sink", alias, f"points to {index}")
    yield from _durable_findings(index, settings)
    yield from _comparison_findings(client, collection, described)
    yield from _field_findings(collection, index, described)
    copies.setdefault(int(settings.get("number_of_replicas", 0)), []).append(alias)


def replicas_findings(copies: Mapping[int, list[str]], nodes: int) -> Iterator[CheckFinding]:
    """One finding for all indexes that want the same number of replicas, when the cluster has no room for them."""
    for replicas, aliases in sorted(copies.items()):
        if nodes and replicas >= nodes:
            yield warning(
                "sink",
                f"{', '.join(aliases)}: replicas",
                f"{replicas} on {counted(nodes, 'data node')}: some stay unassigned, and the cluster stays yellow",
                f"set replicas = {nodes - 1}, or add nodes",
            )


def generation_findings(seen: Inspection) -> Iterator[CheckFinding]:
    """Where an index is not made as the settings say now, and where a new one failed."""
    for collection in seen.settings.collections:
        record, name = seen.records.get(collection.alias), collection.namespace
        for each in record.generations if record else ():
            if each.failed:
                yield warning("sink", each.index, f"is not being updated: {each.failed}", f"penstock reindex {name}")
        with suppress(SettingsError):  # it is among the findings of the settings
            changed = record.moved_on(DeclaredCollection.by(collection).recipe) if record else []
            if changed:
                what = f"the settings have changed since the index was created ({', '.join(changed)})"
                yield warning("sink", f"{collection.alias}: settings", what, f"penstock reindex {name}")


def ignored_findings(seen: Inspection) -> Iterator[CheckFinding]:
    """Where documents have values that the index does not search by."""
    for collection in seen.settings.collections:
        alias = collection.alias
        if (ignored := seen.index.ignored(alias)) and ignored.documents:
            first = next(iter(ignored.fields), "")
            query = orjson.dumps({"query": {"term": {"_ignored": first}}}).decode()
            todo = (
                f"find them with GET {alias}/_search {query}; correct the values, or map the field otherwise in"
                f" mapping_file and run penstock reindex {collection.namespace}"
            )
            yield warning("sink", f"{alias}: values", f"{ignored}: the values do not fit the mapping", todo)


_SECONDS = {"nanos": 1e-9, "micros": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400}
"""OpenSearch's units of time."""


def _durable_findings(index: str, settings: Mapping[str, Any]) -> Iterator[CheckFinding]:
    """What somebody has set otherwise than penstock did; `settings` are those of the index."""
    if settings.get("translog", {}).get("durability") == "async":
        yield warning(
            "sink",
            f"{index}: translog",
            "is `async`: acknowledged writes can be lost when a node fails",
            "set index.translog.durability to request",
        )
    gc_deletes = str(settings.get("gc_deletes", "60s"))
    if _seconds(gc_deletes) < GC_DELETES_S:
        yield warning(
            "sink",
            f"{index}: gc_deletes",
            f"is {gc_deletes}: the index forgets deletes so early that a late write can restore a deleted document",
            f"set index.gc_deletes to {GC_DELETES_S}s",
        )
    if settings.get("verified_before_close") == "true":
        yield failure("sink", f"{index}: state", "is closed: reads and writes wait", f"open it: POST /{index}/_open")
    blocks = [name for name, value in settings.get("blocks", {}).items() if value == "true"]
    if blocks:
        yield warning(
            "sink", f"{index}: blocks", f"{', '.join(blocks)}: writes wait", "free disk space, then remove the block"
        )


def _seconds(text: str) -> float:
    """The time that a setting tells; 0 for what cannot be read."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([a-z]+)", text)
    return float(found[1]) * _SECONDS.get(found[2], 0) if found else 0.0
