"""Checks whether index and source are equal: with `penstock verify`, and with a comparison that shares no code."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import bson
from pymongo.collection import Collection

from penstock.connections import sink_client
from penstock.documents.transform import Transform
from penstock.model import Namespace
from penstock.mongo.codec import CODEC
from penstock.observe.metrics import Metrics
from penstock.opensearch.http.client import Client
from penstock.opensearch.http.waiting import RetryForever
from penstock.opensearch.read.scan import count, read_sources, scan
from penstock.settings import CollectionSettings, Settings, SinkSettings
from penstock_tools.compare import Comparison, compare
from testkit.workspace import Site

_AT_ONCE = 1000


@dataclass(frozen=True)
class Found:
    """What both found in one collection."""

    equal: bool
    documents: int
    lost: int
    doubled: int
    resurrected: int
    summary: str


def found(site: Site, collection: Collection[dict[str, Any]], sink_url: str) -> Found:
    """Run both; nothing may be written in the meantime."""
    namespace = Namespace(collection.database.name, collection.name)
    verified, exit_code = _verified(site, str(namespace))
    patience = RetryForever(Metrics(), threading.Event())
    settings = Settings(sink=SinkSettings(url=sink_url))
    with closing(sink_client(settings, connections=2)) as client:
        index = site.index(str(namespace))
        compared = _compared(collection, namespace, client, patience, index)
        doubled = _doubled(client, patience, index)
    return Found(
        equal=exit_code == 0 and compared.equal,
        documents=compared.documents,
        lost=max(verified["missing"] + verified["different"], compared.missing + compared.different),
        doubled=doubled,
        resurrected=max(verified["too_many"], compared.too_many),
        summary=f"verify {exit_code} {verified}, compare {compared}",
    )


def _verified(site: Site, namespace: str) -> tuple[dict[str, Any], int]:
    done = site.run("verify", namespace, "--json", "--restart", "--wait", "20")
    lines = done.stdout.splitlines()
    assert lines, done.stderr
    return json.loads(lines[-1]), done.returncode


def _compared(
    collection: Collection[dict[str, Any]], namespace: Namespace, client: Client, patience: RetryForever, index: str
) -> Comparison:
    client.request("POST", f"/{index}/_refresh")

    def pages() -> Iterator[list[dict[str, Any]]]:
        for raw in collection.find_raw_batches({}, batch_size=_AT_ONCE):
            yield bson.decode_all(raw, CODEC)

    return compare(
        pages(),
        Transform(CollectionSettings(namespace=str(namespace))),
        lambda ids: read_sources(client, patience, index, ids),
        lambda: count(client, patience, index),
    )


def _doubled(client: Client, patience: RetryForever, index: str) -> int:
    """Return how many documents of the index exist again under another id."""
    keys: Counter[str] = Counter()
    for page in scan(client, patience, index):
        bodies = read_sources(client, patience, index, [each.id for each in page])
        keys.update(str(body.get("key", text_id)) for text_id, body in bodies.items())
    return keys.total() - len(keys)
