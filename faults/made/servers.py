"""Faults of the servers."""

import time

import pymongo

from faults.fault import fault
from faults.scene import ITEMS, Scene
from penstock.errors import SystemicFault


@fault("SIGKILL of OpenSearch, and its start with the same data", own_servers=True)
def opensearch_killed(scene: Scene) -> None:
    opensearch = scene.ground.opensearch
    assert opensearch
    scene.begin()
    for _ in scene.rounds():
        opensearch.kill()
        time.sleep(scene.chance.uniform(0, 3))
        opensearch.start()


@fault(
    "another source under the same replica set's name at the address, for a worker and for a repair", own_servers=True
)
def another_source(scene: Scene) -> None:
    other = scene.ground.small_log
    assert other
    scene.begin()
    with pymongo.MongoClient[dict[str, object]](other.uri) as client:
        client[scene.database.name][ITEMS].insert_many([{"_id": number, "key": "of another"} for number in range(100)])
        for _ in scene.rounds():
            scene.worker.terminate()
            refused = scene.another("--source-uri", other.uri)
            assert refused.end() == SystemicFault.exit_code, refused.errors
            refused.killed = True
            done = scene.site.run("verify", "--repair", "--source-uri", other.uri)
            assert done.returncode == SystemicFault.exit_code, done.stderr
            scene.mark()
            scene.run()
        client.drop_database(scene.database.name)
