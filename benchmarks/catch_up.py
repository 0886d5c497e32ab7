"""Item 2: catching up with changes that were made while no worker was running.

    .venv/bin/python -m benchmarks.catch_up [--rounds 7] [--changes 200000]

Inserts, updates and deletes, mixed, each of another document, are made once; every round reads them from the same
position of the change stream and writes them into an empty index that penstock has made.

penstock catch-up    stream, pipeline, lease and checkpoints as in `penstock run`
raw bulk             the same writes, prepared beforehand: nothing can be faster
watch + bulk         a change stream of the driver, and opensearchpy.helpers.bulk for each 1,000 changes
The stream of penstock and of the script look documents up (`updateLookup`).
"""

import random
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import Any

import opensearchpy
import urllib3
from bson import Timestamp

from benchmarks.ground import DB, Ground, generated
from benchmarks.item import Given, main
from benchmarks.load import THREADS, TextForTheRest, raw_bulk
from benchmarks.results import Section
from benchmarks.rounds import Took, Way, measured, timed
from penstock.connections import source_connection
from penstock.errors import Stopped
from penstock.model import Outcome, Write
from penstock.observe.metrics import Metrics
from penstock.opensearch.write.bulk import form_of, ids_of, lines_of
from penstock.pipeline.batching import gather
from penstock.pipeline.fold import fold
from penstock.pipeline.pipeline import Pipeline, Ports
from penstock.pipeline.transform import Route, Routes, transform_by
from penstock.planner import plans
from penstock.ports import Sink
from penstock.wiring import Adapters, Wiring

NAME = "changed"
AT_ONCE = 1000


