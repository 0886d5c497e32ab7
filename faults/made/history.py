"""Faults of the source's change log."""

from faults.fault import fault
from faults.scene import Scene

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


def _roll_over(scene: Scene) -> None:
    """Write in addition to the writer, in a collection that nobody follows."""
    others = scene.database["others"]
    for start in range(0, _EDITS, 500):
        others.insert_many([{"n": start + each} for each in range(500)])
