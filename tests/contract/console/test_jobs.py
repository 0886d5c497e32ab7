"""Jobs under their leases: started twice, stopped, left alone, taken over; on the real server, with real processes."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from penstock.console.jobs.board import JobRuns
from penstock.console.jobs.job import HISTORY, Job, JobName, Person, ended, new_run
from penstock.console.jobs.keeper import JobKeeper
from penstock.console.jobs.work import JobRule, Work, WorkResult
from penstock.errors import SettingsError, Stopped, SystemicFault
from penstock.opensearch.state.store import Conflict
from penstock.runtime.intervals import Intervals
from penstock.settings import CollectionSettings, PipelineSettings, Settings, SinkSettings, SourceSettings
from testkit.http_relay import Relay, relay
from testkit.workspace import until

ANN, BOB = Person("Ann", "operator"), Person("Bob", "operator")
ORDERS = JobName("verify", "shop.orders")
LONG_S = 60.0
NAMES = [JobName("verify", f"shop.{coll}") for coll in ("orders", "items", "people", "places")]


class Switch:
    """Operations that run until they are let go, or are asked to stop."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.running: list[Work] = []
        self.most = 0
        self.begins = True

    def run(self, work: Work) -> WorkResult:
        self.running.append(work)
        self.most = max(self.most, len(self.running))
        if self.begins:
            work.report.started(work.subject, 10)
            work.report.advanced(work.subject, 4)
        try:
            while not self.go.wait(0.02):
                if work.stop.is_set():
                    raise Stopped("stopped")
        finally:
            self.running.remove(work)
        return WorkResult("equal: 10 documents compared")

    def rules(self, *, is_resumed: bool = True) -> dict[Any, JobRule]:
        return {"verify": JobRule(self.run, is_resumed=is_resumed, of_reaction=False)}


@pytest.fixture
def switch() -> Switch:
    return Switch()


@pytest.fixture
def settings(sink_url: str, source_uri: str, index_prefix: str) -> Settings:
    collections = [
        CollectionSettings(namespace=each.subject, index=f"{index_prefix}{each.subject}", replicas=0) for each in NAMES
    ]
    return Settings(
        source=SourceSettings(uri=SecretStr(source_uri)),
        sink=SinkSettings(url=sink_url),
        pipeline=PipelineSettings(name=index_prefix.strip("-"), lease_s=1),
        collections=tuple(collections),
    )


@pytest.fixture
def console(settings: Settings, switch: Switch) -> Iterator[Callable[..., JobKeeper]]:
    """Make a console's keeper; all are closed in the end."""
    with ExitStack() as stack:

        def make(*, is_resumed: bool = True, **how: Any) -> JobKeeper:
            how = {"settings": settings, "rules": switch.rules(is_resumed=is_resumed), **how}
            return stack.enter_context(JobKeeper(how.pop("settings"), intervals=Intervals.fast(), **how))

        yield make
        switch.go.set()


def job(at: JobKeeper, name: JobName = ORDERS) -> Job:
    found = at.board.job(*name)
    assert found is not None
    return found


def until_state(at: JobKeeper, *states: str, name: JobName = ORDERS) -> Job:
    until(lambda: job(at, name).run.state in states, lambda: f"{states}, but {job(at, name)}")
    return job(at, name)


def test_a_job_runs_and_every_console_sees_its_progress_and_its_result(console: Any, switch: Switch) -> None:
    at, other = console(), console(runs=False)
    at.start(ORDERS, {"rate": 100}, ANN)
    until(lambda: job(other).run.done == 4, lambda: job(other))
    running = job(other)
    assert (running.run.state, running.run.total, running.run.share) == ("running", 10, 0.4)
    assert [each.name for each in other.board.open()] == [ORDERS]
    switch.go.set()
    done = until_state(other, "done").run
    assert (done.result, done.is_good, done.by, done.arguments) == (
        "equal: 10 documents compared",
        True,
        ANN,
        {"rate": 100},
    )
    until(lambda: [each.name for each in other.board.recent()] == [ORDERS], "it is among those that ended")
    assert other.board.open() == []


