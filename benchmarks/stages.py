"""The stages of a load, each run by itself on the result of the one before, in one thread: CPU per document."""

import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from typing import Any

import orjson

from benchmarks.ground import DB, Ground
from benchmarks.results import Section, spread
from benchmarks.rounds import Took
from penstock.documents.transform import Transform
from penstock.model import Body, Namespace, Position, TransformedChange
from penstock.mongo.cursor import CursorReply, FindCursor
from penstock.mongo.load import changes_in
from penstock.observe.metrics import Metrics
from penstock.opensearch.http.client import Response
from penstock.opensearch.http.waiting import RetryForever
from penstock.opensearch.write.sink import OpenSearchSink
from penstock.pipeline.fold import fold
from penstock.pipeline.transform import Route, transform_by
from penstock.settings import SinkSettings

REPLY_DOCUMENTS = 1000
BATCH_REPLIES = 2
"""So that a batch has the 2,000 changes at which it ends by default."""

READ = "read replies, take them apart"
DECODE = "decode: BSON to changes"
SHAPE = "shape: documents to JSON"
PREPARE = "prepare: ids, folding, writes"
LINES = "bulk lines, outcomes of the answers"
SEND = "HTTP: send requests, receive answers"
SETTLE = "settle: account for every change"
STAGES = (READ, DECODE, SHAPE, PREPARE, LINES, SEND, SETTLE)


class _Instant:
    """Replaces the client: keeps the requests, and responds at once that every document was written."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, bytes]] = []
        self.cpu_s = 0.0
        """What it took to make the responses, which is no part of a load."""

    def request(self, method: str, path: str, body: bytes) -> Response:
        began = time.thread_time()
        self.requests.append((method, path, body))
        actions = (orjson.loads(line)["index"] for line in body.split(b"\n")[:-1:2])
        items = [{"index": {"_id": each["_id"], "result": "created", "status": 201}} for each in actions]
        response = Response(200, orjson.dumps({"errors": False, "items": items}))
        self.cpu_s += time.thread_time() - began
        return response


class Stages:
    """One stage after the other, as a way among others; `cpu_us` has the rounds of each."""

    def __init__(self, at: Ground, name: str, count: int) -> None:
        self._at, self._name, self._count = at, name, count
        self._namespace = Namespace(DB, name)
        self._routes = {self._namespace: Route(f"{name}-g1-write", Transform(at.collection(name)).bodies)}
        self._transform = transform_by(self._routes)
        self.cpu_us: dict[str, list[float]] = {stage: [] for stage in STAGES}

    def before(self) -> None:
        self._at.clear()
        self._at.make(self._name)

    def run(self) -> Took:
        for rounds in self.cpu_us.values():
            rounds.append(0.0)
        replies = self._read()
        for start in range(0, len(replies), BATCH_REPLIES):
            self._batch(replies[start : start + BATCH_REPLIES])
        self.cpu_us[DECODE][-1] -= self.cpu_us[SHAPE][-1]  # which is done within it
        cpu_us = sum(rounds[-1] for rounds in self.cpu_us.values())
        return Took(cpu_us * self._count / 1e6, cpu_us * self._count / 1e6)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began = time.thread_time()
        yield
        self.cpu_us[stage][-1] += (time.thread_time() - began) / self._count * 1e6

    def _read(self) -> list[CursorReply]:
        cursor = FindCursor(self._at.mongo, DB, self._name, batch_size=REPLY_DOCUMENTS)
        with closing(cursor), self._timed(READ):
            replies = [cursor.open({}, limit=0)]
            while cursor.alive:
                replies.append(cursor.next())
        return replies

    def _batch(self, replies: list[CursorReply]) -> None:
        changes: list[TransformedChange] = []
        for piece in chain.from_iterable(reply.pieces() for reply in replies):
            with self._timed(DECODE):
                changes += changes_in(piece, self._namespace, 1, self._timed_transform)
        with self._timed(PREPARE):
            prepared = fold(changes, Position("", 1), self._routes)
        instant = _Instant()
        with self._timed(LINES):
            outcomes = self._sink(instant).write(prepared.writes)
        self.cpu_us[LINES][-1] -= instant.cpu_s / self._count * 1e6
        with self._timed(SEND):
            answers = [self._at.client.request(*each) for each in instant.requests]
        if not all(b'"errors":false' in answer.raw[:64] for answer in answers):
            raise SystemExit("a bulk request had errors: no figures")
        with self._timed(SETTLE):
            prepared.settle(outcomes)

    def _timed_transform(self, namespace: Namespace, documents: Sequence[dict[str, Any]]) -> Sequence[Body]:
        with self._timed(SHAPE):
            return self._transform(namespace, documents)

    def _sink(self, client: Any) -> OpenSearchSink:
        return OpenSearchSink(client, SinkSettings(), Metrics(), RetryForever(Metrics(), threading.Event()))

    def section(self, whole_cpu_us: list[float]) -> Section:
        """The medians of the stages, and of the load as a whole."""
        rounds = {stage: rounds[-len(whole_cpu_us) :] for stage, rounds in self.cpu_us.items()}
        sums = [sum(some) for some in zip(*rounds.values(), strict=True)]
        rounds |= {"sum of the stages": sums, "the whole load, all threads": whole_cpu_us}
        whole = statistics.median(whole_cpu_us)
        medians = {stage: statistics.median(some) for stage, some in rounds.items()}
        return Section(
            f"CPU of a load by stage, {self._count:,} documents of about 500 bytes",
            ("stage", "CPU us each, median", "spread", "of the whole"),
            [
                [stage, medians[stage], spread(min(some), max(some)), f"{medians[stage] / whole:.0%}"]
                for stage, some in rounds.items()
            ],
            raw=rounds,
        )
