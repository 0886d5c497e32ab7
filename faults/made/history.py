"""Faults of the source's change log, and of reads that do not show yet what is in it."""

from functools import partial

from faults.fault import fault
from faults.scene import Scene
from testkit.workspace import Worker, until

_EDITS = 3000


@fault("the change log rolled over while no worker ran", own_servers=True)
def log_rolled_over(scene: Scene) -> None:
    small = scene.ground.small_log
    assert small
    scene.on_source(small.uri)
    scene.begin()
    for _ in scene.rounds():
        scene.worker.terminate()
        _roll_over(scene)
        scene.mark()
        scene.run()
        scene.recover()
        scene.until_said("position lost", 1)


@fault("majority reads stood still while the stream went on, as after a failover, and `verify --repair --wait 0` ran")
def majority_behind_the_index(scene: Scene) -> None:
    admin = scene.database.client.admin
    scene.items.insert_many([{"_id": f"behind {number}", "text": "old"} for number in range(scene.times)])
    scene.begin()
    for number in scene.rounds():
        admin.command({"penstockSource": 1, "holdReads": True})
        scene.items.update_one({"_id": f"behind {number}"}, {"$set": {"text": "new"}})
        scene.own_changes += 1
        scene.until_indexed(f"behind {number}", text="new")
        verify = scene.site.start("verify", "--repair", "--wait", "0", "--restart")
        until(partial(_waits_or_ended, verify), "verify waits for the source")
        admin.command({"penstockSource": 1, "holdReads": False})
        verify.end()


def _waits_or_ended(verify: Worker) -> bool:
    waits = verify.lines("load resumes") or verify.lines("asking the source again")
    return bool(waits) or verify.process.exitcode is not None


def _roll_over(scene: Scene) -> None:
    """Write in addition to the writer, in a collection that nobody follows."""
    others = scene.database["others"]
    for start in range(0, _EDITS, 500):
        others.insert_many([{"n": start + each} for each in range(500)])
