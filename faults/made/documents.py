"""Documents that the index refuses."""

from faults.fault import fault
from faults.made.indexes import index
from faults.said import TOO_LARGE
from faults.scene import Scene
from testkit.sink_access import Asked, Said
from testkit.workspace import until

_POISON = 1000
_LIMIT_BYTES = 1_000_000


@fault("a thousand documents refused by the mapping; half corrected in the source, half replayed with a better mapping")
def dead_letters(scene: Scene) -> None:
    scene.begin(exactly_once=True, dead_letter_limit=1_000_000)
    for number in scene.rounds():
        _take_malformed(scene, False)
        keys = [f"poison {number} {each}" for each in range(_POISON)]
        scene.items.insert_many([{"_id": each, "key": each, "level": "high"} for each in keys])
        until(lambda most=(number + 1) * _POISON: scene.worker.metric(
            "penstock_changes_total", outcome="dead_lettered") >= most, "all are dead letters")  # fmt: skip
        half = {"_id": {"$in": keys[::2]}}
        scene.own_changes += _POISON + scene.items.update_many(half, {"$set": {"level": 5}}).modified_count
        scene.recover()
        _take_malformed(scene, True)
        _replay(scene)


def _take_malformed(scene: Scene, take: bool) -> None:
    """Let the mapping accept levels that are not numbers, or refuse documents that have one."""
    mapping = {"properties": {"level": {"type": "integer", "ignore_malformed": take}}}
    answer = scene.site.ask("PUT", f"{index(scene)}/_mapping", mapping)
    assert answer.get("acknowledged"), answer


def _replay(scene: Scene) -> None:
    scene.site.ask("POST", "penstock-dead-letters/_refresh")
    done = scene.site.run("dead-letters", "replay")
    assert done.returncode == 0, done.stderr
    assert not scene.site.letters(scene.database), done.stdout
    scene.more["repaired by"] = "penstock dead-letters replay"


@fault("a document larger than the server takes, made smaller later")
def document_too_large(scene: Scene) -> None:
    between = scene.sink_through_relay()

    def plan(asked: Asked) -> Said | str:
        return TOO_LARGE if "/_bulk" in asked.path and len(asked.body) > _LIMIT_BYTES else "pass"

    between.plan = plan
    scene.begin(exactly_once=True)
    for number in scene.rounds():
        between.asked.clear()
        key = f"large {number}"
        scene.items.insert_one({"_id": key, "key": key, "text": "x" * (2 * _LIMIT_BYTES)})
        until(lambda most=number + 1: scene.worker.metric(
            "penstock_changes_total", outcome="dead_lettered") >= most, "it is a dead letter")  # fmt: skip
        scene.own_changes += 1 + scene.items.update_one({"_id": key}, {"$set": {"text": "small"}}).modified_count
