"""Faults of connections, on both sides."""

import time
from typing import Final

from faults.fault import fault
from faults.scene import Scene
from faults.wire import Cutting, HalfClosing, Narrow, Slow
from testkit.tcp_proxy import Proxy

_BACKLOG = 2000
_TIMEOUT_MS = 1500
_BYTES_PER_S = 200_000
"""A thousand of the changes need about three seconds, a hundred a third of one."""

_ASKS_FOR_LESS: Final = (
    "no answer in time; asking for fewer events (a longer socketTimeoutMS in [source] uri may help too)"
)


@fault("all connections to the source cut, and none accepted for a while", quick=True)
def source_cut(scene: Scene) -> None:
    _cut(scene, scene.source_through(Cutting), exactly_once=True)


@fault("all connections to OpenSearch cut, and none accepted for a while", quick=True)
def sink_cut(scene: Scene) -> None:
    _cut(scene, scene.sink_through(Cutting))


def _cut(scene: Scene, proxy: Proxy, *, exactly_once: bool = False) -> None:
    scene.begin(exactly_once=exactly_once)
    cut_in_rounds(scene, proxy)


def cut_in_rounds(scene: Scene, proxy: Proxy) -> None:
    """Cut what goes through the proxy, and accept nothing for a while."""
    for _ in scene.rounds():
        proxy.accepting = False
        proxy.cut()
        scene.pause(2)
        proxy.accepting = True


@fault("everything from and to the source delayed by up to half a second")
def source_delayed(scene: Scene) -> None:
    _delay(scene, scene.source_through(Slow), exactly_once=True)


@fault("everything from and to OpenSearch delayed by up to half a second")
def sink_delayed(scene: Scene) -> None:
    _delay(scene, scene.sink_through(Slow))


def _delay(scene: Scene, proxy: Slow, *, exactly_once: bool = False) -> None:
    scene.begin(exactly_once=exactly_once)
    delay_in_rounds(scene, proxy)


def delay_in_rounds(scene: Scene, proxy: Slow) -> None:
    """Delay what goes through the proxy for a while."""
    for _ in scene.rounds():
        proxy.most_s = 0.5
        time.sleep(scene.chance.uniform(2, 4))
        proxy.most_s = 0


@fault("a source that needs longer for a thousand changes than the worker waits for an answer")
def source_slower_than_timeout(scene: Scene) -> None:
    proxy = scene.source_through(Narrow)
    scene.source_uri += f"&socketTimeoutMS={_TIMEOUT_MS}"
    scene.begin()
    for number in scene.rounds():
        scene.worker.terminate()
        keys = [f"backlog {number} {each}" for each in range(_BACKLOG)]
        documents = [{"_id": each, "key": each, "text": "x" * 300} for each in keys]
        scene.own_changes += len(scene.database[scene.items.name].insert_many(documents).inserted_ids)
        proxy.bytes_per_s = _BYTES_PER_S
        scene.mark()
        scene.run()
        scene.recover()
        scene.until_said(_ASKS_FOR_LESS, 1)
        proxy.bytes_per_s = 0


@fault("connections to the source closed in one direction only")
def source_half_closed(scene: Scene) -> None:
    _half_close(scene, scene.source_through(HalfClosing), exactly_once=True)


@fault("connections to OpenSearch closed in one direction only")
def sink_half_closed(scene: Scene) -> None:
    _half_close(scene, scene.sink_through(HalfClosing))


def _half_close(scene: Scene, proxy: HalfClosing, *, exactly_once: bool = False) -> None:
    scene.begin(exactly_once=exactly_once)
    for _ in scene.rounds():
        proxy.close_half(answers=True)
        scene.pause()
        proxy.close_half(answers=False)
