"""Apply: one index by 1, 2 and 4 processes, out of a topic of penstock's own, under a transform that costs.

    .venv/bin/python -m benchmarks.apply [--rounds 7] [--documents 200000] [--transform-us 100]

Documents of 500 bytes in 12 partitions. Each process is a member of the group, and checks the numbers, decodes,
transforms and commits as `penstock apply` does. A sink that answers at once stands in the place of OpenSearch. A round
lasts from the moment when every process has its partitions until the last of them has written all of its share.
"""

import multiprocessing
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, cast

import bson
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.ground import Ground, kafka
from benchmarks.item import Given, main
from benchmarks.results import Section
from benchmarks.rounds import Took, Way, measured
from penstock.delivery.topics.own import OwnRecords
from penstock.delivery.topics.stream import TopicStream
from penstock.documents.transform import Transform
from penstock.errors import Stopped
from penstock.kafka.log import Numbered, headers_of, topic_of
from penstock.kafka.member import Member, Term
from penstock.kafka.positions import Partition, Place, places_of
from penstock.model import WRITTEN, Body, BsonDocument, Counts, Letter, Namespace, Outcome, Position, Write
from penstock.observe.metrics import Metrics
from penstock.pipeline.batching import Limits
from penstock.pipeline.pipeline import Pipeline, PipelineRules, Ports
from penstock.pipeline.transform import Route
from penstock.settings import CollectionSettings, LogSettings
from penstock.wiring import Adapters

NAME = Namespace("bench", "applied")
PARTITIONS = 12
PROCESSES = (1, 2, 4)
_WITHIN_S = 300.0
_TEXT = "x" * 400
_SPAWNS = multiprocessing.get_context("spawn")


class _AtOnce:
    """A sink that answers at once, and dead letters that nobody needs. `answered_at` is of its last answer."""

    answered_at = 0.0

    def write(self, writes: Sequence[Write], *, send_before: float | None = None) -> list[Outcome]:  # noqa: ARG002
        self.answered_at = time.monotonic()
        return [WRITTEN] * len(writes)

    def store(self, letters: Sequence[Letter]) -> None:
        raise AssertionError(f"{len(letters)} dead letters")


@dataclass(frozen=True)
class _Share:
    """What a process needs to know."""

    log: LogSettings
    group: str
    ends: dict[Partition, int]
    transform_us: int


def _apply(share: _Share, pipe: Connection) -> None:
    """Take part in the group: say how many partitions there are, and apply them once that is asked for."""
    with Member(share.log, share.group, [topic_of(share.log.prefix, NAME)], stop=threading.Event()) as member:
        while True:
            term = member.next_term()
            pipe.send(len(term.committed))
            while not pipe.poll(0.02) and not term.ending.is_set():
                pass
            if not pipe.poll():
                term.done.set()
                continue
            pipe.recv()
            cpu = time.process_time()
            applied, written_at = _applied(share, term)
            pipe.send((applied, written_at, time.process_time() - cpu))
            pipe.recv()  # nobody leaves the group before all are done
            term.done.set()
            return


def _applied(share: _Share, term: Term) -> tuple[int, float]:
    """Return how many were applied, and when the last of them was written."""
    done, its = threading.Event(), {each: share.ends[each] for each in term.committed}

    def settled(position: Position, _counts: Counts) -> None:
        places = places_of(position.token)
        if all(places[each].number == end for each, end in its.items()):
            done.set()

    def reader() -> OwnRecords:
        return OwnRecords(NAME, cast(Adapters, None), {}, lambda: None)  # nothing is looked up

    at_once = _AtOnce()
    pipeline = Pipeline(
        name=str(NAME),
        ports=Ports(lambda: TopicStream(term, dict.fromkeys(its, Place(0)), reader()), at_once, at_once, term),
        routes={NAME: Route("applied", _costly(share.transform_us))},
        rules=PipelineRules(Limits(5000, 8 * 1024 * 1024), send_within_s=450.0),
        metrics=Metrics(),
        on_settled=settled,
    )
    with suppress(Stopped):
        pipeline.run(done)
    return pipeline.counts.written, at_once.answered_at


