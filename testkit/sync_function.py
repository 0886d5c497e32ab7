"""The sync function as its mapping would call it, with a real queue, a real index and a real source."""

import json
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.session import Session, get_session
from bson.json_util import RELAXED_JSON_OPTIONS
from bson.json_util import dumps as extended_json

from penstock.aws import session
from penstock.aws.queue import Queue
from penstock.delivery.replay_queue import Replayed, replay_parked
from penstock.lambdas import clients, sync, topics
from penstock.model import version_of
from penstock.observe.metrics import Metrics
from penstock.runtime.intervals import Intervals
from penstock.worker import worker
from penstock.worker.progress import NoProgress
from testkit.sink_access import Said, Side
from testkit.workspace import Site

T = version_of(1_700_000_000, 1)
"""The cluster time of a test's first change, as a version."""

AWAY = Said(503, b'{"message":"away"}')


def event(operation: str, key: Any, document: dict[str, Any] | None = None, *, at: int, **more: Any) -> dict[str, Any]:
    """One event as the mapping would hand it over: JSON, in the relaxed form."""
    made = {
        "_id": {"_data": f"01{at >> 32:08x}{at & 0xFFFFFFFF:08x}090100000009000041e1"},
        "clusterTime": {"$timestamp": {"t": at >> 32, "i": at & 0xFFFFFFFF}},
        "documentKey": {"_id": key},
        "operationType": operation,
        **more,
    }
    if document is not None:
        made["fullDocument"] = {"_id": key, **document}
    return json.loads(extended_json(made, json_options=RELAXED_JSON_OPTIONS))


@dataclass
class SyncFunction:
    """The function in this process, as one warm container."""

    namespace: str
    alias: str
    queue: Queue
    way: Side
    said: list[dict[str, Any]] = field(default_factory=list)

    def call(self, *events: dict[str, Any], left_s: float = 60.0) -> dict[str, Any]:
        """Invoke it with events of the declared collection; answers the metrics that it published."""
        db, coll = self.namespace.split(".")
        whole = [{"event": {"ns": {"db": db, "coll": coll}, **each}} for each in events]
        return self.call_raw(
            {"eventSourceArn": "arn:aws:rds:x:1:cluster:c", "events": whole, "eventSource": "aws:docdb"}, left_s
        )

    def call_raw(self, envelope: Any, left_s: float = 60.0) -> dict[str, Any]:
        ends = time.monotonic() + left_s
        context = SimpleNamespace(
            aws_request_id="request-1",
            function_name="sync",
            get_remaining_time_in_millis=lambda: (ends - time.monotonic()) * 1000,
        )
        before = len(self.said)
        sync.handler(envelope, context)
        assert len(self.said) == before + 1
        return self.said[-1]

    def look_at_every_call(self) -> None:
        """Look at records and indexes at every call from now on, as a container does that was called long ago."""
        serving = sync._serving()
        serving.wiring = replace(serving.wiring, intervals=Intervals(targets_s=0.0))
        for each in serving.by_name.values():
            each.wiring = serving.wiring

    def indexed(self) -> dict[str, Any]:
        return self.way.documents(self.alias)

    def parked(self) -> list[dict[str, Any]]:
        """What the parked messages hold; they stay in the queue."""
        messages = self.queue.receive(wait_s=0, hidden_s=0)
        return [each for message in messages for each in json.loads(message.text)["parked"]]


def replay() -> Replayed:
    """Replay what is parked, with the function's settings."""
    return replay_parked(clients.settings(), stop=threading.Event(), intervals=Intervals.fast())


def load(*, again: bool = False) -> None:
    """Load the function's collections, with its settings."""
    settings = clients.settings()
    names = frozenset(each.namespace for each in settings.collections)
    worker.load(
        settings,
        stop=threading.Event(),
        metrics=Metrics(),
        progress=NoProgress(),
        only=names,
        again=again,
        intervals=Intervals.fast(),
    )


@cache
def _session() -> Session:
    """One for all tests: each new one reads megabytes of what services there are."""
    return get_session()


def settings_file(site: Site, names: list[str]) -> dict[str, str]:
    """Return the variables of a function whose settings are the file of a site."""
    tables = [{"namespace": name, "index": site.index(name), "replicas": 0} for name in names]
    return {"PENSTOCK_SETTINGS": str(site.folder / "penstock.toml"), "PENSTOCK_COLLECTIONS": json.dumps(tables)}


@contextmanager
def sync_function(
    monkeypatch: pytest.MonkeyPatch,
    way: Side,
    *,
    queues_url: str,
    source_uri: str,
    sink_url: str,
    namespace: str,
    alias: str,
    **more: str,
) -> Iterator[SyncFunction]:
    """A function that writes a collection's changes to an index; `more` are variables of its environment."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL_SQS": queues_url,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(session, "session", _session)
    queue_url = session.service("sqs").create_queue(QueueName=f"parked-{secrets.token_hex(4)}")["QueueUrl"]
    collection = json.dumps(
        [{"namespace": namespace, "index": alias, "replicas": 0, "function": more.pop("function", None)}]
    )
    variables = {
        "PENSTOCK_SOURCE_URI": source_uri,
        "PENSTOCK_SINK_URL": sink_url,
        "PENSTOCK_SINK_TIMEOUT_S": "2",
        "PENSTOCK_COLLECTIONS": collection,
        "PENSTOCK_PIPELINE_PARKING_QUEUE": queue_url,
        **more,
    }
    for name in [each for each in os.environ if each.startswith("PENSTOCK_") and not each.startswith("PENSTOCK_TEST_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    made = SyncFunction(namespace, alias, Queue(queue_url), way)
    monkeypatch.setattr(clients, "set_up_logs", lambda _settings: None)  # the log of the tests stays as it is
    monkeypatch.setattr(sync, "publish", lambda _function, values, **_details: made.said.append(dict(values)))
    forget()
    try:
        yield made
    finally:
        clients.sink().close()
        clients.source().close()
        forget()


def forget() -> None:
    """As a new container begins: nothing is kept from earlier invocations."""
    for kept in (clients.settings, clients.source, clients.sink, sync._serving, sync._queue, topics._understanding):
        kept.cache_clear()
