"""A worker that ends anywhere around a rename, while people write: the next one goes on without a loss."""

import itertools
import random
import threading
import time

import pytest

from penstock.observe.metrics import Metrics
from penstock.opensearch.state.load_state import LoadState
from penstock.opensearch.state.pipeline_state import PipelineState
from penstock.settings import CollectionSettings, PipelineSettings, Settings, SinkSettings, SourceSettings
from penstock.worker import worker
from penstock.worker.collections.renames import Renames
from testkit.workspace import meanwhile, until

KILLS = 8
NAMES = ("items", "moved", "moved_on")


class Crash(Exception):
    """The process ends here."""


def crash_before(patch, kind, method, *, times=0):
    """Let the process end where a method is called, after it was so many times."""
    original, calls = getattr(kind, method), itertools.count()

    def crashing(self, *arguments, **named):
        if next(calls) >= times:
            raise Crash
        return original(self, *arguments, **named)

    patch.setattr(kind, method, crashing)


def crash_after(patch, kind, method):
    original = getattr(kind, method)

    def crashing(self, *arguments, **named):
        original(self, *arguments, **named)
        raise Crash

    patch.setattr(kind, method, crashing)


@pytest.fixture
def settings(site, database):
    namespace = f"{database.name}.items"
    site.settings(namespace, on_rename="follow")
    return Settings(
        source=SourceSettings(uri=site.source_uri),
        sink=SinkSettings(url=site.sink_url),
        pipeline=PipelineSettings(lease_s=1),
        collections=[
            CollectionSettings(namespace=namespace, index=site.index(namespace), replicas=0, on_rename="follow")
        ],
    )


MOMENTS = {
    "before the rename is recorded": lambda patch: crash_before(patch, Renames, "_record"),
    "when it is recorded": lambda patch: crash_after(patch, Renames, "_record"),
    "before the next term has a lease": lambda patch: crash_before(patch, PipelineState, "acquire", times=1),
    "before a position is saved": lambda patch: crash_before(patch, PipelineState, "save"),
    "when a position is saved": lambda patch: crash_after(patch, PipelineState, "save"),
    "when the next term looks at its load": lambda patch: crash_before(patch, LoadState, "open", times=1),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_process_that_ends_at_a_moment_of_the_rename_has_lost_nothing(site, database, settings, monkeypatch, moment):
    database["items"].insert_many([{"_id": number, "text": "first"} for number in range(50)])
    before = site.start("run")
    before.until_live()
    before.terminate()
    database["items"].update_many({"_id": {"$lt": 10}}, {"$set": {"text": "before"}})
    database["items"].rename("moved")
    database.moved.update_many({"_id": {"$gt": 40}}, {"$set": {"text": "after"}})
    database.moved.delete_one({"_id": 20})
    with monkeypatch.context() as patch:
        MOMENTS[moment](patch)
        with pytest.raises(Crash):
            worker.run(settings, stop=threading.Event(), metrics=Metrics())
    database.moved.insert_one({"_id": 100, "text": "later"})
    after = site.start("run")
    site.until_equal(database, "moved", served_as="items")
    assert not after.lines("load begins")
    after.terminate()


class Renamer:
    """Edits a collection and renames it now and then."""

    def __init__(self, database, chance) -> None:
        self._database, self._chance = database, chance
        self.name, self.renames, self.edits = "items", 0, 0

    def write(self, stop: threading.Event) -> None:
        while not stop.wait(self._chance.expovariate(200)):
            if self._chance.random() < 0.004:
                self._rename()
            self._edit(self._database[self.name], self._chance.randrange(200))

    def _rename(self) -> None:
        """The name that is free gets, now and then, another collection for a while."""
        to = self._chance.choice([each for each in NAMES if each != self.name])
        if self._chance.random() < 0.5:
            self._database[to].drop()
            self._database[to].insert_many([{"_id": 1000 + number, "text": "of another one"} for number in range(10)])
        self._database[self.name].rename(to, dropTarget=True)
        self.name, self.renames = to, self.renames + 1

    def _edit(self, collection, key) -> None:
        self.edits += 1
        if self._chance.random() < 0.3:
            collection.delete_one({"_id": key})
        else:
            collection.replace_one({"_id": key}, {"_id": key, "text": f"{self._chance.random()}"}, upsert=True)


@pytest.mark.parametrize("cursor_per", ["database", "collection"])
def test_a_worker_killed_at_random_moments_among_renames_loses_nothing(site, database, cursor_per):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    database["items"].insert_many([{"_id": number, "text": "first"} for number in range(200)])
    site.settings(f"{database.name}.items", on_rename="follow", source={"cursor_per": cursor_per})
    following = site.start("run")
    following.until_live()
    renamer = Renamer(database, random.Random(seed + 1))
    with meanwhile(renamer.write):
        for _ in range(KILLS):
            running, following = following, site.start("run")
            time.sleep(chance.uniform(0, 2))
            running.kill()
            following.until_logged("took the lease")
        until(lambda: renamer.renames > 3 and renamer.edits > 500, lambda: f"{renamer.renames} renames")
    site.until_equal(database, renamer.name, served_as="items")
    assert site.letters(database) == []
