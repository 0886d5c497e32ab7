"""Faults of the worker's process."""

import signal
import time

from faults.fault import fault
from faults.said import OVERLOADED, is_bulk
from faults.scene import Scene
from penstock.errors import SettingsError
from testkit.tcp_proxy import Proxy
from testkit.workspace import Worker, until

_STOPS_WITHIN_S = 10


@fault("SIGKILL of the worker", quick=True)
def worker_killed(scene: Scene) -> None:
    scene.begin()
    for _ in scene.rounds():
        scene.worker.kill()
        scene.mark()
        scene.run()


@fault("SIGKILL of the worker while the index refuses what it has sent", quick=True)
def worker_killed_while_refused(scene: Scene) -> None:
    between = scene.sink_through_relay()
    scene.begin(checkpoint_every_s=0)
    for _ in scene.rounds():
        between.asked.clear()
        between.plan = lambda asked: OVERLOADED if is_bulk(asked) else "pass"
        until(lambda: any(map(is_bulk, between.asked)), "something was sent")
        scene.pause()
        scene.worker.kill()
        scene.mark()
        between.plan = lambda _: "pass"
        scene.run()


@fault("SIGKILL of the worker that holds the lease; a standby takes over")
def worker_killed_with_standby(scene: Scene) -> None:
    scene.begin()
    for _ in scene.rounds():
        standby = scene.another()
        standby.until_logged("standby: another worker holds the lease")
        scene.pause()
        scene.worker.kill()
        scene.mark()
        scene.worker = standby


@fault("SIGSTOP for longer than the lease; a standby takes over, the sleeper wakes up", quick=True)
def worker_stopped(scene: Scene) -> None:
    scene.begin()
    standby = scene.another()
    standby.until_logged("standby: another worker holds the lease")
    for _ in scene.rounds():
        sleeper = scene.worker
        sleeper.signal(signal.SIGSTOP)
        scene.mark()
        scene.worker, standby = standby, sleeper
        scene.recover()
        scene.pause()
        sleeper.signal(signal.SIGCONT)
        _until_standby(sleeper)


@fault("a second worker for another collection of the database, without a name of its own and then with one")
def other_collections(scene: Scene) -> None:
    scene.database["others"].insert_many([{"n": number} for number in range(100)])
    scene.begin()
    for _ in scene.rounds():
        scene.site.settings(f"{scene.database.name}.others")
        refused = scene.another()
        assert refused.end() == SettingsError.exit_code, refused.errors
        refused.killed = True
        scene.site.settings(f"{scene.database.name}.others", pipeline={"name": "others"})
        beside = scene.another()
        scene.site.until_equal(scene.database, "others")
        scene.settings()
        scene.worker.terminate()
        scene.mark()
        scene.run()
        scene.recover()
        beside.terminate()


@fault("two workers started at once, again and again")
def two_workers(scene: Scene) -> None:
    scene.begin()
    pair = [scene.worker]
    for _ in scene.rounds():
        for each in pair:
            each.kill()
        scene.mark()
        pair = [scene.another(), scene.another()]
        scene.worker = holder(pair)
        scene.recover()
        assert [each for each in pair if each.metric("penstock_lease_held")] == [scene.worker]
    for each in pair:
        if each is not scene.worker:
            each.kill()


def _until_standby(worker: Worker) -> None:
    until(lambda: worker.states() == {"standby"}, worker.states)


def holder(pair: list[Worker]) -> Worker:
    """Return the one that takes the lease; neither had it before."""
    return until(lambda: next((each for each in pair if each.lines("took the lease")), None), "one took the lease")


@fault("SIGTERM of the worker while the source, or OpenSearch, hangs; the next worker goes on")
def stopped_while_hanging(scene: Scene) -> None:
    proxies = scene.source_through(Proxy), scene.sink_through(Proxy)
    scene.begin()
    took_s: list[float] = []
    for number in scene.rounds():
        proxy = proxies[number % 2]
        proxy.hang()
        scene.pause()
        began = time.monotonic()
        scene.worker.terminate()
        took_s.append(round(time.monotonic() - began, 1))
        assert took_s[-1] < _STOPS_WITHIN_S, took_s
        scene.mark()
        proxy.resume()
        scene.run()
    scene.more["stopped within, seconds"] = took_s
