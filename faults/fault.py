"""The faults by name, and how to make one."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from faults.ground import Ground
from faults.log_scene import LogScene
from faults.result import Result
from faults.scene import Scene

Making = Callable[[Scene], None]
ByLog = Callable[[LogScene], None]


@dataclass(frozen=True)
class Fault:
    """How to make a fault. `times`: a fixed number; None: as many as asked for. `quick`: part of `make test`."""

    name: str
    title: str
    make: Making
    times: int | None
    quick: bool
    own_servers: bool
    by_log: bool = False


FAULTS: dict[str, Fault] = {}


def fault(
    title: str, *, times: int | None = None, quick: bool = False, own_servers: bool = False
) -> Callable[[Making], Making]:
    """Register a fault under the name of its function."""

    def registered(make: Making) -> Making:
        name = make.__name__
        FAULTS[name] = Fault(name, title, make, times, quick, own_servers)
        return make

    return registered


def fault_of_log(title: str) -> Callable[[ByLog], ByLog]:
    """Register a fault between `penstock capture` and `penstock apply`, which needs a Kafka of our own."""

    def registered(make: ByLog) -> ByLog:
        def on_log(scene: Scene) -> None:
            assert isinstance(scene, LogScene)
            make(scene)

        FAULTS[make.__name__] = Fault(make.__name__, title, on_log, None, quick=False, own_servers=True, by_log=True)
        return make

    return registered


def made(one: Fault, ground: Ground, folder: Path, *, times: int, seed: int | None = None) -> Result:
    """Make a fault `times` times, and return what was found afterwards."""
    seed = random.randrange(2**32) if seed is None else seed
    print(f"{one.name}: seed {seed}", flush=True)
    kind = LogScene if one.by_log else Scene
    with kind(ground, folder / one.name, seed=seed, times=one.times or times) as scene:
        one.make(scene)
        return scene.result(one.name, one.title)