class Changes:
    """The changes, and where they begin; `count` of them."""

    def __init__(self, at: Ground, count: int) -> None:
        self.at, self.count = at, count
        inserts, updates = count // 2, count * 3 // 10
        deletes = count - inserts - updates
        documents = generated(inserts + updates + deletes)
        collection = at.mongo[DB][NAME]
        held = [next(documents) for _ in range(updates + deletes)]
        at.fill(NAME, held)
        with self.adapters() as adapters, closing(adapters.stream()) as stream:
            self.begin = stream.position_now()
        kinds = ["insert"] * (inserts // 10) + ["update"] * (updates // 10) + ["delete"] * (deletes // 10)
        random.Random(7).shuffle(kinds)
        for kind in kinds:  # ten at a time: quicker to make, and mixed all the same
            if kind == "insert":
                collection.insert_many([next(documents) for _ in range(10)])
            elif kind == "update":
                ids = [held.pop()["_id"] for _ in range(10)]
                collection.update_many({"_id": {"$in": ids}}, {"$inc": {"number": 1}, "$set": {"name": "changed"}})
            else:
                collection.delete_many({"_id": {"$in": [held.pop()["_id"] for _ in range(10)]}})
        self.count = len(kinds) * 10

    @contextmanager
    def adapters(self) -> Iterator[Adapters]:
        settings = self.at.settings([NAME])
        [plan] = plans(settings)
        with source_connection(settings.source) as connection:
            yield Wiring(settings, connection, self.at.client, Metrics()).adapters(plan, threading.Event())

    def routes(self) -> Routes:
        [collection] = plans(self.at.settings([NAME]))[0].collections
        return {collection.namespace: Route(f"{NAME}-g1-write", collection.transform.bodies)}

    def prepared(self) -> list[bytes]:
        """The bodies of the bulk requests that penstock would send."""
        bodies, read = [], 0
        with self.adapters() as adapters:
            routes = self.routes()
            for batch in gather(adapters.stream(), self.begin, adapters.rules().limits, transform_by(routes)):
                writes = fold(batch.changes, batch.position, routes).writes
                if writes:
                    places = range(len(writes))
                    bodies.append(lines_of(writes, places, ids_of(writes, places), form_of({f"{NAME}-g1-write"})))
                read += len(batch.changes)
                if read >= self.count:
                    return bodies
        raise AssertionError("unreachable")


class Counted:
    """A sink that sets an event after a number of writes; every change is of another document."""

    def __init__(self, sink: Sink, count: int) -> None:
        self.sink, self.left, self.done = sink, count, threading.Event()
        self.done_at = self.done_cpu = 0.0
        self._lock = threading.Lock()

    def write(self, writes: Sequence[Write], *, send_before: float | None = None) -> list[Outcome]:
        outcomes = self.sink.write(writes, send_before=send_before)
        with self._lock:
            self.left -= len(outcomes)
            if self.left <= 0:
                self.done_at, self.done_cpu = time.perf_counter(), time.process_time()
                self.done.set()
        return outcomes


def penstock_catch_up(changes: Changes) -> Took:
    """Run the pipeline from the position on, until the index has answered every write."""
    with changes.adapters() as adapters:
        state, sink = adapters.state(), Counted(adapters.sink, changes.count)
        state.acquire()
        state.save(changes.begin)
        pipeline = Pipeline(
            name="bench",
            ports=Ports(adapters.stream, sink, adapters.dead_letters, state),
            routes=changes.routes(),
            rules=adapters.rules(),
            metrics=Metrics(),
        )
        began, cpu = time.perf_counter(), time.process_time()
        with suppress(Stopped):
            pipeline.run(sink.done)
        state.release()
        if pipeline.counts.written != changes.count:
            raise SystemExit(f"{pipeline.counts.written} of {changes.count} changes were written: no figures")
        return Took(sink.done_at - began, sink.done_cpu - cpu)


def watch_and_bulk(changes: Changes) -> None:
    at, seen = changes.at, 0
    time = changes.begin.time
    start = Timestamp(time >> 32, (time & 0xFFFFFFFF) + 1)
    with (
        opensearchpy.OpenSearch(at.sink_url, timeout=120, serializer=TextForTheRest()) as client,
        at.mongo[DB][NAME].watch(
            full_document="updateLookup", start_at_operation_time=start, batch_size=AT_ONCE
        ) as stream,
    ):
        actions: list[dict[str, Any]] = []
        for event in stream:
            seen += 1
            action = {"_index": NAME, "_id": str(event["documentKey"]["_id"])}
            document = event.get("fullDocument")
            if document is None:
                actions.append(action | {"_op_type": "delete"})
            else:
                document.pop("_id")
                actions.append(action | {"_source": document})
            if len(actions) >= AT_ONCE or seen >= changes.count:
                opensearchpy.helpers.bulk(client, actions, raise_on_error=False)  # deletes of missing documents
                actions = []
            if seen >= changes.count:
                return


def sections(at: Ground, given: Given) -> Iterable[Section]:
    changes = Changes(at, given.changes)
    at.make(NAME)
    requests = [(NAME, body) for body in changes.prepared()]
    http = urllib3.PoolManager(maxsize=THREADS + 1)
    fresh = partial(at.fresh, [NAME])
    checked = partial(at.require_count, NAME, at.mongo[DB][NAME].count_documents({}))
    found = measured(
        f"catch-up with {changes.count:,} changes",
        "changes",
        changes.count,
        [
            Way("penstock catch-up", partial(penstock_catch_up, changes), fresh, checked),
            Way("raw bulk", partial(timed, partial(raw_bulk, at, requests, http, THREADS)), fresh, checked),
            Way("watch + bulk", partial(timed, partial(watch_and_bulk, changes)), fresh, checked),
        ],
        {
            ("penstock catch-up", "raw bulk"): 0.7,
            ("penstock catch-up", "watch + bulk"): 2.0,
            ("raw bulk", "watch + bulk"): None,
        },
        rounds=given.rounds,
    )
    fresh()
    penstock_catch_up(changes)
    at.require_equal(NAME)
    yield found.section()


if __name__ == "__main__":
    main("catch_up", __doc__, sections, changes=200_000)