def test_two_who_start_the_same_at_once_get_one_job_and_the_second_hears_of_the_first(
    console: Any, settings: Settings
) -> None:
    consoles = [console(), console()]
    ready = threading.Barrier(2)

    def start(at: JobKeeper, by: Person) -> str:
        ready.wait()
        try:
            at.start(ORDERS, {}, by)
        except JobRuns as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(2) as pool:
        said = sorted(pool.map(start, consoles, (ANN, BOB)))
    assert said[0] == ""
    begun = job(consoles[0]).run
    assert said[1].startswith(
        f"verify of shop.orders: {begun.by.name} started it at {begun.started_at:%Y-%m-%d %H:%M:%S} UTC"
    )
    assert begun.number == 1


def test_a_job_that_runs_in_one_console_is_not_started_or_taken_by_another(
    console: Any, switch: Switch, settings: Settings
) -> None:
    pipeline = settings.pipeline.model_copy(update={"lease_s": 4})  # 30 beats are longer, and a slow one is shorter
    patient = settings.model_copy(update={"pipeline": pipeline})
    at = console(settings=patient)
    at.start(ORDERS, {}, ANN)
    until_state(at, "running")
    other = console(settings=patient)
    with pytest.raises(JobRuns, match="Ann started it"):
        other.start(ORDERS, {}, BOB)
    owner, beats = job(at).owner, 30
    seen = set()
    until(
        lambda: seen.add(at.board.stored(at.board.listed())[at.board.id_of(ORDERS)].seq_no) or len(seen) > beats, seen
    )
    assert (job(other).owner, switch.most) == (owner, 1)


def test_a_stop_in_another_console_reaches_the_operation(console: Any, switch: Switch) -> None:
    at, other = console(), console(runs=False)
    at.start(ORDERS, {}, ANN)
    until(lambda: switch.running, "it runs")
    assert other.stop(ORDERS, BOB)
    stopped = until_state(other, "stopped").run
    assert stopped.result == "stopped by Bob"
    assert not other.stop(ORDERS, BOB)
    assert not other.stop(NAMES[1], BOB)


def test_what_nobody_has_taken_yet_is_stopped_without_being_run(console: Any, switch: Switch) -> None:
    looks = console(runs=False)
    looks.start(ORDERS, {}, ANN)
    assert looks.stop(ORDERS, BOB)
    console()
    assert until_state(looks, "stopped").run.result == "stopped by Bob"
    assert switch.most == 0


def test_more_than_a_few_wait_for_a_place_and_the_same_may_be_started_again_afterwards(
    console: Any, switch: Switch
) -> None:
    at = console(at_once=2)
    for name in NAMES:
        at.start(name, {}, ANN)
    until(lambda: len(switch.running) == 2, "two run")
    states = {job(at, name).run.state for name in NAMES}
    assert states <= {"running", "waiting"}
    switch.go.set()
    for name in NAMES:
        until_state(at, "done", name=name)
    assert switch.most == 2
    again = at.start(ORDERS, {}, BOB)
    assert again.run.number == 2
    done = until_state(at, "done")
    assert [(each.number, each.by.name) for each in done.history] == [(2, "Bob"), (1, "Ann")]


def test_a_console_that_ends_in_order_leaves_its_job_to_the_next_at_once(
    console: Any, settings: Settings, switch: Switch
) -> None:
    patient = settings.model_copy(update={"pipeline": settings.pipeline.model_copy(update={"lease_s": LONG_S})})
    at = console(settings=patient)
    at.start(ORDERS, {}, ANN)
    until(lambda: switch.running, "it runs")
    before = time.monotonic()
    at.close()
    other = console(settings=patient)
    until(lambda: switch.running, "the next console runs it")
    assert time.monotonic() - before < LONG_S
    switch.go.set()
    assert until_state(other, "done").run.resumed == 1


