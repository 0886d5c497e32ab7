"""`penstock run` is killed at random moments while its reaction's receiver has moods: no event is lost, none overtakes.

Each edit of a document is known to the test: an event for each must have been accepted, under one id, in order.
"""

import random
import threading
import time
from collections import Counter, defaultdict

import pytest

from testkit.receiver import SECRET, Said, receiver
from testkit.workspace import Site, meanwhile, until

KILLS = 8
DOCUMENTS = 40


class Writer:
    """Edits documents, some of them twice in one transaction; `edits` counts the changes of each."""

    def __init__(self, database, client, chance: random.Random) -> None:
        self._database, self._client, self._chance = database, client, chance
        self.edits: Counter[int] = Counter()

    def write(self, stop: threading.Event) -> None:
        while not stop.wait(self._chance.expovariate(100)):
            document = self._chance.randrange(DOCUMENTS)
            if self._chance.random() < 0.2:
                with self._client.start_session() as session, session.start_transaction():
                    self._edit(document, session)
                    self._edit(document, session)
            else:
                self._edit(document)

    def _edit(self, document: int, session=None) -> None:
        orders = self._database.orders
        if self._chance.random() < 0.1 and self.edits[document]:
            self.edits[document] += orders.delete_one({"_id": document}, session=session).deleted_count
        else:
            orders.update_one({"_id": document}, {"$inc": {"edits": 1}}, upsert=True, session=session)
            self.edits[document] += 1


class Moods:
    """Accepts, asks to wait, or accepts without saying so in time; notes what overtook."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._lock = threading.Lock()
        self.known: dict[str, list[str]] = defaultdict(list)
        self.overtaken: list[str] = []

    def __call__(self, posted) -> Said:
        event, mood = posted.event, self._chance.random()
        with self._lock:
            known = self.known[event["subject"]]
            if mood < 0.1:
                return Said(self._chance.choice([500, 503, 429]))
            if event["id"] not in known:
                if known and place(known[-1]) > place(event["id"]):
                    self.overtaken.append(event["id"])
                known.append(event["id"])
        return Said(500) if mood < 0.15 else Said()  # taken, and yet no answer that says so


def place(event_id: str) -> tuple[int, int]:
    """The version in an event's id, and the place within a transaction."""
    version, *within = event_id.split("/")[2:]
    return int(version), int(within[0]) if within else 0


@pytest.fixture
def seed():
    """Shown when the test fails; put it here to see the same edits, moods and moments again."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    return seed


def test_a_worker_killed_at_random_moments_loses_no_event(site: Site, database, source_client, seed):
    chance = random.Random(seed)
    database.create_collection("orders")
    namespace, name = f"{database.name}.orders", f"killed-{database.name}"
    writer, moods = Writer(database, source_client, random.Random(seed + 1)), Moods(random.Random(seed + 2))
    with receiver() as hook:
        hook.plan = moods
        its = {"name": name, "collections": [namespace], "target": "webhook", "url": hook.url, "secret": SECRET}
        site.settings(namespace, reactions=[its])
        worker = site.start("run")
        until(lambda: site.reaction_state(name)["position"], worker.errors)
        with meanwhile(writer.write):
            for _ in range(KILLS):
                following = site.start("run")
                time.sleep(chance.uniform(0.2, 1.2))
                worker.kill()
                worker = following
                worker.until_logged("took the lease", pipeline=f"reaction/{name}")

        def missing():
            accepted = Counter(subject for subject, ids in moods.known.items() for _ in ids)
            wanted = {f"{namespace}/n:{document}": count for document, count in writer.edits.items()}
            return {each: (count, accepted[each]) for each, count in wanted.items() if accepted[each] != count}

        until(lambda: not missing(), lambda: f"{missing()}\n{worker.errors}")
        worker.terminate()
    assert missing() == {}
    assert moods.overtaken == []
    assert len(hook.posted) > sum(writer.edits.values()), "nothing was ever sent twice"
    assert sum(any(place(each)[1] for each in ids) for ids in moods.known.values()) > 5
