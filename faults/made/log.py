"""Faults between `penstock capture` and `penstock apply`."""

import signal
import time
from typing import Final

from faults.fault import fault_of_log
from faults.log_scene import PARTITIONS, LogScene
from faults.scene import ITEMS
from testkit.workspace import Worker, until

_OTHERS = 3000
"""More changes than the small source's log keeps."""
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
    for _ in scene.rounds():
        proxy.accepting = False
        proxy.cut()
        scene.pause(2)
        proxy.accepting = True


@fault_of_log("everything from and to the broker delayed by up to half a second")
def broker_delayed(scene: LogScene) -> None:
    proxy = scene.by_proxy()
    scene.begin_by_log()
    for _ in scene.rounds():
        proxy.most_s = 0.5
        time.sleep(scene.chance.uniform(2, 4))
        proxy.most_s = 0


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


def _until_has(worker: Worker, partitions: int) -> None:
    """Wait until the last assignment is of this number of partitions."""

    def has() -> bool:
        assigned = worker.lines("partitions assigned")
        return bool(assigned) and int(assigned[-1]["partitions"]) == partitions

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
