"""The heal of a lost position is cut short before each of its steps, and taken up again by the next start."""

import threading

import pytest

from penstock.observe.metrics import Metrics
from penstock.opensearch.state.pipeline_state import PipelineState
from penstock.opensearch.state.store import StateStore
from penstock.settings import CollectionSettings, PipelineSettings, Settings, SinkSettings, SourceSettings
from penstock.worker import worker
from testkit.workspace import WITHIN_S, until

STEPS = 11
"""So many times something is saved from noticing the loss to the end of the load, at the least."""

UNREADABLE = {"token": '{"_data": "no token of any server"}', "time": 0}


class Crash(Exception):
    """The process ends here."""


class Heal:
    """Counts what is saved since a loss was noticed; the process ends before the step that is asked for."""

    def __init__(self, monkeypatch) -> None:
        self.left: int | None = None
        self._noticed = self._dead = False
        forget, put = PipelineState.forget, StateStore.put

        def forgetting(*arguments, **more):
            self._noticed = True
            return forget(*arguments, **more)

        def putting(*arguments):
            self._step()
            return put(*arguments)

        monkeypatch.setattr(PipelineState, "forget", forgetting)
        monkeypatch.setattr(StateStore, "put", putting)

    def end_before(self, step: int | None) -> None:
        self.left, self._noticed, self._dead = step, False, False

    def is_over(self) -> bool:
        """Whether nothing will end the process any more."""
        return self.left is None or self.left < 0

    def _step(self) -> None:
        if self._noticed and self.left is not None:
            self._dead = self._dead or self.left == 0
            self.left -= 1
        if self._dead:
            raise Crash


class Process:
    """A worker in a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self.crashed = False
        self._settings, self._stop = settings, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            worker.run(self._settings, stop=self._stop, metrics=Metrics())
        except Crash:
            self.crashed = True

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def end(self) -> None:
        self._stop.set()
        self._thread.join(WITHIN_S)
        assert not self.alive


@pytest.fixture
def heal(monkeypatch):
    return Heal(monkeypatch)


def test_a_heal_that_is_cut_short_anywhere_is_taken_up_again(site, database, heal):
    namespace = f"{database.name}.items"
    settings = Settings(
        source=SourceSettings(uri=site.source_uri),
        sink=SinkSettings(url=site.sink_url),
        pipeline=PipelineSettings(lease_s=1),
        collections=[CollectionSettings(namespace=namespace, index=site.index(namespace), replicas=0)],
    )
    database.items.insert_many([{"_id": number} for number in range(100)])

    def healed() -> bool:
        return site.load_state(namespace).get("phase") == "live" and not site.differences(database, "items")

    def run(step: int | None) -> bool:
        """Run until all is well, or until the end before the step; answers whether it came to that."""
        heal.end_before(step)
        process = Process(settings)
        until(lambda: not process.alive or (heal.is_over() and healed()), "healed, or at an end")
        process.end()
        return process.crashed

    run(None)
    for step in range(STEPS):
        database.items.delete_one({"_id": step})
        database.items.update_one({"_id": 50}, {"$set": {"step": step}})
        change(site, database, {"position": UNREADABLE})
        assert run(step)
        change(site, database, {"released": True})
        run(None)
        change(site, database, {"released": True})


def change(site, database, fields):
    """Change what is saved of the pipeline."""
    assert "error" not in site.ask("POST", f"penstock-state/_update/pipeline%2F{database.name}", {"doc": fields})
