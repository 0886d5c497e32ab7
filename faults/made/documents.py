"""Documents that the index refuses."""

from sink_sides import Asked, Said

from faults.fault import fault
from faults.said import TOO_LARGE
from faults.scene import Scene
from workers import until

_POISON = 1000
_LIMIT_BYTES = 1_000_000


@fault("a thousand documents refused by the mapping, mended in the source later")
def dead_letters(scene: Scene) -> None:
    scene.items.insert_one({"_id": "shape", "key": "shape", "o": {"a": 1}})
    scene.begin(exactly_once=True, dead_letter_limit=1_000_000)
    for number in scene.rounds():
        keys = [f"poison {number} {each}" for each in range(_POISON)]
        scene.items.insert_many([{"_id": each, "key": each, "o": 5} for each in keys])
        until(lambda most=(number + 1) * _POISON: scene.worker.metric(
            "penstock_changes_total", outcome="dead_lettered") >= most, "all are dead letters")  # fmt: skip
        scene.beside += (
            _POISON + scene.items.update_many({"_id": {"$in": keys}}, {"$set": {"o": {"a": 2}}}).modified_count
        )


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
        scene.beside += 1 + scene.items.update_one({"_id": key}, {"$set": {"text": "small"}}).modified_count
