"""The loop of a reaction, from batches that are given to a target that answers by a plan."""

import json
import threading
import time
from collections import defaultdict
from contextlib import contextmanager

import pytest

from penstock.errors import LeaseLost, SystemicFault
from penstock.memory.sink import MemoryCheckpoints, MemoryDeadLetters
from penstock.model import Batch, Namespace, Position, TransformedChange
from penstock.observe.metrics import Metrics
from penstock.reactions.delivery import Delivery, DeliveryRules
from penstock.reactions.target import Accepted, Refused, TryAgain
from penstock.runtime.threads import ChildEvent
from testkit.workspace import until

ORDERS = Namespace("shop", "orders")


def change(document, version, place=0):
    """The change with its event; one without a document is filtered."""
    if document is None:
        return TransformedChange(ORDERS, "upsert", version)
    subject = f"shop.orders/{document}"
    attributes = {"type": "penstock.document.update", "source": "penstock", "time": "2026-11-29T12:00:00Z"}
    event = {
        "id": f"{subject}/{version}/{place}",
        "subject": subject,
        **attributes,
        "data": {"collection": "shop.orders"},
    }
    return TransformedChange(ORDERS, "upsert", version, document, json.dumps(event).encode())


class GivenSource:
    """Yields what it is given, then nothing more, as an idle stream does; waits until a function says yes."""

    def __init__(self, *batches):
        self.left, self.closed = list(batches), threading.Event()

    def batches(self, after, transform):
        while not self.closed.wait(0.005):
            if self.left and callable(self.left[0]):
                until(self.left.pop(0), "what the source waits for")
            yield self.left.pop(0) if self.left else Batch([], Position("idle", 0), time.monotonic())

    def close(self):
        self.closed.set()


def batch(*changes, more=False):
    last = changes[-1]
    return Batch(list(changes), Position(f"after {last.version}", last.version), time.monotonic(), more=more)


class PlannedTarget:
    """Answers by a plan; `sent` are the ids of events in the order in which they came, `taken` those it accepted."""

    def __init__(self, plan=lambda _: Accepted(), at_once=1):
        self.plan, self.at_once = plan, at_once
        self.sent, self.taken, self.together = [], [], []
        self._under_way = defaultdict(int)
        self._lock = threading.Lock()

    def send(self, events):
        with self._lock:
            self.sent += [each.id for each in events]
            for each in events:
                self._under_way[each.subject] += 1
                if self._under_way[each.subject] > 1:
                    self.together.append(each.subject)
        answers = [self.plan(each) for each in events]
        with self._lock:
            self.taken += [each.id for each, answer in zip(events, answers, strict=True) if answer == Accepted()]
            for each in events:
                self._under_way[each.subject] -= 1
        return answers

    def problem(self):
        return ""

    def close(self):
        pass


class Saves(MemoryCheckpoints):
    def __init__(self):
        super().__init__()
        self.tokens = []

    def save(self, position):
        super().save(position)
        self.tokens.append(position.token)


class Case:
    def __init__(self, source, target, *, tries=3, limit=100, may_send=lambda: None, index_has=lambda _: True):
        self.saves, self.letters, self.metrics = Saves(), MemoryDeadLetters(), Metrics()
        rules = DeliveryRules(
            in_flight=4,
            tries=tries,
            checkpoint_every_s=0,
            idle_save_s=0,
            longest_pause_s=0.05,
            dead_letter_limit=limit,
            dead_letter_window_s=60,
        )
        self.delivery = Delivery(
            *("paid", "reaction/paid", lambda: source, lambda _, each: each, target, self.letters, self.saves),
            *(rules, self.metrics, may_send, index_has),
        )
        self.stop = ChildEvent(threading.Event())

    @contextmanager
    def running(self):
        thread = threading.Thread(target=self.delivery.run, args=(self.stop,))
        thread.start()
        try:
            yield
        finally:
            self.stop.set()
            thread.join(60)
        assert not thread.is_alive()

    def count(self, outcome):
        return self.metrics.value("penstock_reaction_events_total", reaction="paid", outcome=outcome)


