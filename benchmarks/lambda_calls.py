"""Item 4: the sync function with batches of 1,000 and of 100 events, against the sample's way, one call an event.

    .venv/bin/python -m benchmarks.lambda_calls [--rounds 7] [--events 1000]

All run as deployed: from the built folder under Lambda's runtime, in one warm process, with signed requests through the
checking proxy. A round calls it with events that it has not seen; the time is from handing an event to the runtime to
its answer. The last way shows what the proxy costs the sample's: the same requests from this process, straight to
OpenSearch, neither signed nor encrypted. What the mapping itself takes is measured by mapping.py.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from bson import Timestamp

from benchmarks.ground import DB, Ground, generated, ground
from benchmarks.item import Given, flags, quieten, stopped_quietly, tell, versions
from benchmarks.results import HERE, Section
from benchmarks.rounds import ROUNDS, Took, Way, measured
from penstock.lambdas.environment import function_name
from penstock_tools.aws.deployment import Deployment, DeploymentSettings
from penstock_tools.aws.mapping.envelope import EventForm, envelope, event_json
from penstock_tools.servers.progress import progress_here

COLL = "events"
OF_THE_SAMPLE = f"{COLL}-g0"

Document = dict[str, Any]


class Calls:
    """Hands new events to the function, and counts what became of them."""

    def __init__(self, deployment: Deployment, at: Ground) -> None:
        self._function = deployment.functions[function_name("sync")]
        self._arn = deployment.cluster_arn
        self._at = at
        self._cpu_s = 0.0
        self._version = 0
        self.sampled = 0

    def way(self, name: str, way: str, count: int, batch: int) -> Way:
        """Call one way of the handler with a number of events at once."""
        payloads: list[bytes] = []

        def before() -> None:
            payloads[:] = self._payloads(way, self._new(way, count), batch)

        return Way(name, lambda: self._call_all(payloads), before)

    def straight(self, count: int) -> Way:
        """The sample's requests from this process."""
        documents: list[Document] = []

        def before() -> None:
            documents[:] = self._new("sample", count)

        def run() -> Took:
            began, cpu = time.perf_counter(), time.process_time()
            for each in documents:
                self._at.client.request("PUT", f"/{OF_THE_SAMPLE}/_doc/{each.pop('_id')}", each)
            return Took(time.perf_counter() - began, time.process_time() - cpu)

        return Way("the same requests, straight to OpenSearch", run, before)

    def _call_all(self, payloads: list[bytes]) -> Took:
        before, seconds = self._cpu_s, 0.0
        for payload in payloads:
            answer = self._function.invoke(payload)
            if answer.function_error:
                raise SystemExit(f"the function failed, so there are no figures: {answer.payload[:500]!r}")
            self._cpu_s = orjson.loads(answer.payload)
            seconds += self._function.reports[-1].duration_s
        return Took(seconds, self._cpu_s - before)

    def _new(self, way: str, count: int) -> list[Document]:
        """New documents. What penstock is to index is in the source as well."""
        documents = list(generated(count))
        if way == "penstock":
            self._at.fill(COLL, documents)
        else:
            self.sampled += count
        return documents

    def _payloads(self, way: str, documents: list[Document], batch: int) -> list[bytes]:
        events = [self._event(each) for each in documents]
        batches = (events[start : start + batch] for start in range(0, len(events), batch))
        return [b'{"way":"%b",' % way.encode() + envelope(self._arn, some)[1:] for some in batches]

    def _event(self, document: Document) -> bytes:
        self._version += 1
        event = {
            "_id": {"_data": f"{self._version:030x}"},
            "clusterTime": Timestamp(1_700_000_000, self._version),
            "documentKey": {"_id": document["_id"]},
            "fullDocument": document,
            "ns": {"db": DB, "coll": COLL},
            "operationType": "insert",
        }
        return event_json(event, EventForm())


def section(deployment: Deployment, at: Ground, events: int, rounds: int) -> Section:
    calls = Calls(deployment, at)
    found = measured(
        f"sync function, {events:,} events of about 500 bytes",
        "events",
        events,
        [
            calls.way("batches of 1,000", "penstock", events, 1000),
            calls.way("batches of 100", "penstock", events, 100),
            calls.way("one call an event", "sample", events, 1000),
            calls.straight(events),
        ],
        {
            ("batches of 1,000", "one call an event"): 20.0,
            ("batches of 100", "one call an event"): None,
            ("batches of 1,000", "the same requests, straight to OpenSearch"): None,
        },
        rounds=rounds,
    )
    at.require_equal(COLL)
    at.require_count(OF_THE_SAMPLE, calls.sampled)
    return found.section()


def measure(given: Given) -> None:
    code = (HERE / "sample_way.py", HERE / "lambda_ways.py")
    settings = DeploymentSettings(
        database=DB,
        collection=COLL,
        index=COLL,
        sync_handler="lambda_ways.handler",
        extra_code=code,
        as_in_sample=True,  # without a mapping: the benchmark calls the function itself
    )
    with (
        stopped_quietly(),
        tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder,
        progress_here() as progress,
        Deployment(Path(folder), settings, progress=progress) as deployment,
        ground(deployment.platform) as at,
    ):

        def sections() -> Iterator[Section]:
            yield section(deployment, at, given.events, given.rounds)

        tell("lambda_calls", sections(), given, versions(at, heap=settings.heap))


if __name__ == "__main__":
    quieten()
    measure(flags(__doc__, rounds=ROUNDS, events=1000).parse_args())
