"""The sentence on top of the overview is true, and names the command that heals."""

from dataclasses import replace

import pytest

from penstock.console.verdict import judge, sentence_of
from penstock.operations.inspect.members import MemberStatus
from penstock.operations.status.reactions import ReactionStatus
from penstock.operations.status.report import CollectionStatus, GenerationStatus, Status
from penstock.operations.status.workers import WorkerStatus

LIVE = CollectionStatus(
    namespace="shop.orders",
    index="orders",
    pipeline="shop",
    state="live",
    loaded=1.0,
    documents_source=100,
    documents_index=100,
    writes_per_s=10.0,
    lag_s=0.4,
    dead_letters=0,
    position_left_s=10_000.0,
    lost=None,
    generations=[],
    moved_on=[],
    searched_in=None,
)
REACTION = ReactionStatus(
    name="mails",
    target="webhook",
    collections=["shop.orders"],
    state="live",
    pending=0,
    lag_s=0.0,
    dead_letters=0,
    position_left_s=None,
    waiting_for="",
    reason="",
)


def collections(*changes, count=3):
    lines = [replace(LIVE, namespace=f"shop.c{number}") for number in range(count)]
    return [replace(line, **changes[place]) if place < len(changes) else line for place, line in enumerate(lines)]


def said(*lines, **more):
    found = Status(list(lines), **{"source_problem": "", **more})
    sentence = sentence_of(found, [judge(each, in_step_s=15.0) for each in lines])
    return f"{sentence.kind}: {sentence.text}{sentence.moving}", sentence.command


def test_all_in_step():
    assert said(*collections({"lag_s": 2.0})) == (
        "good: All 3 collections are in step; the slowest is 2.0 s behind.",
        "",
    )
    assert said(LIVE) == ("good: shop.orders is in step; it is 0.4 s behind.", "")
    assert said(replace(LIVE, lag_s=0.01))[0].endswith("it is less than 0.1 s behind.")
    assert said(replace(LIVE, lag_s=None))[0] == "good: shop.orders is in step."


TOPICS = replace(LIVE, brought_by="topics", records_behind=12)


def test_what_nobody_applies_is_not_fed():
    member = MemberStatus("vm/7/ab", "vm", 7, {}, 0.0)
    assert said(TOPICS)[0].startswith("good: shop.orders is in step")
    assert said(replace(TOPICS, state="stopped")) == (
        "bad: shop.orders is not fed: no process applies its topics.",
        "penstock apply",
    )
    assert said(replace(TOPICS, state="standby", members=[member])) == (
        "bad: shop.orders is not fed: no process has partitions of its topics.",
        "penstock apply",
    )
    assert said(replace(TOPICS, records_behind=12_345))[0] == "warn: shop.orders has 12,345 records to go."


STOPPED = {"state": "stopped"}
WRONG = {
    "one stopped": (
        collections(STOPPED),
        "bad: shop.c0 has stopped: no worker is running.",
        "penstock run",
    ),
    "all stopped": (
        collections(STOPPED, STOPPED, STOPPED),
        "bad: All 3 collections have stopped, because no worker is running.",
        "penstock run",
    ),
    "the commonest, and the others": (
        collections(STOPPED, STOPPED, {"state": "unserved", "unserved": "no right"}),
        "bad: 2 of 3 collections have stopped, because no worker is running. 1 other needs a look too.",
        "penstock run",
    ),
    "bad comes before warn": (
        collections({"dead_letters": 5}, {"dead_letters": 5}, STOPPED),
        "bad: shop.c2 has stopped: no worker is running.",
        "penstock run",
    ),
    "unserved": (
        collections({"state": "unserved", "unserved": "the field limit is reached"}),
        "bad: shop.c0 cannot be served: the field limit is reached.",
        "penstock check",
    ),
    "little time": (
        collections({"position_left_s": 700.0}),
        "bad: shop.c0 loses its position in 11 min: the source forgets the changes that it needs next.",
        "penstock run",
    ),
    "dead letters": (
        collections({"dead_letters": 1}),
        "warn: shop.c0 has 1 document that the index refused.",
        "penstock dead-letters list shop.c0",
    ),
    "dead letters of several": (
        collections({"dead_letters": 1}, {"dead_letters": 2}),
        "warn: 2 of 3 collections have documents that the index refused.",
        "",
    ),
    "behind": (collections({"lag_s": 200.0}), "warn: shop.c0 is 3 min behind the source.", ""),
    "waiting": (
        collections({"state": "waiting"}),
        "warn: shop.c0 waits for its first worker.",
        "penstock run",
    ),
    "loading": (
        collections({"state": "loading", "loaded": 0.47}),
        "busy: shop.c0 is being loaded, 47 % so far.",
        "",
    ),
    "lost": (
        collections({"lost": "history, noticed 12:00"}),
        "bad: shop.c0 lost its position (history, noticed 12:00).",
        "",
    ),
    "alias moved": (
        collections({"searched_in": "theirs"}),
        "warn: shop.c0 is searched in theirs, which penstock does not update: its alias orders was moved.",
        "",
    ),
}