def test_events_of_one_document_are_never_on_their_way_together_and_keep_their_order():
    changes = [change(number % 3, version) for version, number in enumerate(range(300), 1)]
    moods = iter([TryAgain("busy")] * 40)
    lock = threading.Lock()

    def plan(event):
        with lock:
            return next(moods, Accepted()) if hash(event.id) % 3 else Accepted()

    target = PlannedTarget(plan)
    case = Case(GivenSource(*(batch(*changes[start : start + 50]) for start in range(0, 300, 50))), target)
    with case.running():
        until(lambda: len(target.taken) == 300, lambda: len(target.taken))
    assert target.together == []
    for document in range(3):
        its = [int(each.split("/")[2]) for each in target.taken if each.startswith(f"shop.orders/{document}/")]
        assert its == sorted(its)


def test_a_position_is_never_saved_before_an_event_that_is_not_settled():
    held = threading.Event()

    def plan(event):
        if event.id == "shop.orders/1/2/0":
            held.wait(60)
        return Accepted()

    target = PlannedTarget(plan)
    case = Case(GivenSource(batch(change(0, 1)), batch(change(1, 2), change(2, 3)), batch(change(3, 4))), target)
    with case.running():
        until(lambda: len(target.taken) == 3, lambda: target.taken)
        until(lambda: "after 1" in case.saves.tokens, lambda: case.saves.tokens)
        assert set(case.saves.tokens) == {"after 1"}
        until(lambda: case.delivery.pending == 1, lambda: case.delivery.pending)
        held.set()
        until(lambda: case.saves.tokens[-1] == "idle", lambda: case.saves.tokens)


def test_what_is_left_out_behind_an_event_that_waits_takes_no_room():
    held = threading.Event()
    target = PlannedTarget(lambda _: Accepted() if held.wait(60) else Refused("late"))
    left_out = [batch(change(None, version)) for version in range(2, 500)]
    case = Case(source := GivenSource(batch(change(0, 1)), *left_out), target)
    with case.running():
        until(lambda: len(source.left) == 0, lambda: len(source.left))
        assert len(case.delivery._line._parts) <= 2
        assert not case.saves.tokens
        held.set()
        until(lambda: case.saves.tokens[-1:] == ["idle"], lambda: case.saves.tokens)


def test_what_is_left_out_alone_moves_the_position():
    """In a catch-up, in which each batch says that there is more."""
    arrived = threading.Event()
    left_out = [batch(change(None, version), more=True) for version in range(1, 50)]
    case = Case(source := GivenSource(*left_out, arrived.is_set), PlannedTarget())
    with case.running():
        try:
            until(lambda: case.saves.tokens, lambda: len(source.left))
        finally:
            arrived.set()


def test_a_position_within_a_transaction_is_never_saved():
    """Its end is known when something else follows: an id holds the place in the transaction, from its start."""
    whole, held = [change(1, 5, place) for place in range(4)], threading.Event()

    def plan(event):
        if event.id.endswith("/2"):
            held.wait(60)
        return Accepted()

    target = PlannedTarget(plan)
    within = Batch(whole[:2], Position("within", 5), time.monotonic(), more=True)
    source = GivenSource(batch(change(0, 4)), within, lambda: len(target.taken) == 3, batch(*whole[2:], more=True))
    case = Case(source, target)
    with case.running():
        until(lambda: len(target.sent) == 4, lambda: target.sent)
        until(lambda: not source.left, "everything is read")
        assert set(case.saves.tokens) <= {"after 4"}
        held.set()
        until(lambda: "idle" in case.saves.tokens, lambda: case.saves.tokens)
    assert "within" not in case.saves.tokens