@pytest.mark.parametrize("has_begun", [True, False])
def test_an_operation_that_only_waited_in_the_console_before_is_not_resumed(
    console: Any, switch: Switch, has_begun: bool
) -> None:
    """Such as a load that waits for the lease of a worker: nothing was loaded again."""
    switch.begins = has_begun
    at = console()
    at.start(ORDERS, {}, ANN)
    until(lambda: switch.running, "it runs")
    at.close()
    other = console()
    until(lambda: switch.running, "the next console runs it")
    (work,) = switch.running
    assert work.resumed is has_begun
    switch.go.set()
    assert until_state(other, "done").run.resumed == 1


def test_a_job_whose_document_is_gone_ends_and_the_next_one_runs(console: Any, switch: Switch) -> None:
    """Somebody restored the index of the state from before."""
    at = console()
    at.start(ORDERS, {}, ANN)
    until(lambda: job(at).run.done == 4, "it runs")
    (work,) = switch.running
    at.board.store.delete(at.board.id_of(ORDERS))
    until(work.stop.is_set, "the operation is asked to end")
    until(lambda: not at._held, "it is let go")
    switch.go.set()
    at.start(ORDERS, {}, ANN)
    until_state(at, "done")


def test_what_cannot_go_on_is_interrupted_when_its_console_ends(console: Any, switch: Switch) -> None:
    at = console(is_resumed=False)
    at.start(ORDERS, {}, ANN)
    until(lambda: job(at).run.done == 4, "it runs")
    at.close()
    interrupted = until_state(console(is_resumed=False), "interrupted").run
    assert (interrupted.done, interrupted.is_good) == (4, False)
    assert "start it again for the rest" in interrupted.result


def test_while_the_index_is_away_nobody_takes_a_job_from_a_console_that_lives(
    console: Any, settings: Settings, switch: Switch, between: Relay, sink_url: str
) -> None:
    """What was seen before says nothing afterwards, even if another console is back first."""
    with relay(sink_url) as others:
        at = console(settings=through(settings, between))
        at.start(ORDERS, {}, ANN)
        owner = until_state(at, "running").owner
        other = console(settings=through(settings, others))
        until(lambda: looks_through(others) > 4, "the other console sees the job")
        between.plan = others.plan = lambda _: "drop"
        began = time.monotonic()
        until(lambda: time.monotonic() - began > 5, "longer than the lease")
        looked, others.plan = looks_through(others), lambda _: "pass"
        until(lambda: looks_through(others) > looked + 6, "it has looked")
        between.plan = lambda _: "pass"
        beat = beat_of(other)
        until(lambda: beat_of(other) > beat + 2, "it is renewed again")
        assert (job(other).owner, job(other).run.resumed, switch.most) == (owner, 0, 1)
        switch.go.set()
        assert until_state(other, "done").run.resumed == 0
        other.close()


def through(settings: Settings, way: Relay) -> Settings:
    """The same settings, with a lease that a busy machine keeps, and this way to the index."""
    sink = settings.sink.model_copy(update={"url": way.url})
    return settings.model_copy(update={"sink": sink, "pipeline": settings.pipeline.model_copy(update={"lease_s": 4})})


def looks_through(way: Relay) -> int:
    return sum("/_mget" in each.path for each in way.asked)


def beat_of(at: JobKeeper) -> int:
    state_id = at.board.id_of(ORDERS)
    beat: int = at.board.stored([state_id])[state_id].document["beat"]
    return beat


