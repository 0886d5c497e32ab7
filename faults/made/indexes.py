"""Faults that other tools cause in the index."""

from faults.fault import fault
from faults.scene import ITEMS, Scene


@fault("the index read-only")
def index_read_only(scene: Scene) -> None:
    scene.begin()
    for number in scene.rounds():
        block = ("index.blocks.read_only_allow_delete", "index.blocks.write")[number % 2]
        _settings(scene, {block: True})
        scene.pause(3)
        _settings(scene, {block: None})


def _settings(scene: Scene, settings: dict[str, bool | None]) -> None:
    answer = scene.site.ask("PUT", f"{index(scene)}/_settings", settings)
    assert answer.get("acknowledged"), answer


@fault("the index deleted while it is written")
def index_deleted(scene: Scene) -> None:
    scene.begin()
    for number in scene.rounds():
        scene.site.ask("DELETE", index(scene))
        scene.mark()
        scene.recover()
        scene.until_said("position lost", number + 1)


@fault("the write alias taken away")
def alias_taken_away(scene: Scene) -> None:
    scene.begin()
    for _ in scene.rounds():
        _aliases(scene, _remove(index(scene), write_alias(scene)))
        scene.mark()


@fault("the write alias moved to another index, which takes the writes")
def write_alias_moved(scene: Scene) -> None:
    other = _another(scene)
    scene.begin()
    for number in scene.rounds():
        _move(scene, write_alias(scene), index(scene), other)
        scene.mark()
        scene.recover()
        scene.until_said("position lost", number + 1)


@fault("the read alias moved to another index, and back once the worker has said so")
def read_alias_moved(scene: Scene) -> None:
    other = _another(scene)
    scene.begin(exactly_once=True)
    for number in scene.rounds():
        _move(scene, read_alias(scene), index(scene), other)
        scene.until_said("the read alias points to another index", number + 1)
        _move(scene, read_alias(scene), other, index(scene))
        scene.mark()
        scene.until_said("the read alias points to the index again", number + 1)
        scene.recover()


def _another(scene: Scene) -> str:
    """An index that is not penstock's."""
    name = f"{read_alias(scene)}-another"
    answer = scene.site.ask("PUT", name, {"settings": {"number_of_replicas": 0}})
    assert answer.get("acknowledged"), answer
    return name


def _move(scene: Scene, alias: str, origin: str, target: str) -> None:
    _aliases(scene, _remove(origin, alias), {"add": {"index": target, "alias": alias}})


def _remove(name: str, alias: str) -> dict[str, object]:
    return {"remove": {"index": name, "alias": alias}}


def _aliases(scene: Scene, *actions: dict[str, object]) -> None:
    answer = scene.site.ask("POST", "_aliases", {"actions": actions})
    assert answer.get("acknowledged"), answer


def read_alias(scene: Scene) -> str:
    """Return the alias to search."""
    return scene.site.index(f"{scene.database.name}.{ITEMS}")


def write_alias(scene: Scene) -> str:
    """Return the alias that penstock writes to."""
    return f"{index(scene)}-write"


def index(scene: Scene) -> str:
    """Return the index of the writer's collection."""
    return f"{read_alias(scene)}-g1"


@fault("a collection that appears while the cluster has no room for its index", times=1)
def cluster_full(scene: Scene) -> None:
    """It is declared before it exists; both are waited for, while the other collection is served."""
    later = "later"
    scene.collections.append(later)
    scene.begin()
    scene.until_said("collection is not served", 1)
    for _ in scene.rounds():
        _limit_shards(scene, scene.site.ask("GET", "_cluster/health")["active_shards"])
        try:
            scene.database[later].insert_many([{"_id": number} for number in range(400)])
            scene.until_said("collection is not served", 2)
            scene.pause(3)
        finally:
            _limit_shards(scene, None)
        scene.mark()
        scene.until_said("collection can be served now", 1)
        scene.recover()


def _limit_shards(scene: Scene, most: int | None) -> None:
    settings = {"persistent": {"cluster.max_shards_per_node": most}}
    answer = scene.site.ask("PUT", "_cluster/settings", settings)
    assert answer.get("acknowledged"), answer