def test_of_several_events_in_a_request_each_has_its_own_answer():
    """As EventBridge answers: those that were not taken are sent again, without the others, before what follows."""
    refused = iter([TryAgain("throttled")] * 3)
    target = PlannedTarget(
        lambda event: next(refused, Accepted()) if event.subject == "shop.orders/1" else Accepted(), at_once=10
    )
    changes = [change(number, version) for version, number in enumerate([0, 1, 2, 1, 0, 1], 1)]
    case = Case(GivenSource(batch(*changes)), target)
    with case.running():
        until(lambda: len(target.taken) == 6, lambda: target.taken)
    of_one = [each for each in target.sent if each.startswith("shop.orders/1/")]
    assert of_one == ["shop.orders/1/2/0"] * 4 + ["shop.orders/1/4/0", "shop.orders/1/6/0"]
    assert target.sent.count("shop.orders/0/1/0") == 1


def test_what_is_refused_is_offered_some_times_then_a_letter_and_the_next_one_goes():
    answers = {"shop.orders/1/1/0": Refused("no"), "shop.orders/2/2/0": Refused("too large", for_good=True)}
    target = PlannedTarget(lambda event: answers.get(event.id, Accepted()))
    case = Case(GivenSource(batch(change(1, 1), change(2, 2), change(1, 3), change(None, 4))), target, tries=3)
    with case.running():
        until(lambda: "shop.orders/1/3/0" in target.taken, lambda: target.taken)
        until(lambda: len(case.letters.letters) == 2, lambda: case.letters.letters)
    assert (target.sent.count("shop.orders/1/1/0"), target.sent.count("shop.orders/2/2/0")) == (3, 1)
    letters = {each.id: each for each in case.letters.letters}
    assert letters["shop.orders/1/1/0"].reason == "no"
    assert json.loads(letters["shop.orders/1/1/0"].body)["id"] == "shop.orders/1/1/0"
    assert (case.count("accepted"), case.count("dead_lettered"), case.count("filtered")) == (1, 2, 1)
    assert case.saves.tokens[-1] in ("idle", "after 4")


def test_too_many_letters_are_a_fault_and_the_position_stays_before_what_is_not_settled():
    changes = [change(number, number + 1) for number in range(10)]
    case = Case(GivenSource(*map(batch, changes)), PlannedTarget(lambda _: Refused("no")), tries=1, limit=3)
    with pytest.raises(SystemicFault, match="dead-letters list --reaction paid"):
        case.delivery.run(case.stop)
    assert 4 <= len(case.letters.letters) < 10


def test_nothing_is_sent_without_the_lease():
    def lost():
        raise LeaseLost("taken over")

    def plan(_):
        case.stop.set()  # so that it ends, too, when it should not have sent
        return Accepted()

    target = PlannedTarget(plan)
    case = Case(GivenSource(batch(change(1, 1))), target, may_send=lost)
    with pytest.raises(LeaseLost):
        case.delivery.run(case.stop)
    assert target.sent == []
    assert case.saves.tokens == []


def test_the_lease_is_asked_for_when_a_target_was_left_in_peace_and_not_only_before():
    """A rest may take an hour, in which this process may have slept, and another one have taken over."""
    rested_until = []

    def may_send():
        if rested_until and time.monotonic() > rested_until[0]:
            raise LeaseLost("taken over")

    def plan(_):
        if rested_until:
            case.stop.set()  # so that it ends, too, when it should not have sent
            return Accepted()
        rested_until.append(time.monotonic() + 0.3)
        return TryAgain("busy", after_s=0.4)

    target = PlannedTarget(plan)
    case = Case(GivenSource(batch(change(1, 1))), target, may_send=may_send)
    with pytest.raises(LeaseLost):
        case.delivery.run(case.stop)
    assert target.sent == ["shop.orders/1/1/0"]


def test_what_is_to_be_in_the_index_first_is_not_sent_before():
    reached = threading.Event()
    asked = []

    def index_has(version):
        asked.append(version)
        return reached.is_set()

    target = PlannedTarget()
    case = Case(GivenSource(batch(change(None, 1)), batch(change(1, 2), change(2, 3))), target, index_has=index_has)
    with case.running():
        until(lambda: len(asked) > 1, "it is asked again")
        assert target.sent == []
        reached.set()
        until(lambda: len(target.taken) == 2, lambda: target.taken)
    assert set(asked) == {3}
