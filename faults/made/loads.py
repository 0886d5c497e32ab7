"""Faults during the load."""

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from faults.fault import fault
from faults.made.processes import holder
from faults.said import AWAY, OVERLOADED
from faults.scene import Scene
from testkit.sink_access import Asked, Said
from testkit.workspace import until

_DOCUMENTS = 4000
_RATE = "60"
_GC_DELETES_S = 60
"""Instead of 900, so that the fault can wait for it."""

_HELD_S = 35
"""Longer than half of it: after that, nothing may be sent that was read before."""

_HELD = 200

_REFUSED_S = 10
_LONG_LEASE_S = 60
"""A load that is resumed after its lease was lost sends again."""


@fault("the load interrupted 50 times, by SIGKILL and SIGTERM in turn", times=50)
def load_interrupted(scene: Scene) -> None:
    scene.writer.fill()
    scene.items.insert_many([{"_id": f"more {each}", "key": f"more {each}"} for each in range(_DOCUMENTS)])
    scene.settings(load_range=100, checkpoint_every_s=0)
    scene.writer.start()
    following = scene.run("--pipeline-load-rate", _RATE)
    for number in range(scene.times):
        pair = [following, scene.another("--pipeline-load-rate", _RATE)]
        worker = holder(pair)
        (following,) = (each for each in pair if each is not worker)
        scene.pause()
        worker.signal(signal.SIGTERM if number % 2 else signal.SIGKILL)
        worker.killed = True
        worker.process.join()
    assert not any("load ends" in each for each in _logs(scene)), "the load was over before the interruptions were"
    following.kill()
    scene.mark()
    scene.run().until_live()
    scene.recover()


def _logs(scene: Scene) -> list[str]:
    return [file.read_text() for file in scene.site.folder.glob("worker-*.log")]


@fault("a range of the load held back past gc_deletes (60 s here), while its documents are deleted")
def range_held_back(scene: Scene) -> None:
    names = _held_collections(scene)
    between = scene.sink_through_relay()
    held: dict[str, int] = dict.fromkeys(names, 0)

    def plan(asked: Asked) -> Said | str:
        for name in held:
            if f'"{name}, as read"'.encode() in asked.body:
                held[name] += 1
                return OVERLOADED
        return "pass"

    between.plan = plan
    scene.writer.fill()
    scene.settings()
    scene.run(gc_deletes_s=_GC_DELETES_S).until_logged("load begins")
    scene.writer.start()
    for name in names:
        until(lambda name=name: held[name], f"the load of {name} is held", within_s=120)
        _forget_deletes_at_once(scene, name)
        began = time.monotonic()
        deleted = scene.database[name].delete_many({"_id": {"$gte": _HELD // 2}})
        scene.own_changes += deleted.deleted_count
        time.sleep(max(0.0, began + _HELD_S - time.monotonic()))
        del held[name]
        scene.mark()
        scene.worker.until_logged("load ends", collection=f"{scene.database.name}.{name}")
        scene.recover()
        scene.more["ranges read again"] = len(scene.worker.lines("reading again"))


def _held_collections(scene: Scene) -> list[str]:
    """Make a collection for each round, whose load is to be held back; return their names."""
    names = [f"held{number}" for number in range(scene.times)]
    scene.collections += names
    for name in names:
        documents = [{"_id": each, "key": f"{name} {each}", "text": f"{name}, as read"} for each in range(_HELD)]
        scene.database[name].insert_many(documents)
    return names


@fault("a range of the load in flight while its documents are deleted, and the index is closed and opened")
def range_in_flight_closed(scene: Scene) -> None:
    def close_and_open(name: str) -> None:
        for what in ("_close", "_open"):
            answer = scene.site.ask("POST", f"{_index(scene, name)}/{what}")
            assert answer.get("acknowledged"), answer

    _in_flight(scene, close_and_open)


@fault("a range of the load in flight while its documents are deleted, and OpenSearch is restarted", own_servers=True)
def range_in_flight_restarted(scene: Scene) -> None:
    opensearch = scene.ground.opensearch
    assert opensearch

    def restart(_: str) -> None:
        opensearch.stop()
        opensearch.start()

    _in_flight(scene, restart)


def _in_flight(scene: Scene, forget_deletes: Callable[[str], None]) -> None:
    names = _held_collections(scene)
    held, let_go = dict.fromkeys(names, False), {name: threading.Event() for name in names}
    between = scene.sink_through_relay()

    def plan(asked: Asked) -> Said | str:
        for name in names:
            if f'"{name}, as read"'.encode() in asked.body and not held[name]:
                held[name] = True
                let_go[name].wait()
        return "pass"

    between.plan = plan
    scene.writer.fill()
    scene.settings()
    scene.run().until_logged("load begins")
    scene.writer.start()
    for name in names:
        until(lambda name=name: held[name], f"the load of {name} is in flight", within_s=120)
        before = scene.worker.metric("penstock_changes_total")
        scene.own_changes += scene.database[name].delete_many({"_id": {"$gte": _HELD // 2}}).deleted_count
        until(lambda before=before: scene.worker.metric("penstock_changes_total") > before + _HELD, "it is followed")
        forget_deletes(name)
        let_go[name].set()
        scene.mark()
        scene.worker.until_logged("load ends", collection=f"{scene.database.name}.{name}")
        scene.recover()


@fault("503 to all that the load sends, for ten seconds")
def load_refused(scene: Scene) -> None:
    names = _held_collections(scene)
    between = scene.sink_through_relay()
    refused: dict[str, int] = dict.fromkeys(names, 0)
    asked_anyway: dict[str, int] = dict.fromkeys(names, 0)

    def plan(asked: Asked) -> Said | str:
        for name in refused:
            if f"{_index(scene, name)}-write/_bulk" in asked.path:
                refused[name] += f'"{name}, as read"'.encode() in asked.body
                asked_anyway[name] += 1
                return AWAY
        return "pass"

    between.plan = plan
    scene.writer.fill()
    scene.settings(lease_s=_LONG_LEASE_S)
    scene.run().until_logged("load begins")
    scene.writer.start()
    for name in names:
        until(lambda name=name: refused[name], f"the load of {name} is refused", within_s=120)
        assert scene.worker.metric("penstock_waiting") == 1
        time.sleep(_REFUSED_S)
        assert refused.pop(name) == 1, "what was read is sent once"
        # the load and the stream each try again with growing pauses; without them there are hundreds of requests
        assert asked_anyway[name] < 2 * _REFUSED_S, f"{asked_anyway[name]} requests in {_REFUSED_S} s"
        scene.mark()
        scene.worker.until_logged("load ends", collection=f"{scene.database.name}.{name}")
        scene.recover()
    scene.more["requests"] = asked_anyway


def _index(scene: Scene, name: str) -> str:
    return f"{scene.site.index(f'{scene.database.name}.{name}')}-g1"


def _forget_deletes_at_once(scene: Scene, name: str) -> None:
    """Let this index forget deletes within a second."""
    settings: dict[str, Any] = {"index.gc_deletes": "1s", "index.refresh_interval": "500ms"}
    answer = scene.site.ask("PUT", f"{_index(scene, name)}/_settings", settings)
    assert answer.get("acknowledged"), answer
