"""The sink's part of `check`: what it is, what it lets penstock do, its room, and the state of each index."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import orjson

from penstock.build import sink_client
from penstock.errors import SettingsError, SinkUnavailable
from penstock.observe.wording import counted
from penstock.opensearch.http.client import Answer, Client, Unreachable
from penstock.opensearch.http.requests import error_of
from penstock.opensearch.index.mapping import body_for, index_body, read_mapping
from penstock.operations.check_durable import durable_findings
from penstock.operations.check_fields import field_findings
from penstock.operations.finding import Finding, failure, ok, warning
from penstock.operations.observed import SinkView
from penstock.plans import Declared
from penstock.settings import CollectionSettings, Settings

_MAJORS = ("2", "3")
_DISK_HIGH, _DISK_FLOOD = 0.90, 0.95
_RIGHTS = "let the user read, write, create and delete indexes (AWS: es:ESHttp* on the domain and on /_bulk, /_mget)"


def sink_findings(settings: Settings) -> Iterator[Finding]:
    """Yield what can be said of the sink; only the connection, when there is none."""
    try:
        client = sink_client(settings)
    except (SettingsError, SinkUnavailable) as error:
        yield failure("sink", "connection", str(error))
        return
    try:
        server = _server_finding(client, settings)
        yield server
        if server.verdict != "failure":
            yield from _probe_findings(client)
            yield from _room_findings(client)
            copies: dict[int, list[str]] = {}
            for collection in settings.collections:
                yield from _index_findings(client, collection, copies)
            yield from _replicas_findings(copies, _data_nodes(client))
            yield from _generation_findings(SinkView(settings, client), settings)
    except (Unreachable, SinkUnavailable) as error:
        yield failure("sink", "connection", f"no answer from {client.url}: {error}", "see that it is up and reachable")
    finally:
        client.close()


def _server_finding(client: Client, settings: Settings) -> Finding:
    """What answers there; on a failure there is no use in going on."""
    if settings.sink.auth == "sigv4" and settings.sink.service == "aoss":
        return warning("sink", "version", "OpenSearch Serverless does not tell", "experimental: see the probes")
    answer = client.request("GET", "/")
    if answer.status in (401, 403):
        todo = "see [sink] auth, username, password_file, region"
        return failure("sink", "login", f"{client.url} refuses it ({answer.status})", todo)
    parsed = answer.json()
    version = parsed.get("version", {}) if isinstance(parsed, dict) else {}
    number, product = str(version.get("number", "")), version.get("distribution", "Elasticsearch")
    if not answer.ok or not number:
        return failure("sink", "connection", f"{client.url} does not answer like OpenSearch", "see [sink] url")
    if product != "opensearch" or number.split(".", maxsplit=1)[0] not in _MAJORS:
        return failure("sink", "version", f"{product} {number} is not supported", "use OpenSearch 2 or 3")
    return ok("sink", "connection", f"OpenSearch {number} at {client.url}, login {settings.sink.auth}")


def _probe_findings(client: Client) -> Iterator[Finding]:
    """Do once what penstock does all day, on an index that is deleted afterwards."""
    name = f"penstock-check-{secrets.token_hex(6)}"
    body = index_body(shards=1, replicas=0, mapping={}, meta={})
    created = client.request("PUT", f"/{name}", {**body, "aliases": {f"{name}-write": {"is_write_index": True}}})
    if not created.ok:
        yield failure("sink", "create an index", _told(created), _RIGHTS)
        return
    try:
        yield ok("sink", "create an index", "with mapping, settings and aliases")
        yield _versions_finding(client, f"{name}-write")
        read = client.request("POST", f"/{name}/_mget", {"ids": ["1"]})
        found = read.ok and read.json()["docs"][0].get("found")
        yield ok("sink", "read it back", "at once") if found else failure("sink", "read it back", _told(read), _RIGHTS)
    finally:
        with suppress(Unreachable, SinkUnavailable):
            deleted = client.request("DELETE", f"/{name}")
    if not deleted.ok:
        yield warning("sink", "delete an index", _told(deleted), f"delete {name}")


def _versions_finding(client: Client, alias: str) -> Finding:
    """An older version must be refused, or replays would not be harmless."""
    statuses = []
    for version in (2, 2, 1):
        action = {"index": {"_id": "1", "version": version, "version_type": "external_gte", "require_alias": True}}
        lines = orjson.dumps(action) + b'\n{"probe":true}\n'
        answer = client.request("POST", f"/{alias}/_bulk", lines)
        if not answer.ok:
            return failure("sink", "write with versions", _told(answer), _RIGHTS)
        statuses.append(answer.json()["items"][0]["index"]["status"])
    if statuses == [201, 200, 409]:
        return ok("sink", "write with versions", "newer and equal ones are taken, older ones refused")
    return failure(
        "sink",
        "write with versions",
        f"answered {statuses} to a new, an equal and an older version",
        "not supported here",
    )


def _room_findings(client: Client) -> Iterator[Finding]:
    """Blocks of the whole cluster, and disks that are about to cause one."""
    settings = client.request("GET", "/_cluster/settings?flat_settings=true")
    answered = settings.json() if settings.ok else {}
    blocks = [
        name
        for kind in ("persistent", "transient")
        for name, value in answered.get(kind, {}).items()
        if name.startswith("cluster.blocks.") and value == "true"
    ]
    if blocks:
        yield failure("sink", "cluster", f"writes are blocked: {', '.join(blocks)}", "remove the block")
    stats = client.request("GET", "/_nodes/stats/fs?filter_path=nodes.*.name,nodes.*.fs.total")
    for node in (stats.json() or {}).get("nodes", {}).values() if stats.ok else ():
        yield from _disk_findings(node)


def _disk_findings(node: Mapping[str, Any]) -> Iterator[Finding]:
    total = node.get("fs", {}).get("total", {})
    size, free = total.get("total_in_bytes", 0), total.get("available_in_bytes", 0)
    used = 1 - free / size if size else 0.0
    if used >= _DISK_HIGH:
        what = "OpenSearch blocks writes" if used >= _DISK_FLOOD else "OpenSearch places no new shards there"
        yield warning(
            "sink", f"disk of {node.get('name')}", f"{used:.0%} used: {what}, unless told otherwise", "make room"
        )


def _data_nodes(client: Client) -> int:
    """How many nodes can hold a copy; 0 when the cluster does not say."""
    health = client.request("GET", "/_cluster/health")
    return int(health.json().get("number_of_data_nodes", 0)) if health.ok else 0


def _index_findings(client: Client, collection: CollectionSettings, copies: dict[int, list[str]]) -> Iterator[Finding]:
    """What can be said of one index; `copies` gathers by number of replicas which indexes have so many."""
    alias = collection.alias
    answer = client.request("GET", f"/{quote(alias, safe='')}")
    if answer.status == 404:
        yield ok("sink", alias, "will be created")
        yield from _mapping_findings(client, collection)
        copies.setdefault(collection.replicas, []).append(alias)
        return
    if not answer.ok:
        yield failure("sink", alias, _told(answer), _RIGHTS)
        return
    for index, described in answer.json().items():
        yield from _state_findings(collection, index, described, copies)


def _mapping_findings(client: Client, collection: CollectionSettings) -> Iterator[Finding]:
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
        yield ok("sink", subject, f"OpenSearch takes {origin}")
    else:
        yield failure("sink", subject, _told(answer), f"correct {origin}")


def _state_findings(
    collection: CollectionSettings, index: str, described: Mapping[str, Any], copies: dict[int, list[str]]
) -> Iterator[Finding]:
    alias, settings = collection.alias, described["settings"]["index"]
    owner = described.get("mappings", {}).get("_meta", {}).get("penstock", {}).get("collection")
    if index == alias or owner != collection.namespace:
        what = f"is an index of {owner}" if owner else "is in use for an index that penstock did not make"
        yield failure("sink", alias, f"{what} ({index})", "give the collection another `index`, or delete it")
        return
    yield ok("sink", alias, f"stands for {index}")
    yield from durable_findings(index, settings)
    yield from field_findings(collection, index, described)
    copies.setdefault(int(settings.get("number_of_replicas", 0)), []).append(alias)


def _replicas_findings(copies: Mapping[int, list[str]], nodes: int) -> Iterator[Finding]:
    """One finding for all indexes that want the same number of replicas, when the cluster has no room for them."""
    for replicas, aliases in sorted(copies.items()):
        if nodes and replicas >= nodes:
            yield warning(
                "sink",
                f"{', '.join(aliases)}: replicas",
                f"{replicas} on {counted(nodes, 'data node')}: copies stay unassigned, the cluster yellow",
                f"set replicas = {nodes - 1}, or add nodes",
            )


def _generation_findings(view: SinkView, settings: Settings) -> Iterator[Finding]:
    """Where an index is not made as the settings say now, and where a new one failed."""
    records = view.records([each.alias for each in settings.collections])
    for collection in settings.collections:
        record, name = records.get(collection.alias), collection.namespace
        for each in record.generations if record else ():
            if each.failed:
                yield warning("sink", each.index, f"is not fed: {each.failed}", f"penstock reindex {name}")
        with suppress(SettingsError):  # it is among the findings of the settings
            changed = record.moved_on(Declared.by(collection).recipe) if record else []
            if changed:
                what = f"is not made as the settings say now ({', '.join(changed)})"
                yield warning("sink", f"{collection.alias}: settings", what, f"penstock reindex {name}")


def _told(answer: Answer) -> str:
    kind, reason = error_of(answer)
    return f"refused ({answer.status} {kind}: {reason})"
