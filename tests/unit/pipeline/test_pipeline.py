"""The loop's promises, on ports in memory."""

import threading
import time
from collections.abc import Iterator
from functools import partial

import orjson
import pytest

from penstock.documents.encode import one_by_one
from penstock.errors import DocumentError, LeaseLost, ReadAgain, SinkUnavailable, Stopped, SystemicFault
from penstock.memory.sink import MemoryCheckpoints, MemoryDeadLetters, MemorySink
from penstock.model import Batch, Change, Counts, Namespace, Outcome, Position, SourceTransform
from penstock.observe.metrics import Metrics
from penstock.pipeline.batching import Limits
from penstock.pipeline.pipeline import Pipeline, PipelineRules, Ports
from penstock.pipeline.transform import Route, apply_transform

SHOP = Namespace("shop", "orders")
ONE_EACH = Limits(1, 1_000_000)


def upsert(key: int, version: int, value: object = None) -> Change:
    return Change(SHOP, "upsert", version, key, {"_id": key, "value": value})


class Scripted:
    """A source that yields one batch for each list of changes; positions are counted from 1."""

    def __init__(self, *batches: list[Change], then: Exception | None = None) -> None:
        self.batches_given, self.then, self.asked_after = batches, then, []

    def batches(self, after: Position | None, transform: SourceTransform) -> Iterator[Batch]:
        self.asked_after.append(after)
        start = int(after.token) if after else 0
        for number, changes in list(enumerate(self.batches_given, 1))[start:]:
            time_of = changes[-1].version if changes else 0
            yield Batch(apply_transform(changes, transform), Position(str(number), time_of), time.monotonic())
        if self.then:
            raise self.then

    def close(self) -> None:
        pass


class Sink(MemorySink):
    """Calls `before` with the ids of each request; what it raises is raised."""

    def __init__(self, before) -> None:
        super().__init__()
        self._before = before

    def write(self, writes, *, send_before=None) -> list[Outcome]:
        self._before([each.id for each in writes])
        return super().write(writes, send_before=send_before)


def transform(document):
    if document.get("value") == "raise":
        raise DocumentError("the function raised ValueError")
    return None if document.get("value") == "leave out" else orjson.dumps(document)


def pipeline(source, sink=None, *, checkpoints=None, letters=None, rules=None, **more) -> Pipeline:
    return Pipeline(
        name="shop",
        ports=Ports(
            lambda: source, sink or MemorySink(), letters or MemoryDeadLetters(), checkpoints or MemoryCheckpoints()
        ),
        routes={SHOP: Route("orders", partial(one_by_one, transform))},
        rules=rules or PipelineRules(ONE_EACH, checkpoint_every_s=0),
        metrics=Metrics(),
        **more,
    )


def test_a_position_behind_an_unfinished_batch_is_never_saved():
    second_is_written, checkpoints = threading.Event(), MemoryCheckpoints()

    def before(ids):
        if ids == ["n:1"]:
            assert second_is_written.wait(5)
            raise SinkUnavailable("refused")
        second_is_written.set()

    with pytest.raises(SinkUnavailable):
        pipeline(Scripted([upsert(1, 1)], [upsert(2, 2)]), Sink(before), checkpoints=checkpoints).run(threading.Event())
    assert checkpoints.load() is None


def test_the_end_of_the_unbroken_run_is_saved():
    checkpoints = MemoryCheckpoints()
    pipeline(Scripted([upsert(1, 1)], [upsert(2, 2)]), checkpoints=checkpoints).run(threading.Event())
    assert checkpoints.load() == Position("2", 2)


def test_batches_are_in_flight_together():
    together = threading.Barrier(2, timeout=60)
    sink = Sink(lambda _: together.wait())  # passes only when both are under way
    pipeline(Scripted([upsert(1, 1)], [upsert(2, 2)]), sink).run(threading.Event())
    assert sink.versions("orders") == {"n:1": 1, "n:2": 2}


