"""What others do to the index."""

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
    for _ in scene.rounds():
        scene.site.ask("DELETE", index(scene))
        scene.mark()
        scene.recover(scene.load_again)


@fault("the write alias taken away, and put back")
def alias_taken_away(scene: Scene) -> None:
    scene.begin()
    for _ in scene.rounds():
        _alias(scene, "remove")
        scene.mark()
        scene.recover(lambda: (_alias(scene, "add"), scene.run()))


def _alias(scene: Scene, action: str) -> None:
    change: dict[str, object] = {"index": index(scene), "alias": f"{index(scene)}-write"}
    if action == "add":
        change["is_write_index"] = True
    answer = scene.site.ask("POST", "_aliases", {"actions": [{action: change}]})
    assert answer.get("acknowledged"), answer


def index(scene: Scene) -> str:
    """The index that the writer's collection has."""
    return f"{scene.site.index(f'{scene.database.name}.{ITEMS}')}-g1"
