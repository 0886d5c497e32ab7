"""The pipeline is stopped before any single write, dead letter or save, started again, and the sink equals the source.

Everything is in memory; the contract tests hold these twins against the real servers.
"""

import threading
from collections.abc import Iterator
from functools import partial

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.documents.document_id import document_id
from penstock.documents.encode import one_by_one
from penstock.memory.sink import MemoryCheckpoints, MemoryDeadLetters, MemorySink
from penstock.memory.source import MemorySource
from penstock.model import Batch, Namespace, Position, SourceTransform
from penstock.observe.metrics import Metrics
from penstock.pipeline.batching import Limits
from penstock.pipeline.pipeline import Pipeline, PipelineRules, Ports
from penstock.pipeline.transform import Route

ORDERS, ITEMS = Namespace("shop", "orders"), Namespace("shop", "items")
POISON, SKIPPED = 7, 8


class Crash(Exception):
    """The process ends here."""


class Process:
    """One run of the pipeline: after so many single steps it ends, and nothing gets through any more."""

    def __init__(self, steps: int | None) -> None:
        self._steps = steps
        self._lock = threading.Lock()

    def step(self) -> None:
        with self._lock:
            if self._steps is None:
                return
            self._steps = max(0, self._steps - 1)
            if self._steps == 0:
                raise Crash

    def write(self, sink, writes, send_before):
        outcomes = []
        for each in writes:
            self.step()
            outcomes += sink.write([each], send_before=send_before)
        return outcomes


class Dying:
    """A port that lives as long as its process."""

    def __init__(self, port, process: Process) -> None:
        self._port, self._process = port, process

    def write(self, writes, *, send_before=None):
        return self._process.write(self._port, writes, send_before)

    def store(self, letters):
        for letter in letters:
            self._process.step()
            self._port.store([letter])

    def load(self):
        return self._port.load()

    def save(self, position):
        self._process.step()
        self._port.save(position)


class CaughtUp:
    """A stream that ends when it has nothing more; `meanwhile` edits the source after each answer."""

    def __init__(self, source, meanwhile=lambda: None) -> None:
        self._source, self._meanwhile = source, meanwhile

    def batches(self, after: Position | None, transform: SourceTransform) -> Iterator[Batch]:
        for batch in self._source.batches(after, transform):
            yield batch
            self._meanwhile()
            if not batch.changes:
                return

    def close(self) -> None:
        self._source.close()


def transform(document):
    return None if document.get("value") == SKIPPED else orjson.dumps(document)


def refuse(write):
    return "poison" if write.body and orjson.loads(write.body).get("value") == POISON else None


class World:
    """A source with edits to come, and everything that outlives a process."""

    def __init__(self, edits, size: int) -> None:
        self.source, self.sink, self.letters = MemorySource(), MemorySink(refuse), MemoryDeadLetters()
        self.position, self.loads = MemoryCheckpoints(), {ORDERS: MemoryCheckpoints(), ITEMS: MemoryCheckpoints()}
        self._edits, self._size = list(edits), size

    def edit(self, count: int = 1) -> None:
        for _ in range(min(count, len(self._edits))):
            made = self._edits.pop(0)
            if len(made) > 1:
                with self.source.transaction():
                    for each in made:
                        self._one(*each)
            else:
                self._one(*made[0])

    def _one(self, kind, namespace, key, value):
        if kind == "insert":
            self.source.insert(namespace, {"_id": key, "value": value})
        elif kind == "update" and document_id(key) in self.source.documents(namespace):
            self.source.update(namespace, key, {"value": value})
        elif kind == "delete":
            self.source.delete(namespace, key)

    def load(self, process: Process) -> None:
        for namespace, checkpoints in self.loads.items():
            self._pipeline(
                lambda: CaughtUp(self.source.load(namespace, range_size=self._size), self.edit),  # noqa: B023
                Dying(checkpoints, process),
                process,
                of_load=True,
            )

    def stream(self, process: Process) -> None:
        self._pipeline(
            lambda: CaughtUp(self.source.stream(ORDERS, ITEMS, batch_size=self._size, wait_s=0)),
            Dying(self.position, process),
            process,
        )

    def _pipeline(self, source, checkpoints, process, of_load=False) -> None:
        bodies = partial(one_by_one, transform)
        pipeline = Pipeline(
            name="shop",
            ports=Ports(source, Dying(self.sink, process), Dying(self.letters, process), checkpoints),
            routes={ORDERS: Route("orders", bodies), ITEMS: Route("items", bodies)},
            rules=PipelineRules(
                Limits(self._size * 2, 1 << 20),
                checkpoint_every_s=0,
                send_within_s=60 if of_load else None,
                of_load=of_load,
            ),
            metrics=Metrics(),
        )
        pipeline.run(threading.Event())

    def differences(self) -> list[str]:
        """Documents that are neither as in the source nor accounted for by a dead letter of their present state."""
        refused = {(each.alias, each.id) for each in self.letters.letters}
        found = []
        for namespace, alias in ((ORDERS, "orders"), (ITEMS, "items")):
            wanted = self.source.documents(namespace)
            there = {text_id: orjson.loads(body) for text_id, body in self.sink.documents(alias).items()}
            for text_id in wanted.keys() | there.keys():
                state = wanted.get(text_id, {"value": SKIPPED})
                if state["value"] == POISON:
                    expected = (alias, text_id) in refused
                elif state["value"] == SKIPPED:
                    expected = text_id not in there
                else:
                    expected = there.get(text_id) == state
                if not expected:
                    found.append(f"{alias}/{text_id}: {there.get(text_id)} for {state}")
        return found


EDIT = st.tuples(
    st.sampled_from(["insert", "insert", "update", "delete"]),
    st.sampled_from([ORDERS, ITEMS]),
    st.integers(1, 5),
    st.integers(0, 9),
)
EDITS = st.lists(st.one_of(st.tuples(EDIT), st.lists(EDIT, min_size=2, max_size=5)), max_size=40)
STEPS = st.lists(st.integers(1, 30), max_size=6)


def until_done(work, steps) -> None:
    """Run, with a crash after each number of steps, and at last without one."""
    for each in [*steps, None]:
        try:
            work(Process(each))
        except Crash:
            continue
        if each is None:
            return


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(edits=EDITS, before=st.integers(0, 10), load_steps=STEPS, stream_steps=STEPS, size=st.integers(1, 4))
def test_after_any_stops_the_sink_equals_the_source(edits, before, load_steps, stream_steps, size):
    world = World(edits, size)
    world.edit(before)
    world.position.save(world.source.position())
    until_done(world.load, load_steps)

    def stream(process: Process) -> None:
        world.stream(process)
        world.edit(5)

    until_done(stream, stream_steps)
    world.edit(1000)
    world.stream(Process(None))
    assert world.differences() == []
