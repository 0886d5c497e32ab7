"""`penstock run` is killed at random moments while the source is edited; afterwards the index equals the source."""

import random
import threading
import time
import uuid
from datetime import datetime, timedelta

import pytest
from bson import Binary, Decimal128, Int64, ObjectId
from pymongo import WriteConcern
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from testkit.workspace import Site, meanwhile

KILLS_IN_LOAD, KILLS_IN_STREAM = 10, 9
DOCUMENTS = 600
COLLECTIONS = ("orders", "items")


def ids(chance: random.Random) -> list:
    """Ids of many types; few enough that deleted ones come back again and again."""
    numbers = range(DOCUMENTS // 10)
    return [
        *numbers,
        *(Int64(10**12 + each) for each in numbers),
        *(each + 0.5 for each in numbers),
        *(Decimal128(f"{each}.25") for each in numbers),
        *(f"text {each}" for each in numbers),
        *(ObjectId(chance.randbytes(12)) for _ in numbers),
        *({"tenant": each % 3, "number": each} for each in numbers),
        *(datetime(2020, 1, 1) + timedelta(days=each) for each in numbers),
        *(Binary(chance.randbytes(9)) for _ in numbers),
        *(Binary.from_uuid(uuid.UUID(bytes=chance.randbytes(16))) for _ in numbers),
    ]


class Writer:
    """Edits both collections, a little faster than a person could follow."""

    def __init__(self, database: Database, chance: random.Random) -> None:
        self._database = database.with_options(write_concern=WriteConcern(1))  # nobody waits for a majority
        self._chance = chance
        self._ids = ids(chance)
        self.edits = dict.fromkeys(("insert", "update", "replace", "delete"), 0)

    def fill(self) -> None:
        for coll in COLLECTIONS:
            self._database[coll].insert_many([self._document(each) for each in self._ids])

    def _document(self, key) -> dict:
        return {"_id": key, "text": f"{self._chance.random()}", "number": self._chance.randrange(1000)}

    def write(self, stop: threading.Event) -> None:
        while not stop.wait(self._chance.expovariate(200)):
            self._edit(self._database[self._chance.choice(COLLECTIONS)], self._chance.choice(self._ids))

    def _edit(self, collection, key) -> None:
        kind = self._chance.choice(list(self.edits))
        match kind:
            case "insert":
                try:
                    collection.insert_one(self._document(key))
                    done = True
                except DuplicateKeyError:
                    done = False
            case "update":
                change = {"$inc": {"edits": 1}, "$set": {"text": f"{self._chance.random()}"}}
                done = collection.update_one({"_id": key}, change).modified_count
            case "replace":
                done = collection.replace_one({"_id": key}, self._document(key)).modified_count
            case _:
                done = collection.delete_one({"_id": key}).deleted_count
        self.edits[kind] += bool(done)


@pytest.fixture
def seed():
    """Shown when the test fails; put it here to see the same edits and moments again."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    return seed


def test_a_worker_killed_at_random_moments_loses_nothing(site: Site, database: Database, seed):
    chance = random.Random(seed)
    site.settings(*(f"{database.name}.{coll}" for coll in COLLECTIONS), pipeline={"load_range": 100})
    writer = Writer(database, random.Random(seed + 1))
    writer.fill()
    with meanwhile(writer.write):
        logs = killed(site, chance, KILLS_IN_LOAD, "--pipeline-load-rate", "150")
        assert logs.count("load ends") < len(COLLECTIONS), "the load was over before the kills were"
        loader = site.start("run")
        loader.until_live()
        loader.kill()
        killed(site, chance, KILLS_IN_STREAM)
    worker = site.start("run")
    worker.until_live()
    site.until_equal(database, *COLLECTIONS)
    assert site.letters(database) == []
    assert min(writer.edits.values()) > 50
    worker.terminate()
    assert site.differences(database, *COLLECTIONS) == []


def killed(site: Site, chance: random.Random, times: int, *flags: str) -> str:
    """Kill one worker after the other within its first second with the lease; answers what they logged.

    The next one is started meanwhile, so that it has done with its imports when the lease becomes free.
    """
    logs = []
    following = site.start("run", *flags)
    for _ in range(times):
        worker = following
        worker.until_logged("took the lease")
        following = site.start("run", *flags)
        time.sleep(chance.uniform(0, 1))
        worker.kill()
        logs.append(worker.errors)
    following.kill()
    return "".join(logs)
