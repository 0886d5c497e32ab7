"""Live edits, timed from the source's acknowledgement until the index has them."""

import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bson import Int64
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from penstock.documents.document_id import document_id
from penstock.errors import SinkUnavailable
from penstock_tools.demo.index import DemoIndex

Cities = Collection[dict[str, Any]]

_PATIENCE_S = 30.0
_NEW = -1
_CENSUS_EVERY_S = 30.0
_SMALL = 25_000


class Edit(NamedTuple):
    """An edit that arrived: a description, and the milliseconds it took."""

    words: str
    milliseconds: float


@dataclass
class Latencies:
    """The milliseconds of many edits."""

    values: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        cuts = statistics.quantiles(self.values, n=100, method="inclusive")
        return f"p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms, longest {max(self.values):.1f} ms"


def one_of_each(cities: Cities, index: DemoIndex) -> Iterator[Edit]:
    """Insert, update, replace and delete a city that does not exist; yield each edit when the index has it."""
    index.documents_in_all()  # refreshes, or the first read in real time would wait until the whole load is searchable
    new = {"_id": _NEW, "name": "Atlantis", "names": ["Ἀτλαντίς"], "country": {"code": "GR", "name": "Greece"}}
    cities.insert_one({**new, "population": Int64(0)})
    yield _arrived("insert   Atlantis", index, lambda city: city is not None)
    cities.update_one({"_id": _NEW}, {"$set": {"population": Int64(12_000)}})
    yield _arrived("update   its population", index, lambda city: city is not None and city["population"] == 12_000)
    cities.replace_one({"_id": _NEW}, {"name": "Atlantis", "sunk": True})
    yield _arrived("replace  by a shorter document", index, lambda city: city is not None and "population" not in city)
    cities.delete_one({"_id": _NEW})
    yield _arrived("delete   Atlantis", index, lambda city: city is None)


def gentle(cities: Cities, index: DemoIndex, *, edits: int, a_second: float) -> Latencies:
    """Update random cities at a gentle rate and wait for each; needs at least two edits."""
    keys = [each["_id"] for each in cities.find({}, {"_id": 1}).limit(1000)]
    latencies = Latencies()
    begun = time.monotonic()
    for number in range(edits):
        time.sleep(max(0.0, begun + number / a_second - time.monotonic()))
        key = random.choice(keys)
        cities.update_one({"_id": key}, {"$set": {"edit": number}})
        latencies.values.append(_until(index, document_id(key), lambda city: city and city.get("edit") == number))  # noqa: B023
    cities.update_many({}, {"$unset": {"edit": ""}})
    return latencies


@contextmanager
def editing(cities: Cities, *, a_second: float) -> Iterator[None]:
    """Go on updating random cities for as long as the block runs, and all small ones at once now and then.

    So there is something to see: the lag rises with each census, and falls again.
    """
    real = {"_id": {"$gt": 0}}  # the others are the demo's own, one of which waits as a dead letter
    keys = [each["_id"] for each in cities.find(real, {"_id": 1}).limit(1000)]
    stop = threading.Event()

    def edit() -> None:
        with suppress(PyMongoError):  # the source has ended, and so does the demo
            census_at = time.monotonic() + _CENSUS_EVERY_S
            while not stop.wait(random.expovariate(a_second)):
                cities.update_one({"_id": random.choice(keys)}, {"$inc": {"population": Int64(1)}})
                if time.monotonic() > census_at:
                    cities.update_many({"population": {"$lt": _SMALL}}, {"$inc": {"population": Int64(1)}})
                    census_at = time.monotonic() + _CENSUS_EVERY_S

    thread = threading.Thread(target=edit, name="edits", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _arrived(words: str, index: DemoIndex, is_there: Callable[[Mapping[str, Any] | None], Any]) -> Edit:
    return Edit(words, _until(index, document_id(_NEW), is_there))


def _until(index: DemoIndex, text_id: str, is_there: Callable[[Mapping[str, Any] | None], Any]) -> float:
    """Ask the index again and again until it has the edit, and return the milliseconds. Raises SinkUnavailable."""
    asked_at = time.perf_counter()
    while not is_there(index.documents([text_id]).get(text_id)):
        if time.perf_counter() - asked_at > _PATIENCE_S:
            raise SinkUnavailable(f"An edit of {text_id} did not arrive in {index.alias} within {_PATIENCE_S:.0f} s.")
    return (time.perf_counter() - asked_at) * 1000
