"""Faults of the servers."""

import time

from faults.fault import fault
from faults.scene import Scene


@fault("SIGKILL of OpenSearch, and its start with the same data", own_servers=True)
def opensearch_killed(scene: Scene) -> None:
    opensearch = scene.ground.opensearch
    assert opensearch
    scene.begin()
    for _ in scene.rounds():
        opensearch.kill()
        time.sleep(scene.chance.uniform(0, 3))
        opensearch.start()
