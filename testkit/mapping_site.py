"""Mappings on a source of the tests, with a function that remembers what it was called with."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from penstock_tools.aws.mapping.behaviour import Behaviour
from penstock_tools.aws.mapping.mappings import Mappings
from penstock_tools.aws.mapping.reader import Cluster
from penstock_tools.aws.runtime.invocation import Invocation

CLUSTER = "arn:aws:rds:us-east-1:123456789012:cluster:orders"
NEWER = "arn:aws:rds:us-east-1:123456789012:cluster:newer"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:orders-AbCdEf"
TIMEOUTS = {"sync": 60, "slow": 841, "longest": 840}
RAISED = Invocation(b'{"errorType":"ValueError","errorMessage":"no"}', "Unhandled")


class Function:
    """A function that answers what a test wants; `calls` are the decoded payloads, in order, failed ones included."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.names: list[str] = []
        self.answer: Callable[[int], Invocation] = lambda call: Invocation(b"null")
        self.failing: set[str] = set()
        self.most_at_once = 0
        self._inside = 0

    def __call__(self, name: str, payload: bytes) -> Invocation:
        if name not in TIMEOUTS:
            raise KeyError(name)
        self._inside += 1
        self.most_at_once = max(self.most_at_once, self._inside)
        try:
            self.names.append(name)
            self.payloads.append(payload)
            return RAISED if name in self.failing else self.answer(len(self.payloads))
        finally:
            self._inside -= 1

    @contextmanager
    def held(self) -> Iterator[threading.Event]:
        """Let the next call wait until the block is left; the event tells that it is under way."""
        begun, released = threading.Event(), threading.Event()
        before = self.answer

        def hold(call: int) -> Invocation:
            begun.set()
            released.wait(120)
            return before(call)

        self.answer = hold
        try:
            yield begun
        finally:
            self.answer = before
            released.set()

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(payload) for payload in list(self.payloads)]

    @property
    def batches(self) -> list[list[dict[str, Any]]]:
        return [[each["event"] for each in call["events"]] for call in self.calls]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for batch in self.batches for event in batch]

    @property
    def ids(self) -> list[Any]:
        return [event["documentKey"]["_id"] for event in self.events if "documentKey" in event]


class MappingSite:
    """One account's mappings of one database, which can be ended and begun again with the same state file."""

    def __init__(self, folder: Path, cluster: Cluster, db: str, **behaviour: Any) -> None:
        self.function = Function()
        self.db = db
        self.password: dict[str, str] = {}
        self.behaviour = Behaviour(**({"scope": "none", "first_wait_s": 0.01, "most_wait_s": 0.05} | behaviour))
        self._clusters = {CLUSTER: cluster, NEWER: Cluster(cluster.uri_host, None, "8.0.1")}
        self._state = folder / "mappings.json"
        self.mappings = self._begun()

    def _begun(self) -> Mappings:
        return Mappings(
            clusters=self._clusters,
            secret=lambda arn: {SECRET: self.password}[arn],
            invoke=self.function,
            timeout=TIMEOUTS.__getitem__,
            state=self._state,
            behaviour=self.behaviour,
        )

    def begin_again(self) -> None:
        """End the process, as it were, and start the next one."""
        self.mappings.close()
        self.mappings = self._begun()

    def request(self, coll: str | None = "c", **changed: Any) -> dict[str, Any]:
        """What a valid mapping is asked for with, without a window; None takes a parameter out."""
        config = {"DatabaseName": self.db} | ({"CollectionName": coll} if coll else {})
        asked = {
            "EventSourceArn": CLUSTER,
            "FunctionName": "sync",
            "MaximumBatchingWindowInSeconds": 0,
            "SourceAccessConfigurations": [{"Type": "BASIC_AUTH", "URI": SECRET}],
            "DocumentDBEventSourceConfig": config,
        } | changed
        return {name: value for name, value in asked.items() if value is not None}

    def create(self, coll: str | None = "c", full_document: str | None = None, **changed: Any) -> str:
        """Create a mapping and wait until it is enabled, or disabled when that is asked for."""
        asked = self.request(coll, **changed)
        if full_document:
            asked["DocumentDBEventSourceConfig"]["FullDocument"] = full_document
        name = self.mappings.create(asked)["UUID"]
        self.wait_state(name, "Enabled" if asked.get("Enabled", True) else "Disabled")
        return name

    def update(self, name: str, **changes: Any) -> None:
        """Update a mapping and wait until it is there."""
        self.mappings.update(name, changes)
        self.wait_state(name, "Enabled", "Disabled")

    def wait_state(self, name: str, *states: str) -> dict[str, Any]:
        wait_until(lambda: self.mappings.get(name)["State"] in states)
        return self.mappings.get(name)

    def wait_result(self, name: str, part: str) -> str:
        wait_until(lambda: part in self.mappings.get(name)["LastProcessingResult"])
        return self.mappings.get(name)["LastProcessingResult"]

    def wait_metric(self, name: str, metric: str, least: int) -> None:
        wait_until(lambda: (self.metric(name, metric) or 0) >= least)

    def metric(self, name: str, metric: str) -> int | None:
        return self.mappings.metrics()[name][metric]


@contextmanager
def mapping_site(folder: Path, uri: str, db: str, **behaviour: Any) -> Iterator[MappingSite]:
    """Mappings on an open source."""
    site = MappingSite(folder, open_cluster(uri), db, **behaviour)
    try:
        yield site
    finally:
        site.mappings.close()


def open_cluster(uri: str) -> Cluster:
    """The cluster behind a connection string without user and TLS."""
    return Cluster(uri.partition("://")[2].partition("/")[0], None, with_user=False)


def wait_until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    """Look again and again until it holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for did not come"
        time.sleep(0.01)
