"""Item 1: the load, against the bulk requests alone and against a script that a user would write.

    .venv/bin/python -m benchmarks.load [--rounds 7] [--documents 200000] [--cities 34006]

raw bulk        the very requests that penstock would send, prepared beforehand: nothing can be faster
least work      the same requests, each sent when its documents were read, decoded and written as JSON, to no end:
                what any Python program has to do that moves them
plain loop      find_raw_batches -> bson.decode_all -> orjson -> _bulk on three threads
parallel_bulk   find -> opensearchpy.helpers.parallel_bulk, with its defaults
All write into an index that penstock has made; neither script has versions, order or a checkpoint.

The last case is pinned (pinned.py): OpenSearch has one core for itself, all the rest shares the other.
"""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any

import bson
import opensearchpy
import orjson
import urllib3

from benchmarks.ground import DB, Ground, generated
from benchmarks.item import Given, main
from benchmarks.pinned import can_pin, pinned
from benchmarks.results import Section
from benchmarks.rounds import Took, Way, measured, timed
from penstock.documents.document_id import document_id
from penstock.documents.transform import Transform
from penstock.mongo.codec import CODEC
from penstock.observe.metrics import Metrics
from penstock.worker import worker
from penstock.worker.progress import NoProgress
from penstock_tools.demo.cities import cities

THREADS = 3
REQUEST_DOCUMENTS = 2000
"""In a raw request as in one of penstock's; larger ones are no faster."""

ROWS_AT_ONCE = 5000
NDJSON = {"content-type": "application/x-ndjson"}


def penstock_load(at: Ground, name: str, **sink: Any) -> Took:
    """Load a collection in this process; `sink` are settings of the sink."""
    [result] = worker.load(
        at.settings([name], **sink),
        stop=threading.Event(),
        metrics=Metrics(),
        progress=NoProgress(),
        only=frozenset({f"{DB}.{name}"}),
    )
    return Took(result.seconds, result.cpu_s)


def prepared(at: Ground, name: str) -> list[bytes]:
    """The bodies of the bulk requests for a collection."""
    transform = Transform(at.collection(name))
    bodies, lines = [], []
    for raw in at.mongo[DB][name].find_raw_batches({}, batch_size=ROWS_AT_ONCE):
        for document in bson.decode_all(raw, CODEC):
            action = {"_id": document_id(document["_id"]), "version": 1, "version_type": "external_gte"}
            line = orjson.dumps({"index": {**action, "require_alias": True}}) + b"\n" + transform(document) + b"\n"
            lines.append(line)
            if len(lines) == REQUEST_DOCUMENTS:
                bodies.append(b"".join(lines))
                lines = []
    return [*bodies, b"".join(lines)] if lines else bodies


def raw_bulk(at: Ground, requests: Sequence[tuple[str, bytes]], http: urllib3.PoolManager, threads: int) -> None:
    """Send pairs of collection and body."""

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(partial(send_raw, at, http), requests))


def send_raw(at: Ground, http: urllib3.PoolManager, request: tuple[str, bytes]) -> None:
    """Send one pair of collection and body."""
    name, body = request
    url = f"{at.sink_url}/{name}-g1-write/_bulk?filter_path=errors,items.*.status,items.*.error"
    if not http.request("POST", url, body=body, headers=NDJSON).data.startswith(b'{"errors":false'):
        raise SystemExit("the raw bulk had errors")


def raw_way(at: Ground, names: Sequence[str], count: int, threads: int = THREADS) -> Way:
    """The limit: the bodies of these collections, prepared beforehand."""
    http = urllib3.PoolManager(maxsize=threads + 1)
    requests = [(name, body) for name in names for body in prepared(at, name)]
    run = partial(timed, partial(raw_bulk, at, requests, http, threads))
    return Way("raw bulk", run, partial(at.fresh, names), partial(at.require_total, names, count))


def least_work(at: Ground, name: str, bodies: Sequence[bytes], http: urllib3.PoolManager) -> None:
    """Send each body after as many documents as it has were read, decoded and written as JSON."""
    replies = at.mongo[DB][name].find_raw_batches({}, batch_size=REQUEST_DOCUMENTS)
    with ThreadPoolExecutor(THREADS) as pool:
        waiting: deque[Future[None]] = deque()
        for raw, body in zip(replies, bodies, strict=True):
            decode_and_dump(raw)
            waiting.append(pool.submit(send_raw, at, http, (name, body)))
            if len(waiting) > THREADS:
                waiting.popleft().result()
        for each in waiting:
            each.result()


def decode_and_dump(raw: bytes) -> None:
    """Measure what every program needs that reads BSON and writes JSON."""
    for document in bson.decode_all(raw):
        del document["_id"]
        orjson.dumps(document, default=str)


