"""Responses that OpenSearch, or something in front of it, may give."""

import json
import random
from collections.abc import Callable, Iterator

import urllib3

from faults.fault import fault
from faults.said import AWAY, OVERLOADED, TOO_LARGE, is_bulk
from faults.scene import Scene
from faults.wire import CuttingAnswers
from testkit.sink_access import Asked, Relay, Said

_REJECTED = {"type": "rejected_execution_exception", "reason": "rejected execution of coordinating operation"}
_UNAVAILABLE = {"type": "unavailable_shards_exception", "reason": "primary shard is not active"}

Plan = Callable[[Asked], Said | str]


@fault("storms of 429", quick=True)
def too_many_requests(scene: Scene) -> None:
    _answered(scene, lambda _: OVERLOADED)


@fault("503 to every request", quick=True)
def service_unavailable(scene: Scene) -> None:
    _answered(scene, lambda _: AWAY)


@fault("bulk requests that arrive while their answers are lost", quick=True)
def answers_lost(scene: Scene) -> None:
    _answered(scene, lambda asked: "cut" if is_bulk(asked) and random.random() < 0.5 else "pass")


@fault("413 to bulk requests of more than 2 kB")
def request_too_large(scene: Scene) -> None:
    _answered(scene, lambda asked: TOO_LARGE if is_bulk(asked) and len(asked.body) > 2000 else "pass")


@fault("items of bulk requests refused for now, others written", quick=True)
def items_refused(scene: Scene) -> None:
    target, http = scene.sink_url, urllib3.PoolManager(retries=False)

    def some(asked: Asked) -> Said | str:
        return _some_refused(asked, target, http) if is_bulk(asked) else "pass"

    _answered(scene, some)
    http.clear()


@fault("the answer to a bulk request cut in its middle", quick=True)
def answer_cut(scene: Scene) -> None:
    proxy = scene.sink_through(CuttingAnswers)
    scene.begin(exactly_once=True)
    for _ in scene.rounds():
        proxy.cuts = scene.chance.randint(1, 4)


def _answered(scene: Scene, plan: Plan) -> None:
    """Respond by the plan for one to three seconds."""
    between = scene.sink_through_relay()
    scene.begin(exactly_once=True)
    for _ in scene.rounds():
        between.asked.clear()
        _for_a_while(scene, between, plan)


def _for_a_while(scene: Scene, between: Relay, plan: Plan) -> None:
    asked: list[Asked] = []

    def noted(one: Asked) -> Said | str:
        asked.append(one)
        return plan(one)

    between.plan = noted
    scene.pause(2)
    while not asked:
        scene.pause(0.1)
    between.plan = lambda _: "pass"


def _some_refused(asked: Asked, target: str, http: urllib3.PoolManager) -> Said:
    """Pass on some of the items, and respond that the others were refused."""
    items = list(_items(asked.body))
    refused = [random.random() < 0.3 and b'"update"' not in item for item in items]
    passed = b"".join(item for item, no in zip(items, refused, strict=True) if not no)
    answered = iter([])
    if passed:
        headers = {"content-type": "application/x-ndjson"}
        answer = http.request("POST", target + asked.path, body=passed, headers=headers)
        if answer.status != 200:
            return Said(answer.status, answer.data)
        answered = iter(answer.json()["items"])
    said = [_refusal() if no else next(answered) for no in refused]
    failed = any("error" in next(iter(each.values())) for each in said)
    return Said(200, json.dumps({"errors": failed, "items": said}, separators=(",", ":")).encode())


def _items(body: bytes) -> Iterator[bytes]:
    """Yield each action of a bulk request, with the line of its document if it has one."""
    lines = iter(body.splitlines(keepends=True))
    for line in lines:
        yield line if line.startswith(b'{"delete"') else line + next(lines)


def _refusal() -> dict[str, dict[str, object]]:
    status, error = random.choice([(429, _REJECTED), (503, _UNAVAILABLE)])
    return {"index": {"status": status, "error": error}}
