"""Where batches end."""

import threading
from collections.abc import Iterator

import pytest

from penstock.errors import PositionLost
from penstock.model import Batch, Namespace, Position, SourceTransform, TransformedChange
from penstock.pipeline.batching import Limits, gather

SHOP = Namespace("shop", "orders")
WIDE = Limits(1000, 1_000_000)


def answer(*versions: int, more: bool = False, size: int = 10) -> Batch:
    changes = [TransformedChange(SHOP, "delete", version, id=version) for version in versions]
    return Batch(changes, Position(f"after {versions}", max(versions, default=0)), 0.0, size * len(versions), more)


class ScriptedSource:
    """Yields the answers it was given; `gate` holds back everything after the first when it is there."""

    def __init__(
        self, *answers: Batch, error: Exception | None = None, endless: bool = False, every_s: float = 0
    ) -> None:
        self.answers, self.error, self.endless, self.every_s = answers, error, endless, every_s
        self.closed = threading.Event()

    def batches(self, after: Position | None, transform: SourceTransform) -> Iterator[Batch]:
        for each in self.answers:
            yield each
            self.closed.wait(self.every_s)
        if self.error:
            raise self.error
        if self.endless:
            self.closed.wait(10)

    def close(self) -> None:
        self.closed.set()


def keep_none(_namespace, documents):
    return [None] * len(documents)


def versions(batch: Batch) -> list[int]:
    return [change.version for change in batch.changes]


def test_answers_that_belong_together_become_one_batch_with_the_last_position():
    source = ScriptedSource(answer(1, 2, more=True), answer(3))
    [batch] = gather(source, None, WIDE, keep_none, max_age_s=60)
    assert versions(batch) == [1, 2, 3]
    assert batch.position == Position("after (3,)", 3)
    assert batch.bytes == 30


def test_each_answer_is_shown_before_its_batch_is_whole():
    source = ScriptedSource(answer(1, 2, more=True), answer(3), answer(4))
    seen = []
    three = Limits(3, 1_000_000)
    for batch in gather(
        source, None, three, keep_none, max_age_s=60, on_answer=lambda each: seen.append(versions(each))
    ):
        seen.append(f"batch to {versions(batch)[-1]}")
    assert seen == [[1, 2], [3], "batch to 3", [4], "batch to 4"]


def test_an_idle_source_is_answered_at_once_without_waiting_for_more():
    source = ScriptedSource(answer(1), endless=True)
    batches = gather(source, None, WIDE, keep_none)
    assert versions(next(batches)) == [1]
    batches.close()
    assert source.closed.is_set()


def test_a_promise_that_is_not_kept_ends_the_batch_by_age():
    source = ScriptedSource(answer(1, more=True), endless=True)
    batches = gather(source, None, WIDE, keep_none)
    assert versions(next(batches)) == [1]
    batches.close()


def test_answers_that_come_slowly_do_not_make_a_batch_old():
    source = ScriptedSource(*[answer(number, more=True) for number in range(1, 9)], every_s=0.4)
    batches = list(gather(source, None, WIDE, keep_none))
    assert len(batches) >= 3
    assert [version for batch in batches for version in versions(batch)] == list(range(1, 9))


@pytest.mark.parametrize("limits", [Limits(2, 1_000_000), Limits(1000, 20)], ids=["count", "bytes"])
def test_a_full_batch_ends(limits):
    source = ScriptedSource(answer(1, 2, more=True), answer(3, 4, more=True), answer(5))
    batches = list(gather(source, None, limits, keep_none, max_age_s=60))
    assert [versions(batch) for batch in batches] == [[1, 2], [3, 4], [5]]


def test_a_batch_does_not_end_between_changes_of_one_cluster_time():
    source = ScriptedSource(answer(1, 2, more=True), answer(2, 2, more=True), answer(2, 3, more=True), answer(4))
    batches = list(gather(source, None, Limits(2, 1_000_000), keep_none, max_age_s=60))
    assert [versions(batch) for batch in batches] == [[1, 2, 2, 2, 2, 3], [4]]


def test_the_batches_of_a_load_end_within_a_range_whose_documents_have_one_version():
    source = ScriptedSource(answer(1, 1, more=True), answer(1, 1, more=True), answer(1))
    batches = list(gather(source, None, Limits(2, 1_000_000), keep_none, whole_times=False))
    assert [versions(batch) for batch in batches] == [[1, 1], [1, 1], [1]]


def test_an_empty_answer_moves_the_position():
    source = ScriptedSource(answer(1, more=True), Batch([], Position("idle", 9), 0.0))
    [batch] = gather(source, None, WIDE, keep_none, max_age_s=60)
    assert (versions(batch), batch.position) == ([1], Position("idle", 9))


def test_what_was_read_before_an_error_is_given_before_the_error():
    source = ScriptedSource(answer(1, more=True), error=PositionLost("gone"))
    batches = gather(source, None, WIDE, keep_none)
    assert versions(next(batches)) == [1]
    with pytest.raises(PositionLost, match="gone"):
        next(batches)


def test_closing_ends_a_reader_that_waits_to_hand_over():
    source = ScriptedSource(*[answer(number) for number in range(100)], endless=True)
    before = set(threading.enumerate())
    batches = gather(source, None, Limits(1, 1), keep_none)
    next(batches)
    batches.close()
    assert [each.name for each in threading.enumerate() if each not in before and "reader" in each.name] == []
