"""Cities under a writer, a worker and a console as processes: what the console shows at work.

A city with twins is refused by the index until `allow_twins`: its dead letter can be replayed then.
"""

import json
import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pymongo
import urllib3
from pymongo.collection import Collection

from penstock.runtime.intervals import INTERVALS
from penstock_tools.demo.cities import cities
from penstock_tools.servers.ports import free_ports
from testkit.workspace import Site, Worker, until

OPERATOR, VIEWER = "operators-token-of-tests", "viewers-token-of-tests"
TOKYO: Final = 1850147
NAMESPACE: Final = "world.cities"

_LARGE = 150_000
_MAPPING = {"mappings": {"properties": {"twins": {"type": "object", "dynamic": "strict"}}}}


class CitySite:
    """The cities above 150,000 people, an index of them, and the console's address."""

    worker: Worker
    console: Worker

    def __init__(self, folder: Path, source_uri: str, sink_url: str, *, further: Sequence[str] = ()) -> None:
        """`further` are names of collections that are declared too, for somebody else to fill."""
        self.site = Site(folder, source_uri, sink_url, f"{folder.name}-".lower(), INTERVALS)
        self._further = further
        self.client: pymongo.MongoClient = pymongo.MongoClient(source_uri, w="majority")
        (port,) = free_ports(1)  # the console has it again after a restart
        self.address = f"http://127.0.0.1:{port}"
        self.index = self.site.index(NAMESPACE)
        self._stop = threading.Event()
        self._writer: threading.Thread | None = None
        self._fill()
        self.write_settings()

    @property
    def cities(self) -> Collection:
        """The collection."""
        db, _, coll = NAMESPACE.partition(".")
        return self.client[db][coll]

    def write_settings(self, **collection: Any) -> None:
        """Write the settings, with the console's; further settings are the collection's."""
        folder = self.site.folder
        (folder / "cities.json").write_text(json.dumps(_MAPPING))
        for name, token in (("token", OPERATOR), ("viewer-token", VIEWER)):
            (folder / name).write_text(token)
        self.site.settings(
            NAMESPACE,
            *self._further,
            source={"retention_s": 10_800},
            pipeline={"name": folder.name.lower(), "lease_s": 6},
            mapping_file="cities.json",
            **collection,
        )
        with (folder / "penstock.toml").open("a") as file:
            file.write(
                "[console]\nactions = true\nshow_values = true\n"
                'token_file = "token"\nviewer_token_file = "viewer-token"\n'
            )

    def start_worker(self) -> Worker:
        """Start a worker, and wait until everything is loaded."""
        self.worker = self.site.start("run")
        self.worker.until_live()
        return self.worker

    def start_console(self) -> Worker:
        """Start the console, and wait until it answers."""
        console = self.console = self.site.start("console", "--console-listen", self.address.partition("//")[2])
        with urllib3.PoolManager(retries=False) as http:
            until(lambda: _answers(http, f"{self.address}/healthz"), lambda: console.errors)
        return console

    def write(self, *, every_s: float = 0.1) -> None:
        """Edit a city from time to time, until it is closed."""
        keys = [each["_id"] for each in self.cities.find({"_id": {"$ne": TOKYO}}, {"_id": 1}).limit(500)]

        def keep_writing() -> None:
            while not self._stop.wait(every_s):
                self.cities.update_one({"_id": random.choice(keys)}, {"$inc": {"edits": 1}})

        self._writer = threading.Thread(target=keep_writing, daemon=True)
        self._writer.start()

    def refuse(self, name: str) -> int:
        """Add a city that the index refuses; returns its `_id`."""
        key = -abs(hash(name)) % 1_000_000 - 1_000_000
        self.cities.replace_one({"_id": key}, {"name": name, "twins": {"Toyama": True}}, upsert=True)
        return key

    def allow_twins(self) -> None:
        """Let the index take what it has refused."""
        fields = {"properties": {"twins": {"type": "object", "dynamic": True}}}
        self.site.ask("PUT", f"{self.index}-g1/_mapping", fields)

    def held(self, key: int) -> Any:
        """The document in the index; None if it is not there."""
        return self.site.ask("GET", f"{self.index}/_doc/n:{key}").get("_source")

    def damage(self, key: int) -> None:
        """Take a document out of the index, behind penstock's back."""
        self.site.bulk(f"{self.index}", [json.dumps({"delete": {"_id": f"n:{key}"}})])

    def close(self) -> None:
        """Stop everything."""
        self._stop.set()
        if self._writer:
            self._writer.join()
        self.site.close()
        self.client.drop_database(NAMESPACE.partition(".")[0])
        self.client.close()

    def _fill(self) -> None:
        self.cities.drop()
        self.cities.insert_many([each for each in cities() if each["population"] >= _LARGE])


@contextmanager
def city_site(folder: Path, source_uri: str, sink_url: str) -> Iterator[CitySite]:
    """Cities with a worker, a console and a writer; all end with the block."""
    with closing(CitySite(folder, source_uri, sink_url)) as site:
        site.start_worker()
        site.start_console()
        site.write()
        yield site


def _answers(http: urllib3.PoolManager, url: str) -> bool:
    try:
        return http.request("GET", url, timeout=5).status == 200
    except urllib3.exceptions.HTTPError:
        return False