@pytest.mark.parametrize(("lines", "sentence", "command"), WRONG.values(), ids=list(WRONG))
def test_what_is_wrong_and_what_heals_it(lines, sentence, command):
    assert said(*lines) == (sentence, command)


def test_a_failed_generation_is_bad_only_where_people_search():
    failed = GenerationStatus("orders-g2", "building", "failed", 0.5, 1, None, 0, "the mapping is full")
    assert said(replace(LIVE, generations=[failed]))[0] == (
        "warn: shop.orders does not update orders-g2: the mapping is full."
    )
    assert said(replace(LIVE, generations=[replace(failed, role="serving")]))[0].startswith("bad: ")


def test_the_source_comes_first():
    assert said(*collections(STOPPED), source_problem="No primary.") == (
        "bad: The source cannot be asked. No primary.",
        "penstock check",
    )


def test_a_reaction_that_stands_still():
    stopped = replace(REACTION, state="stopped", reason="410 Gone")
    assert said(*collections(), reactions=[stopped])[0] == "bad: mails (a reaction) has stopped: 410 Gone."
    letters = replace(REACTION, dead_letters=2)
    assert said(*collections(), reactions=[letters]) == (
        "warn: mails (a reaction) has 2 events that its target refused.",
        "penstock dead-letters list --reaction mails",
    )


def test_the_worst_come_first_and_small_changes_of_the_lag_move_nothing():
    lines = collections({"lag_s": 1.0}, {"lag_s": 9.0, "dead_letters": 1}, STOPPED, {"state": "loading"}, count=5)
    judged = sorted((judge(each, in_step_s=15.0) for each in lines), key=lambda each: each.place)
    assert [each.status.namespace for each in judged] == ["shop.c2", "shop.c1", "shop.c3", "shop.c0", "shop.c4"]
    assert (
        judge(replace(LIVE, lag_s=20.0), in_step_s=60.0).place == judge(replace(LIVE, lag_s=30.0), in_step_s=60.0).place
    )


def test_the_rest_of_a_load():
    loading = replace(LIVE, state="loading", documents_index=40, writes_per_s=20.0)
    assert judge(loading, in_step_s=15.0).eta_s == 3.0
    assert judge(replace(loading, writes_per_s=0.0), in_step_s=15.0).eta_s is None


def test_a_worker_that_is_silent_while_others_do_its_work():
    gone = WorkerStatus("vm/7/ab", "vm", 7, "silent", 12.0, {}, "", None, None, 0.0, "1")
    assert said(*collections(), workers=[gone])[0] == ("warn: vm/7/ab (a worker) has given no sign of life for 12 s.")
    assert said(*collections(STOPPED), workers=[gone])[0].startswith("bad: shop.c0 has stopped")
    assert said(*collections(), workers=[replace(gone, state="alive")])[0].startswith("good: ")


def test_while_the_index_is_slow_silence_is_not_judged():
    assert said(*collections(), index_slow="it took 3.0 s to answer")[0] == (
        "busy: OpenSearch answers slowly or takes no writes: it took 3.0 s to answer."
        " That a worker is gone is not noticed meanwhile."
    )