def _costly(us: int) -> Any:
    """Return a transform that takes this long for each document, in addition to the usual one."""
    usual = Transform(CollectionSettings(namespace=str(NAME))).bodies

    def bodies(documents: Sequence[BsonDocument]) -> Sequence[Body]:
        for _ in documents:
            until = time.perf_counter_ns() + us * 1000
            while time.perf_counter_ns() < until:
                pass
        return usual(documents)

    return bodies


@dataclass
class Applied:
    """A topic with the changes, made once; each round has a group of its own."""

    servers: str
    documents: int
    transform_us: int
    prefix: str = "bench"
    ends: dict[Partition, int] = field(default_factory=dict)
    _pipes: list[Connection] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)

    @property
    def log(self) -> LogSettings:
        return LogSettings(bootstrap_servers=self.servers, prefix=self.prefix)

    def fill(self) -> None:
        topic = topic_of(self.prefix, NAME)
        admin = AdminClient({"bootstrap.servers": self.servers})  # kept until its answer is there
        admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(60)
        room = {"queue.buffering.max.messages": 10_000_000, "queue.buffering.max.kbytes": 2_000_000}
        producer = Producer({"bootstrap.servers": self.servers, "linger.ms": 5, "enable.idempotence": True, **room})
        self.ends = {Partition(topic, number): 0 for number in range(PARTITIONS)}
        for number in range(self.documents):
            partition = Partition(topic, number % PARTITIONS)
            self.ends[partition] += 1
            producer.produce(
                topic,
                key=bson.encode({"_id": number}),
                value=bson.encode({"_id": number, "number": number, "name": f"document {number}", "text": _TEXT}),
                headers=headers_of(Numbered("upsert", (1_700_000_000 << 32) + number, self.ends[partition])),
                partition=partition.number,
            )
            if number % 1000 == 0:
                producer.poll(0)
        producer.flush(60)

    def begin(self, processes: int) -> None:
        """Start the processes, and wait until each has its share of the partitions."""
        self._stack.close()
        self._pipes = []
        share = _Share(self.log, f"bench-{secrets.token_hex(4)}", self.ends, self.transform_us)
        for _ in range(processes):
            ours, theirs = _SPAWNS.Pipe()
            process = _SPAWNS.Process(target=_apply, args=(share, theirs), daemon=True)
            process.start()
            self._stack.callback(process.join, 30)
            self._stack.enter_context(closing(ours))
            self._pipes.append(ours)
        has, until = [0] * processes, time.monotonic() + _WITHIN_S
        while sum(has) != PARTITIONS or max(has) > -(-PARTITIONS // processes):
            for place, pipe in enumerate(self._pipes):
                while pipe.poll():
                    has[place] = pipe.recv()
            if time.monotonic() > until:
                raise SystemExit(f"the partitions are shared as {has}: no figures")
            time.sleep(0.02)

    def apply(self) -> Took:
        """Let them apply, and wait for the last one."""
        began = time.monotonic()  # one clock for all processes
        for pipe in self._pipes:
            pipe.send("go")
        answers = [next(said for said in iter(pipe.recv, None) if isinstance(said, tuple)) for pipe in self._pipes]
        took = Took(max(at for _, at, _ in answers) - began, sum(cpu_s for _, _, cpu_s in answers))
        for pipe in self._pipes:
            pipe.send("leave")
        if (applied := sum(count for count, _, _ in answers)) != self.documents:
            raise SystemExit(f"{applied} of {self.documents} changes were applied: no figures")
        return took

    def end(self) -> None:
        """Wait for the processes of the last round."""
        self._stack.close()


@contextmanager
def _topic(given: Given) -> Iterator[Applied]:
    with kafka() as servers:
        topic = Applied(servers, given.documents, given.transform_us)
        topic.fill()
        try:
            yield topic
        finally:
            topic.end()


def sections(at: Ground, given: Given) -> Iterable[Section]:  # noqa: ARG001 (of every benchmark)
    with _topic(given) as topic:
        ways = [Way(f"{each} processes", topic.apply, partial(topic.begin, each)) for each in PROCESSES]
        found = measured(
            f"apply {given.documents:,} changes, {given.transform_us} us of transform each, no index to wait for",
            "changes",
            given.documents,
            ways,
            {("2 processes", "1 processes"): 1.8, ("4 processes", "1 processes"): None},
            rounds=given.rounds,
        )
    yield found.section()


if __name__ == "__main__":
    main("apply", __doc__, sections, documents=200_000, transform_us=100)