def test_a_slow_batch_holds_up_the_position_and_no_other_batch():
    """As long as there is room for batches that wait for it, which are more than those under way."""
    slow, others, checkpoints = threading.Event(), [], MemoryCheckpoints()
    rules = PipelineRules(ONE_EACH, in_flight=2, checkpoint_every_s=0)

    def before(ids):
        if ids == ["n:0"]:
            assert slow.wait(5)
            assert checkpoints.load() is None
        else:
            others.extend(ids)
            if len(others) == 6:
                slow.set()

    source = Scripted(*([upsert(number, number + 1)] for number in range(20)))
    pipeline(source, Sink(before), checkpoints=checkpoints, rules=rules).run(threading.Event())
    assert sorted(others) == sorted(f"n:{number}" for number in range(1, 20))
    assert checkpoints.load() == Position("20", 20)


def test_the_batches_that_wait_for_an_older_one_are_bounded():
    sent: list[str] = []
    rules = PipelineRules(ONE_EACH, in_flight=2, checkpoint_every_s=0)

    def before(ids):
        if ids == ["n:0"]:
            assert not threading.Event().wait(0.5)  # the time in which all would have been sent
            assert len(sent) < 4 * 2
        else:
            sent.extend(ids)

    source = Scripted(*([upsert(number, number + 1)] for number in range(20)))
    pipeline(source, Sink(before), rules=rules).run(threading.Event())
    assert len(sent) == 19


def test_two_batches_that_touch_one_document_are_never_in_flight_together():
    begun: list[int] = []
    second_began = threading.Event()

    def before(_):
        begun.append(len(begun))
        if len(begun) == 1:
            assert not second_began.wait(0.3)  # the time in which a second one would have begun
        else:
            second_began.set()

    sink = Sink(before)
    pipeline(Scripted([upsert(1, 1)], [upsert(1, 2)]), sink).run(threading.Event())
    assert begun == [0, 1]
    assert sink.versions("orders") == {"n:1": 2}


def test_a_control_change_is_a_barrier():
    seen, controlled = [], threading.Event()
    sink = Sink(lambda ids: ids == ["n:1"] and controlled.wait(0.3))  # the time in which it would have come too early
    drop = Change(SHOP, "drop", 2)

    def on_control(change):
        controlled.set()
        seen.append((change.kind, sink.versions("orders")))

    moved = pipeline(Scripted([upsert(1, 1), drop, upsert(3, 3)]), sink, on_control=on_control)
    moved.run(threading.Event())
    assert seen == [("drop", {"n:1": 1})]
    assert sink.versions("orders") == {"n:1": 1, "n:3": 3}
    assert moved.counts == Counts(read=3, written=2, control=1)


def test_every_change_is_counted():
    sink = MemorySink(lambda write: "poison" if write.id == "n:9" else None)
    letters = MemoryDeadLetters()
    changes = [
        upsert(1, 1),
        upsert(1, 2),
        upsert(2, 3, "leave out"),
        upsert(3, 4, "raise"),
        upsert(9, 5),
        Change(SHOP, "delete", 6, 4),
        Change(SHOP, "gone", 7, 5),
        Change(SHOP, "unreadable", 8, 6, reason="too large"),
    ]
    counted = pipeline(Scripted(changes), sink, letters=letters, rules=PipelineRules(Limits(100, 1 << 20)))
    counted.run(threading.Event())
    assert counted.counts == Counts(read=8, written=2, folded=1, filtered=1, dead_lettered=3, control=1)
    assert counted.counts.lost == 0
    assert {each.id: each.reason for each in letters.letters} == {
        "n:3": "the function raised ValueError",
        "n:9": "400: poison",
        "n:6": "too large",
    }


@pytest.mark.parametrize("others", [[], [Change(SHOP, "delete", 2, 2)]])
def test_a_document_that_no_transform_has_seen_stops_the_pipeline(others):
    """For mypy it is no change of a batch at all; a source that is not checked by it is stopped by the first row."""

    class Untransformed(Scripted):
        def batches(self, after, transform):
            for batch in super().batches(after, transform):
                batch.changes = [upsert(1, 1), *others]
                yield batch

    sink, checkpoints = MemorySink(), MemoryCheckpoints()
    with pytest.raises(TypeError, match="argument"):
        pipeline(Untransformed([upsert(1, 1)]), sink, checkpoints=checkpoints).run(threading.Event())
    assert checkpoints.load() is None
    assert sink.versions("orders") == {}


