"""Puts what an earlier version of penstock left in OpenSearch back, next to a source with the documents of that time.

What the recording names by marks is put in: addresses, the source's identity, the UUIDs of the indexes as they are made
again. A position belongs to one source, so those of the pipelines are replaced by the present ones of the test's own.
"""

import json
from pathlib import Path
from typing import Any

from bson import json_util
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database

from testkit.workspace import Site

DATABASE = "recorded_shop"
PREFIX = "recorded-"
SOURCE = "SOURCE-URI"
SINK = "SINK-URL"
IDENTITY = "SOURCE-IDENTITY"
EXACT = json_util.CANONICAL_JSON_OPTIONS


def uuid_mark(index: str) -> str:
    """What stands for an index's UUID."""
    return f"UUID of {index}"


def restore(recording: Path, site: Site, database: Database[Any]) -> dict[str, Any]:
    """Put everything back, under the names of the test; returns the recording as it was put back.

    The source gets a second database, `<name>_logs`.
    """
    client = database.client
    marks = {
        DATABASE: database.name,
        PREFIX: site.index(""),
        SOURCE: site.source_uri,
        SINK: site.sink_url,
        IDENTITY: client.admin.command("hello")["setName"],
    }
    text = _replaced(recording.read_text(), marks)
    held = json.loads(text)
    for name, content in held["files"].items():
        (site.folder / name).write_text(content)
    for namespace, documents in held["source"].items():
        db, _, coll = namespace.partition(".")
        client[db][coll].insert_many(json_util.loads(json.dumps(documents), json_options=EXACT))
    for name, index in held["indexes"].items():
        _make(site, name, index["body"])
        _write(site, name, index["documents"])
    held = json.loads(_replaced(text, {uuid_mark(name): _uuid(site, name) for name in held["indexes"]}))
    for state_id, document in held["state"].items():
        if document["kind"] == "pipeline":
            document["position"] = _position(_watched(client, state_id, held["state"]))
    lines = [(json.dumps({"index": {"_id": each}}), json.dumps(held["state"][each])) for each in held["state"]]
    site.bulk("penstock-state", [line for pair in lines for line in pair])
    _write(site, "penstock-dead-letters", held["dead_letters"])
    return held


def _replaced(text: str, marks: dict[str, str]) -> str:
    for mark, name in marks.items():
        text = text.replace(mark, name)
    return text


def _make(site: Site, name: str, body: dict[str, Any]) -> None:
    """Make an index as it was; penstock's own may be there already."""
    made = site.ask("PUT", name, body)
    is_there = made.get("error", {}).get("type") == "resource_already_exists_exception"
    assert made.get("acknowledged") or (is_there and name.startswith("penstock-")), made


def _write(site: Site, name: str, documents: dict[str, Any]) -> None:
    lines = []
    for each, (version, source) in documents.items():
        action = {"index": {"_id": each, "version": version, "version_type": "external_gte"}}
        lines += [json.dumps(action), json.dumps(source)]
    if lines:
        site.bulk(name, lines)


def _uuid(site: Site, index: str) -> str:
    return site.ask("GET", f"{index}/_settings")[index]["settings"]["index"]["uuid"]


def _watched(client: MongoClient[Any], state_id: str, state: dict[str, Any]) -> Database[Any] | Collection[Any]:
    """What the cursor of a pipeline is on: a database, or the collection of a generation of its own."""
    name = state_id.removeprefix("pipeline/")
    if not name.startswith("generation/"):
        return client[name]
    index = name.removeprefix("generation/")
    db, _, coll = state[f"generations/{index.rpartition('-g')[0]}"]["name"].partition(".")
    return client[db][coll]


def _position(watched: Database[Any] | Collection[Any]) -> dict[str, Any]:
    """Where a stream of the source stands now, as it has always been stored."""
    client = watched.client if isinstance(watched, Database) else watched.database.client
    time = client.admin.command("ping")["operationTime"]
    with watched.watch() as stream:
        stream.try_next()
        token = json_util.dumps(stream.resume_token, json_options=EXACT)
    return {"token": token, "time": time.time << 32 | time.inc}
