"""Faults between `penstock capture` and `penstock apply`."""

import signal
import time
from typing import Final

from faults.fault import fault_of_log
from faults.log_scene import PARTITIONS, LogScene
from faults.made.connections import cut_in_rounds, delay_in_rounds
from faults.scene import ITEMS
from testkit.workspace import Worker, until

_OTHERS = 3000
"""More changes than the small source's log keeps."""
_MORE = 4000
"""Documents that nobody edits, so that there is a middle of the load."""
_LOAD_RATE = 200
"""Of each of three processes: the load takes seven seconds."""
_DELETED: Final = "position lost: a topic was deleted and made again"


@fault_of_log("SIGKILL of a process that applies; the others take over its share")
def apply_killed(scene: LogScene) -> None:
    scene.begin_by_log()
    for _ in scene.rounds():
        scene.appliers.pop().kill()
        scene.mark()
        scene.appliers.append(scene.apply())


@fault_of_log("SIGSTOP of a process that applies for longer than its session; it wakes up")
def apply_stopped(scene: LogScene) -> None:
    scene.begin_by_log()
    for _ in scene.rounds():
        sleeper = scene.appliers[-1]
        sleeper.signal(signal.SIGSTOP)
        scene.mark()
        _until_has(scene.appliers[0], PARTITIONS)
        scene.recover()
        sleeper.signal(signal.SIGCONT)
        _until_has(scene.appliers[0], PARTITIONS // 2)


@fault_of_log("members that come and go every second")
def rebalances(scene: LogScene) -> None:
    scene.begin_by_log()
    for number in scene.rounds():
        other = scene.apply()
        other.until_logged("apply begins")
        scene.pause(2)
        if number % 2:
            other.kill()
        else:
            other.terminate()
        scene.mark()


@fault_of_log("SIGKILL of the process that captures, inside a transaction; the next one goes on")
def capture_killed(scene: LogScene) -> None:
    scene.begin_by_log()
    for _ in scene.rounds():
        _stop_inside_a_transaction(scene)
        scene.capture.kill()
        scene.mark()
        scene.capture = scene.capturing()


@fault_of_log("two processes that capture started at once, again and again")
def two_captures(scene: LogScene) -> None:
    scene.begin_by_log()
    pair = [scene.capture]
    for _ in scene.rounds():
        for each in pair:
            each.kill()
        scene.mark()
        pair = [scene.capturing(), scene.capturing()]
        scene.recover()
        scene.until_one_captures(pair)


@fault_of_log("SIGSTOP of the process that captures, inside a transaction, for longer than its session; it wakes up")
def capture_stopped(scene: LogScene) -> None:
    scene.begin_by_log()
    standby = scene.capturing()
    for _ in scene.rounds():
        _stop_inside_a_transaction(scene)
        scene.mark()
        scene.recover()
        sleeper, scene.capture, standby = scene.capture, standby, scene.capture
        scene.pause()
        sleeper.signal(signal.SIGCONT)
        until(lambda: sleeper.states() == {"standby"}, lambda: f"it stands by:\n{sleeper.stuck()}")  # noqa: B023


@fault_of_log("SIGKILL of the broker, which restarts with its log")
def broker_killed(scene: LogScene) -> None:
    assert scene.ground.kafka is not None
    scene.begin_by_log()
    for _ in scene.rounds():
        scene.ground.kafka.kill()
        scene.pause()
        scene.ground.kafka.start()
        scene.mark()


@fault_of_log("all connections to the broker cut, and none accepted for a while")
def broker_cut(scene: LogScene) -> None:
    proxy = scene.by_proxy()
    scene.begin_by_log()
    cut_in_rounds(scene, proxy)


@fault_of_log("everything from and to the broker delayed by up to half a second")
def broker_delayed(scene: LogScene) -> None:
    proxy = scene.by_proxy()
    scene.begin_by_log()
    delay_in_rounds(scene, proxy)


@fault_of_log("the topic no longer holds what was not applied")
def retention_passed(scene: LogScene) -> None:
    scene.some_are_lost = True
    scene.begin_by_log(appliers=1)
    for _ in scene.rounds():
        scene.worker.terminate()
        before = sum(scene.last_numbers().values())
        until(lambda: sum(scene.last_numbers().values()) > before + 50, "changes that nobody applies")  # noqa: B023
        scene.topics.forget_all(scene.log.topic(ITEMS))
        scene.mark()
        scene.worker = scene.apply()
        scene.recover()
        scene.until_said("position lost", 1)


@fault_of_log("the topic deleted while it is written and read")
def topic_deleted(scene: LogScene) -> None:
    scene.some_are_lost = True
    scene.begin_by_log()
    for number in scene.rounds():
        scene.topics.delete(scene.log.topic(ITEMS))
        scene.mark()
        scene.recover()
        until(lambda: len(scene.capture.lines(_DELETED)) > number, lambda: scene.capture.errors[-3000:])  # noqa: B023


@fault_of_log("OpenSearch away for longer than the source keeps its change log")
def away_longer_than_the_change_log(scene: LogScene) -> None:
    opensearch, small = scene.ground.opensearch, scene.ground.small_log
    assert opensearch is not None
    assert small is not None
    scene.on_source(small.uri)
    scene.begin_by_log()
    for _ in scene.rounds():
        opensearch.kill()
        others = scene.database["others"]
        for start in range(0, _OTHERS, 500):
            others.insert_many([{"n": start + each} for each in range(500)])
        opensearch.start()
        scene.mark()
        scene.recover()
        assert not any(each.lines("position lost") for each in (*scene.appliers, scene.capture))


@fault_of_log("a drop while half of the partitions are far behind")
def drop_far_behind(scene: LogScene) -> None:
    scene.begin_by_log()
    for _ in scene.rounds():
        sleeper = scene.appliers[-1]
        sleeper.signal(signal.SIGSTOP)
        time.sleep(1)
        scene.items.drop()
        scene.pause()
        sleeper.signal(signal.SIGCONT)
        scene.mark()
        until(lambda: any(each.lines("collection gone, index emptied") for each in scene.appliers), "emptied")


@fault_of_log("SIGKILL of two of the three processes that share the load of an index, which was deleted")
def load_shared(scene: LogScene) -> None:
    scene.items.insert_many([{"_id": f"more {each}", "key": f"more {each}", "n": each} for each in range(_MORE)])
    scene.begin_by_log(appliers=3, load_range=100, load_rate=_LOAD_RATE)
    scene.more["done when killed"] = []
    _until_loaded(scene)
    for _ in scene.rounds():
        before = scene.load().get("plan")
        scene.site.ask("DELETE", f"{scene.index}-g1")
        until(lambda: _is_shared_by_all(scene, before), lambda: f"all read:\n{scene.worker.errors[-3000:]}")  # noqa: B023
        scene.pause()
        scene.chance.shuffle(scene.appliers)
        for _ in range(2):
            scene.appliers.pop().kill()
        done = sum(each["done"] for each in scene.load_shares())
        assert scene.load()["phase"] != "live", "this was in the middle of the load"
        scene.more["done when killed"].append(done)
        (scene.worker,) = scene.appliers
        scene.mark()
        scene.recover()
        _until_loaded(scene)
        scene.appliers += [scene.apply(), scene.apply()]
        _until_has(scene.worker, PARTITIONS // 2, at_most=True)


def _until_loaded(scene: LogScene) -> None:
    until(lambda: scene.load()["phase"] == "live", lambda: f"loaded:\n{scene.worker.errors[-3000:]}")


def _is_shared_by_all(scene: LogScene, before: object) -> bool:
    """Whether each process reads a range of a plan that is not the one before."""
    owners = {each["owner"].rpartition("/")[2] for each in scene.load_shares() if each["owner"]}
    return scene.load().get("plan") != before and owners >= {str(each.process.pid) for each in scene.appliers}


def _until_has(worker: Worker, partitions: int, *, at_most: bool = False) -> None:
    """Wait until the last assignment is of this number of partitions, or of no more; not that of a shared load."""

    def has() -> bool:
        assigned = [each for each in worker.lines("partitions assigned") if not each["group"].endswith(".load")]
        has = int(assigned[-1]["partitions"]) if assigned else -1
        return has == partitions or (at_most and 0 <= has < partitions)

    until(has, lambda: f"{partitions} partitions:\n{worker.errors[-2000:]}")


def _stop_inside_a_transaction(scene: LogScene) -> None:
    """Put the process that captures to sleep, at a moment when the log holds a transaction of it that is open."""

    def stopped() -> bool:
        scene.capture.signal(signal.SIGSTOP)
        if scene.is_in_transaction():
            return True
        scene.capture.signal(signal.SIGCONT)
        time.sleep(scene.chance.uniform(0, 0.05))
        return False

    until(stopped, "a transaction that is open")