@pytest.mark.parametrize("others", [[], [upsert(1, 1)], [Change(SHOP, "delete", 2, 2)], [upsert(3, 3, "leave out")]])
def test_a_change_that_nobody_has_looked_up_is_never_taken_for_a_delete(others):
    sink, checkpoints = MemorySink(), MemoryCheckpoints()
    rules = PipelineRules(Limits(100, 1 << 20))
    source = Scripted([*others, Change(SHOP, "unresolved", 7, 5)])
    with pytest.raises(AssertionError, match="not looked up"):
        pipeline(source, sink, checkpoints=checkpoints, rules=rules).run(threading.Event())
    assert checkpoints.load() is None
    assert sink.versions("orders") == {}


def test_an_older_state_counts_as_superseded():
    sink = MemorySink()
    pipeline(Scripted([upsert(1, 5, "new")]), sink).run(threading.Event())
    replayed = pipeline(Scripted([upsert(1, 4, "old")]), sink)
    replayed.run(threading.Event())
    assert replayed.counts == Counts(read=1, superseded=1)
    assert orjson.loads(sink.documents("orders")["n:1"])["value"] == "new"


def test_counts_that_do_not_balance_stop_the_pipeline_before_the_position_is_saved():
    class Forgetful(MemorySink):
        def write(self, writes, *, send_before=None):
            return super().write(writes, send_before=send_before)[:-1]

    checkpoints = MemoryCheckpoints()
    with pytest.raises(SystemicFault, match="1 outcomes for 2 writes"):
        pipeline(
            Scripted([upsert(1, 1), upsert(2, 2)]),
            Forgetful(),
            checkpoints=checkpoints,
            rules=PipelineRules(Limits(9, 999)),
        ).run(threading.Event())
    assert checkpoints.load() is None


def test_too_many_dead_letters_are_a_systemic_fault_and_are_all_kept():
    letters, checkpoints = MemoryDeadLetters(), MemoryCheckpoints()
    refusing = MemorySink(lambda _: "no")
    rules = PipelineRules(ONE_EACH, checkpoint_every_s=0, dead_letter_limit=2)
    source = Scripted([upsert(1, 1)], [upsert(2, 2)], [upsert(3, 3)])
    with pytest.raises(SystemicFault, match="3 dead letters within 600 s, the limit is 2"):
        pipeline(source, refusing, letters=letters, checkpoints=checkpoints, rules=rules).run(threading.Event())
    assert {each.id for each in letters.letters} == {"n:1", "n:2", "n:3"}
    assert checkpoints.load() in (Position("1", 1), Position("2", 2))


def test_the_commonest_reasons_are_told_with_too_many_dead_letters():
    reasons = {"n:1": "b", "n:2": "a", "n:3": "d", "n:4": "c", "n:5": "a", "n:6": "b", "n:7": "a", "n:8": "c"}
    refusing = MemorySink(lambda write: reasons[write.id])
    source = Scripted(*([upsert(number, number)] for number in range(1, 9)))
    with pytest.raises(SystemicFault, match=r"most common reasons: 3 times 400: a; 2 times 400: b; 2 times 400: c\."):
        pipeline(source, refusing, rules=PipelineRules(ONE_EACH, dead_letter_limit=7)).run(threading.Event())


def test_what_is_too_old_to_be_sent_is_read_again_from_the_checkpoint():
    failures = iter([ReadAgain("too old")])

    def before(ids):
        if ids == ["n:2"] and (error := next(failures, None)):
            raise error

    source, sink = Scripted([upsert(1, 1)], [upsert(2, 2)]), Sink(before)
    rules = PipelineRules(ONE_EACH, in_flight=1, checkpoint_every_s=0)
    pipeline(source, sink, rules=rules).run(threading.Event())
    assert source.asked_after == [None, Position("1", 1)]
    assert sink.versions("orders") == {"n:1": 1, "n:2": 2}