def least_way(at: Ground, name: str, count: int) -> Way:
    """Measure the limit of a program that also has to read, decode and write the documents."""
    http = urllib3.PoolManager(maxsize=THREADS + 1)
    run = partial(timed, partial(least_work, at, name, prepared(at, name), http))
    return Way("least work", run, partial(at.fresh, [name]), partial(at.require_count, name, count))


def plain_loop(at: Ground, name: str, http: urllib3.PoolManager) -> None:
    def send(raw: bytes) -> None:
        lines = []
        for document in bson.decode_all(raw):
            key = document.pop("_id")
            lines += [b'{"index":{"_id":"%s"}}' % str(key).encode(), orjson.dumps(document, default=str)]
        body = b"\n".join(lines) + b"\n"
        if orjson.loads(http.request("POST", f"{at.sink_url}/{name}/_bulk", body=body, headers=NDJSON).data)["errors"]:
            raise SystemExit("the plain loop had errors")

    with ThreadPoolExecutor(THREADS) as pool:
        waiting = []
        for raw in at.mongo[DB][name].find_raw_batches({}, batch_size=ROWS_AT_ONCE):
            waiting.append(pool.submit(send, raw))
            if len(waiting) > THREADS:
                waiting.pop(0).result()
        for each in waiting:
            each.result()


class TextForTheRest(opensearchpy.JSONSerializer):
    """Return text for values that JSON does not have."""

    def default(self, data: Any) -> Any:
        return str(data) if isinstance(data, bson.Decimal128) else super().default(data)


def with_parallel_bulk(at: Ground, name: str) -> None:
    def actions() -> Iterator[dict[str, Any]]:
        for document in at.mongo[DB][name].find():
            key = str(document.pop("_id"))
            yield {"_index": name, "_id": key, "_source": document}

    with opensearchpy.OpenSearch(at.sink_url, timeout=120, serializer=TextForTheRest()) as client:
        for done, _ in opensearchpy.helpers.parallel_bulk(client, actions()):
            if not done:
                raise SystemExit("parallel_bulk had errors")


def load_way(at: Ground, name: str, count: int, **sink: Any) -> Way:
    """The load of one collection; it makes the index itself, before its time begins."""
    return Way(
        "penstock load", partial(penstock_load, at, name, **sink), at.clear, partial(at.require_count, name, count)
    )


def rivals(at: Ground, name: str, count: int) -> list[Way]:
    """Both scripts."""
    http = urllib3.PoolManager(maxsize=THREADS + 1)
    scripts = {
        "plain loop": partial(plain_loop, at, name, http),
        "parallel_bulk": partial(with_parallel_bulk, at, name),
    }
    fresh, checked = partial(at.fresh, [name]), partial(at.require_count, name, count)
    return [Way(title, partial(timed, script), fresh, checked) for title, script in scripts.items()]


def case(at: Ground, name: str, count: int, rounds: int) -> Section:
    """Compare the load with its limit and both scripts."""
    goals = {
        ("penstock load", "raw bulk"): 0.85,
        ("penstock load", "parallel_bulk"): 2.0,
        ("penstock load", "least work"): None,
        ("least work", "raw bulk"): None,
        ("raw bulk", "parallel_bulk"): None,
        ("penstock load", "plain loop"): None,
    }
    title = f"load of {count:,} documents, {name}"
    limits = [raw_way(at, [name], count), least_way(at, name, count)]
    ways = [load_way(at, name, count), *limits, *rivals(at, name, count)]
    found = measured(title, "documents", count, ways, goals, rounds=rounds)
    require_equal_load(at, name)
    return found.section()


def pinned_case(at: Ground, name: str, count: int, rounds: int) -> Section:
    """Compare the load with its limit, with OpenSearch on one core and everything else on another."""
    title = f"load of {count:,} documents, {name}, pinned: OpenSearch has one core for itself"
    with pinned(at.platform):
        ways = [load_way(at, name, count), raw_way(at, [name], count), least_way(at, name, count)]
        goals = {("penstock load", "raw bulk"): 0.95, ("least work", "raw bulk"): None}
        found = measured(title, "documents", count, ways, goals, rounds=rounds)
        require_equal_load(at, name)
    return found.section()


def require_equal_load(at: Ground, name: str) -> None:
    """Load once more, and compare index and source document by document."""
    at.clear()
    penstock_load(at, name)
    at.require_equal(name)


def sections(at: Ground, given: Given) -> Iterator[Section]:
    count = at.fill("generated", generated(given.documents))
    yield case(at, "generated", count, given.rounds)
    yield case(at, "cities", at.fill("cities", islice(cities(), given.cities)), given.rounds)
    if can_pin():
        yield pinned_case(at, "generated", count, given.rounds)


if __name__ == "__main__":
    main("load", __doc__, sections, documents=200_000, cities=34_006)