def test_a_console_that_lost_its_lease_ends_the_operation_and_writes_nothing(console: Any, switch: Switch) -> None:
    at = console()
    at.start(ORDERS, {}, ANN)
    until(lambda: switch.running, "it runs")
    state_id = at.board.id_of(ORDERS)
    (work,) = switch.running

    def taken() -> bool:
        stored = at.board.stored([state_id])[state_id]
        document = {**stored.document, "owner": "another", "epoch": stored.document["epoch"] + 1, "lease_s": LONG_S}
        try:
            at.board.store.put(state_id, document, stored)
        except Conflict:
            return False
        return True

    until(taken, "the lease is another's")
    until(work.stop.is_set, "the operation is asked to end")
    until(lambda: not at._held, "it is let go")
    assert (job(at).owner, job(at).run.state) == ("another", "running")


def failing(error: Exception) -> dict[Any, JobRule]:
    def fail(_: Work) -> WorkResult:
        raise error

    return {"verify": JobRule(fail, is_resumed=True)}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SystemicFault("too many dead letters"), "too many dead letters"),
        (RuntimeError("secret"), "a defect of penstock ended it (RuntimeError)"),
        (Stopped("by itself"), "by itself"),
    ],
)
def test_how_an_operation_fails_is_kept(console: Any, error: Exception, said: str) -> None:
    at = console(rules=failing(error))
    at.start(ORDERS, {}, ANN)
    failed = until_state(at, "failed").run
    assert failed.result.startswith(said)
    assert "secret" not in failed.result
    assert not failed.is_good


def test_what_is_not_declared_here_is_neither_started_nor_taken(
    console: Any, settings: Settings, switch: Switch
) -> None:
    at = console()
    with pytest.raises(SettingsError, match=r"shop\.others is not declared"):
        at.start(JobName("verify", "shop.others"), {}, ANN)
    fewer = settings.model_copy(update={"collections": settings.collections[1:]})
    console(runs=False).start(ORDERS, {}, ANN)
    at.close()
    stranger = console(settings=fewer)
    stranger.start(NAMES[1], {}, ANN)
    switch.go.set()
    until_state(stranger, "done", name=NAMES[1])
    assert job(stranger).run.state == "waiting"


def test_the_activity_says_who_did_what_with_which_result_and_each_once(console: Any, switch: Switch) -> None:
    at, other = console(), console()
    at.start(ORDERS, {"repair": True, "rate": 5, "documents": ["a", "b"]}, ANN)
    switch.go.set()
    until(lambda: len(at.activity.entries()) == 2 and not at.board.listed(), at.activity.entries)
    ended, began = other.activity.entries()
    assert (began.by, began.what, began.subject) == (ANN, "started verify", "shop.orders")
    assert began.result == "repair: yes, rate: 5, documents: a, b"
    assert (ended.by, ended.what, ended.result) == (ANN, "verify done", "equal: 10 documents compared")
    assert abs(datetime.now(UTC) - ended.at) < timedelta(minutes=10)
    for _ in range(2):
        other.activity.note(BOB, "something", "shop.orders", key="the same")
    assert len(at.activity.entries()) == 3


def test_a_job_of_a_later_version_is_left_alone(console: Any, switch: Switch) -> None:
    at = console(runs=False)
    at.board.start(JobName("polish", "shop.orders"), {}, ANN, lease_s=1)  # type: ignore[arg-type]
    runs = console()
    runs.start(ORDERS, {}, ANN)
    switch.go.set()
    until_state(runs, "done")
    assert job(runs, JobName("polish", "shop.orders")).run.state == "waiting"  # type: ignore[arg-type]


def test_of_each_job_the_last_results_are_kept() -> None:
    document: dict[str, Any] = {"history": [], "run": new_run(1, {}, ANN), "owner": "", "stop": None}
    for number in range(1, HISTORY + 6):
        document = ended(
            {**document, "run": {**new_run(number, {}, ANN), "lines": ["x"]}}, "done", "equal", is_good=True
        )
    assert [each["number"] for each in document["history"]] == list(range(HISTORY + 5, 5, -1))
    assert all("lines" not in each for each in document["history"])
