"""Item 2: catching up with changes that were made while nobody followed.

    .venv/bin/python benchmarks/catch_up.py [--rounds 7] [--changes 200000]

Inserts, updates and deletes, mixed, each of another document, are made once; every round reads them from the same
position of the change stream and writes them into an empty index that penstock has made.

penstock catch-up    stream, pipeline, lease and checkpoints as in `penstock run`
raw bulk             the same writes, prepared beforehand: nothing can be faster
watch + bulk         a change stream of the driver, and opensearchpy.helpers.bulk for each 1,000 changes
The stream of penstock and of the script look documents up (`updateLookup`).
"""

import argparse
import logging
import random
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import opensearchpy
import structlog
import urllib3
from bson import Timestamp
from ground import DB, Ground, generated, ground
from load import THREADS, TextForTheRest, raw_bulk, timed
from rounds import ROUNDS, Case, Took, Way, measured, show

from penstock.batch import gather
from penstock.build import Adapters, source_connection
from penstock.change import Position
from penstock.errors import Stopped
from penstock.garbage import collect_rarely
from penstock.local.platform import Platform
from penstock.metrics import Metrics
from penstock.opensearch.bulk import form_of, lines_of
from penstock.pipeline import Pipeline, Ports
from penstock.plans import plans
from penstock.prepare import Route, prepare

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
            yield Adapters(
                settings,
                plan,
                connection=connection,
                client=self.at.client,
                metrics=Metrics(),
                stop=threading.Event(),
            )

    def prepared(self) -> list[bytes]:
        """The bodies of the bulk requests that penstock would send."""
        bodies, read = [], 0
        with self.adapters() as adapters:
            [collection] = plans(self.at.settings([NAME]))[0].collections
            routes = {collection.namespace: Route(f"{NAME}-g1-write", collection.transform.bodies)}
            for batch in gather(adapters.stream(), self.begin, adapters.rules().limits):
                writes = prepare(batch.changes, batch.position, routes).writes
                if writes:
                    bodies.append(lines_of(writes, range(len(writes)), form_of({f"{NAME}-g1-write"})))
                read += len(batch.changes)
                if read >= self.count:
                    return bodies
        raise AssertionError("unreachable")


def penstock_catch_up(changes: Changes) -> None:
    """The pipeline from the position on, until it has settled every change."""
    with changes.adapters() as adapters:
        state = adapters.state()
        state.acquire()
        state.save(changes.begin)
        [collection] = plans(changes.at.settings([NAME]))[0].collections
        done = threading.Event()

        def settled(_: Position, _counts: Any) -> None:
            if pipeline.counts.read >= changes.count:
                done.set()

        pipeline = Pipeline(
            name="bench",
            ports=Ports(adapters.stream, adapters.sink, adapters.dead_letters, state),
            routes={collection.namespace: Route(f"{NAME}-g1-write", collection.transform.bodies)},
            rules=adapters.rules(),
            metrics=Metrics(),
            on_settled=settled,
        )
        try:
            pipeline.run(done)
        except Stopped:
            state.release()
        if pipeline.counts.read != changes.count:
            raise SystemExit(f"{pipeline.counts.read} of {changes.count} changes were read: no figures")


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
                opensearchpy.helpers.bulk(client, actions, raise_on_error=False)  # deletes of what is not there
                actions = []
            if seen >= changes.count:
                return


def case(at: Ground, count: int, rounds: int) -> Case:
    changes = Changes(at, count)
    http = urllib3.PoolManager(maxsize=THREADS + 1)
    at.make(NAME)
    bodies = changes.prepared()
    expected = at.mongo[DB][NAME].count_documents({})

    def fresh() -> None:
        at.clear()
        at.make(NAME)

    def checked() -> None:
        at.require_count(NAME, expected)

    def took(way: Any) -> Took:
        return timed(lambda: way(changes))

    found = measured(
        f"catch-up with {changes.count:,} changes",
        "changes",
        changes.count,
        [
            Way("penstock catch-up", lambda: took(penstock_catch_up), fresh, checked),
            Way("raw bulk", lambda: timed(lambda: raw_bulk(at, NAME, bodies, http)), fresh),
            Way("watch + bulk", lambda: took(watch_and_bulk), fresh, checked),
        ],
        {("penstock catch-up", "raw bulk"): 0.7, ("penstock catch-up", "watch + bulk"): 2.0},
        rounds=rounds,
    )
    fresh()
    penstock_catch_up(changes)
    at.require_equal(NAME)
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    arguments.add_argument("--changes", type=int, default=200_000)
    given = arguments.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    collect_rarely()
    with Platform(heap="1g") as platform, ground(platform) as at:
        show(case(at, given.changes, given.rounds))


if __name__ == "__main__":
    main()