def test_what_is_read_again_is_counted_once():
    failures = iter([ReadAgain("too old")])

    def before(ids):
        if ids == ["n:3"] and (error := next(failures, None)):
            raise error

    source, checkpoints = Scripted([upsert(1, 1)], [upsert(2, 2)], [upsert(3, 3)]), Busy()
    checkpoints.may.set()
    rules = PipelineRules(ONE_EACH, in_flight=1, checkpoint_every_s=60, send_within_s=60)
    loading = pipeline(source, Sink(before), checkpoints=checkpoints, rules=rules)
    loading.run(threading.Event())
    assert source.asked_after == [None, Position("2", 2)]  # completed, and not saved yet
    assert loading.counts == Counts(read=3, written=3)
    assert loading.metrics.value("penstock_changes_total", pipeline="shop", outcome="written") == 3


def test_only_a_position_of_the_stream_is_a_checkpoint():
    """Of a stream whose documents are looked up too."""
    for outside, of_load in ((None, False), (60, False), (60, True)):
        rules = PipelineRules(ONE_EACH, checkpoint_every_s=0, send_within_s=outside, of_load=of_load)
        running = pipeline(Scripted([upsert(1, 1)], [upsert(2, 2)]), Sink(lambda _: None), rules=rules)
        running.run(threading.Event())
        assert (running.metrics.value("penstock_checkpoints_total", pipeline="shop") > 0) is not of_load


def test_when_told_to_stop_what_is_in_flight_is_finished_and_saved():
    checkpoints, stop = MemoryCheckpoints(), threading.Event()
    source = Scripted([upsert(1, 1)], then=Stopped("told to stop"))
    with pytest.raises(Stopped):
        pipeline(source, checkpoints=checkpoints, rules=PipelineRules(ONE_EACH, checkpoint_every_s=60)).run(stop)
    assert checkpoints.load() == Position("1", 1)


def test_the_position_of_an_idle_source_is_saved_too():
    checkpoints = MemoryCheckpoints()
    pipeline(Scripted([upsert(1, 1)], [], []), checkpoints=checkpoints).run(threading.Event())
    assert checkpoints.load() == Position("3", 0)


class Busy(MemoryCheckpoints):
    """Its first save takes until `may` is set, and raises `then`."""

    def __init__(self, then: Exception | None = None) -> None:
        super().__init__()
        self.may, self.then, self.saves = threading.Event(), then, 0

    def save(self, position: Position) -> None:
        self.saves += 1
        if self.saves == 1:
            assert self.may.wait(10)
            if self.then:
                raise self.then
        super().save(position)


def test_a_slow_save_of_the_position_holds_nothing_up():
    checkpoints, written = Busy(), []

    def before(ids):
        written.extend(ids)
        if len(written) == 20:
            checkpoints.may.set()

    source = Scripted(*([upsert(number, number)] for number in range(1, 21)))
    pipeline(source, Sink(before), checkpoints=checkpoints).run(threading.Event())
    assert checkpoints.load() == Position("20", 20)


@pytest.mark.parametrize("fault", [Stopped("told to stop"), LeaseLost("taken")])
def test_a_position_that_cannot_be_saved_ends_the_run_and_nothing_is_counted_twice(fault):
    checkpoints, settled = Busy(then=fault), []
    source = Scripted(*([upsert(number, number)] for number in range(1, 21)), then=Stopped("told to stop"))
    checkpoints.may.set()
    moving = pipeline(source, checkpoints=checkpoints, on_settled=lambda position, _: settled.append(position.time))
    with pytest.raises(type(fault), match=str(fault)):
        moving.run(threading.Event())
    assert checkpoints.load() is None
    assert settled == list(range(1, len(settled) + 1))
    assert moving.counts.read == len(settled)
