"""The sink's part of `check`: what it is, what it lets penstock do, its room, and the state of each index."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import orjson

from penstock.errors import SettingsError, SinkUnavailable
from penstock.opensearch.http.client import Client, Unreachable
from penstock.opensearch.http.requests import require_server
from penstock.opensearch.index.mapping import explicit, index_body
from penstock.operations.check.finding import CheckFinding, failure, ok, refused, warning
from penstock.operations.check.index import (
    data_nodes,
    generation_findings,
    ignored_findings,
    index_findings,
    replicas_findings,
)
from penstock.operations.check.rights import rights_findings
from penstock.operations.inspect.views import Inspection
from penstock.settings import Settings

_OTHERWISE = "change what the message names: a template or a setting of the cluster"
_DISK_HIGH, _DISK_FLOOD = 0.90, 0.95


def sink_findings(seen: Inspection) -> Iterator[CheckFinding]:
    """Yield what can be said of the sink; only the connection, when there is none."""
    settings = seen.settings
    try:
        client = seen.index.client
        yield _server_finding(client, settings)
    except (SettingsError, SinkUnavailable) as error:
        yield _unavailable(error)
        return
    try:
        yield from _probe_findings(client)
        yield from rights_findings(client, settings.collections, reactions=bool(settings.reactions))
        yield from _room_findings(client)
        copies: dict[int, list[str]] = {}
        for collection in settings.collections:
            yield from index_findings(seen, collection, copies)
        yield from replicas_findings(copies, data_nodes(client))
        yield from generation_findings(seen)
        yield from ignored_findings(seen)
    except Unreachable as error:
        yield failure("sink", "connection", f"no response from {client.url}: {error}", error.todo)
    except SinkUnavailable as error:
        yield _unavailable(error)


def _unavailable(error: SettingsError | SinkUnavailable) -> CheckFinding:
    """The words with which a start is refused."""
    if isinstance(error, SettingsError):
        return failure("sink", "connection", str(error), exit_code=error.exit_code)
    return failure("sink", "connection", error.cause, error.todo)


def _server_finding(client: Client, settings: Settings) -> CheckFinding:
    """What answers there. Raises SinkUnavailable as a start does."""
    number = require_server(client)
    if not number:
        return warning("sink", "version", "OpenSearch Serverless reports none", "experimental: see the probes below")
    return ok("sink", "connection", f"OpenSearch {number} at {client.url}, login {settings.sink.auth}")


def _probe_findings(client: Client) -> Iterator[CheckFinding]:
    """Do once what penstock does all day, on an index that is deleted afterwards."""
    name = f"penstock-check-{secrets.token_hex(6)}"
    body = explicit(index_body(shards=1, replicas=0, mapping={}, meta={}))
    created = client.request("PUT", f"/{name}", {**body, "aliases": {f"{name}-write": {"is_write_index": True}}})
    if not created.ok:
        yield refused("create an index", created, otherwise=_OTHERWISE)
        return
    try:
        yield ok("sink", "create an index", "with mapping, settings and aliases")
        yield _versions_finding(client, f"{name}-write")
        read = client.request("POST", f"/{name}/_mget", {"ids": ["1"]})
        found = read.ok and read.json()["docs"][0].get("found")
        subject = "read it back"
        yield ok("sink", subject, "at once") if found else refused(subject, read, otherwise=_OTHERWISE)
    finally:
        with suppress(Unreachable, SinkUnavailable):
            deleted = client.request("DELETE", f"/{name}")
    if not deleted.ok:
        yield refused("delete an index", deleted, otherwise="")._replace(verdict="warning", todo=f"delete {name}")


def _versions_finding(client: Client, alias: str) -> CheckFinding:
    """An older version must be refused, or replays would not be harmless."""
    statuses = []
    for version in (2, 2, 1):
        action = {"index": {"_id": "1", "version": version, "version_type": "external_gte", "require_alias": True}}
        lines = orjson.dumps(action) + b'\n{"probe":true}\n'
        answer = client.request("POST", f"/{alias}/_bulk", lines)
        if not answer.ok:
            return refused("write with versions", answer, otherwise=_OTHERWISE)
        statuses.append(answer.json()["items"][0]["index"]["status"])
    if statuses == [201, 200, 409]:
        return ok("sink", "write with versions", "newer and equal versions are accepted, older ones refused")
    return failure(
        "sink",
        "write with versions",
        f"the server answered {statuses} to a new, an equal and an older version",
        "use a server that supports external versions",
    )


def _room_findings(client: Client) -> Iterator[CheckFinding]:
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
        what = f"writes are blocked: {', '.join(blocks)}; penstock waits for it"
        yield warning("sink", "cluster", what, "remove the block")
    stats = client.request("GET", "/_nodes/stats/fs?filter_path=nodes.*.name,nodes.*.fs.total")
    for node in (stats.json() or {}).get("nodes", {}).values() if stats.ok else ():
        yield from _disk_findings(node)


def _disk_findings(node: Mapping[str, Any]) -> Iterator[CheckFinding]:
    total = node.get("fs", {}).get("total", {})
    size, free = total.get("total_in_bytes", 0), total.get("available_in_bytes", 0)
    used = 1 - free / size if size else 0.0
    if used >= _DISK_HIGH:
        what = "OpenSearch blocks writes" if used >= _DISK_FLOOD else "OpenSearch places no new shards there"
        yield warning("sink", f"disk of {node.get('name')}", f"{used:.0%} used: by default, {what}", "free disk space")
