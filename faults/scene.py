"""The scene of a fault: its own database and index, a writer, workers, and the time until they recover."""

import random
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import pymongo

from faults.equality import found
from faults.ground import Ground
from faults.result import Result
from faults.writer import Writer
from penstock.documents.document_id import document_id
from penstock.runtime.intervals import GC_DELETES_S, INTERVALS
from testkit.sink_access import Relay, relay
from testkit.tcp_proxy import Proxy
from testkit.workspace import Site, Worker, until

ITEMS = "items"
_RECOVERS_WITHIN_S = 120
_SETTLES_WITHIN_S = 60
_MOST_PAUSE_S = 1.0
_LONG_LEASE_S = 10
"""A lease that outlasts every fault, so that nothing is read again."""

_OUTCOMES = ("written", "folded", "superseded", "filtered", "dead_lettered", "control")

AnyProxy = TypeVar("AnyProxy", bound=Proxy)


class Scene:
    """The scene of one fault. `worker` is the one that follows at present."""

    worker: Worker

    def __init__(self, ground: Ground, folder: Path, *, seed: int, times: int) -> None:
        self.ground = ground
        self.chance = random.Random(seed)
        self.seed = seed
        self.times = times
        self.recovered_s: list[float] = []
        self.more: dict[str, Any] = {}
        self.workers = 0
        self.exactly_once = False
        """Whether the only worker keeps its lease throughout, so that it must read each change once."""
        self.own_changes = 0
        """Changes that a fault made itself, in addition to the writer."""
        self.source_uri, self.sink_url = ground.source_uri, ground.sink_url
        """The addresses in the worker's settings; the writer and the comparisons use the servers directly."""
        self.collections = [ITEMS]
        self._folder = folder
        self._name = f"faults-{secrets.token_hex(6)}"
        self._stack = ExitStack()
        self._began: float | None = None

    def __enter__(self) -> "Scene":
        folder = self._folder
        folder.mkdir(parents=True)
        self._connect(self.ground.source_uri)
        prefix = f"{self._name}-"
        self.site = Site(folder, self.source_uri, self.sink_url, prefix, INTERVALS)
        self._stack.callback(self.site.close)
        self._stack.callback(self.site.ask, "DELETE", f"{prefix}*?expand_wildcards=all")
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.abandon()
        self._stack.close()

    def _connect(self, uri: str) -> None:
        client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(uri, tz_aware=True)
        self._stack.callback(client.close)
        self._stack.callback(client.drop_database, self._name)
        self.database = client[self._name]
        self.items = self.database[ITEMS]
        self.writer = Writer(self.items, random.Random(self.seed + 1))

    # --- before the fault

    def on_source(self, uri: str) -> None:
        """Use another source."""
        self.source_uri = uri
        self._connect(uri)

    def source_through(self, proxy: type[AnyProxy]) -> AnyProxy:
        """Put a proxy between the worker and the source."""
        address = pymongo.uri_parser.parse_uri(self.source_uri)["nodelist"][0]
        made = self._stack.enter_context(proxy(address))
        self.source_uri = f"mongodb://127.0.0.1:{made.port}/?directConnection=true&serverSelectionTimeoutMS=1000"
        return made

    def sink_through(self, proxy: type[AnyProxy]) -> AnyProxy:
        """Put a proxy between the worker and OpenSearch."""
        address = urlsplit(self.sink_url)
        made = self._stack.enter_context(proxy((address.hostname or "", address.port or 0)))
        self.sink_url = f"http://127.0.0.1:{made.port}"
        return made

    def sink_through_relay(self) -> Relay:
        """Put a relay between the worker and OpenSearch that can respond in its place."""
        made = self._stack.enter_context(relay(self.sink_url))
        self.sink_url = made.url
        return made

    def settings(self, **pipeline: Any) -> None:
        """Write the settings file; the lease is one second unless given."""
        self.site.source_uri, self.site.sink_url = self.source_uri, self.sink_url
        names = [f"{self.database.name}.{each}" for each in self.collections]
        self.site.settings(*names, pipeline=pipeline)
        self.site.sink_url = self.ground.sink_url

    def begin(self, *, exactly_once: bool = False, **pipeline: Any) -> None:
        """Load the writer's documents, follow the changes, and let the writer write."""
        self.writer.fill()
        self.exactly_once = exactly_once
        self.settings(**({"lease_s": _LONG_LEASE_S} if exactly_once else {}), **pipeline)
        self.run().until_live()
        self.writer.start()

    def run(self, *flags: str, gc_deletes_s: float = GC_DELETES_S) -> Worker:
        """Start a worker, which becomes the one that follows."""
        self.worker = self.another(*flags, gc_deletes_s=gc_deletes_s)
        return self.worker

    def another(self, *flags: str, gc_deletes_s: float = GC_DELETES_S) -> Worker:
        self.workers += 1
        return self.site.start("run", *flags, intervals=replace(INTERVALS, gc_deletes_s=gc_deletes_s))

    # --- the fault

    def rounds(self) -> Iterator[int]:
        """Yield each round at a random moment; a fault ends with its round, unless that calls `mark` or `recover`."""
        for number in range(self.times):
            self.pause()
            self._began = None
            before = len(self.recovered_s)
            yield number
            if len(self.recovered_s) == before:
                self.recover()

    def pause(self, most_s: float = _MOST_PAUSE_S) -> None:
        time.sleep(self.chance.uniform(0, most_s))

    def mark(self) -> None:
        """Mark the end of the fault: the time from now on counts as recovery."""
        self._began = time.monotonic()

    def recover(self) -> None:
        """Wait until what is written now is in the index, and record how long that took since `mark`, or since now.

        Nobody helps: the worker must not end, and must recover what was lost by itself.
        """
        began = time.monotonic() if self._began is None else self._began
        key = f"marker {len(self.recovered_s)}"
        self.items.insert_one({"_id": key, "key": key})
        self.until_indexed(key)
        self.recovered_s.append(round(time.monotonic() - began, 2))

    def until_indexed(self, key: str, **fields: Any) -> None:
        """Wait until a document is in the index, with these fields."""
        self._until(lambda: self._is_indexed(key, fields), f"{key} is in the index")

    def until_said(self, event: str, times: int) -> None:
        """Wait until the worker has logged the event `times` times."""
        self._until(lambda: len(self.worker.lines(event)) >= times, f"{event}, {times} times")

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        def come() -> bool:
            assert self.worker.process.exitcode is None, self.worker.errors[-3000:]
            return condition()

        until(come, lambda: f"{what}:\n{self.worker.errors[-3000:]}", within_s=_RECOVERS_WITHIN_S)

    def _is_indexed(self, key: str, fields: Mapping[str, Any]) -> bool:
        path = f"{self.site.index(f'{self.database.name}.{ITEMS}')}/_doc/{quote(document_id(key), safe='')}"
        found = self.site.ask("GET", path)
        return bool(found.get("found")) and fields.items() <= found["_source"].items()

    # --- after the fault

    def result(self, name: str, title: str) -> Result:
        """Stop the writer and compare."""
        self.writer.stop()
        assert all(self.writer.edits.values()), f"the writer did not do all it can: {self.writer.edits}"
        changes = self.writer.changes + self.own_changes + len(self.recovered_s)
        self._settle()
        balanced = self._balances(changes)
        self.more |= {"counted": self._counted(), "workers": self.workers, "terms": self._terms()}
        self.worker.terminate()
        each = [found(self.site, self.database[coll], self.ground.sink_url) for coll in self.collections]
        letters = len(self.site.letters(self.database))
        if not all(one.equal for one in each):
            self.more["summary"] = [one.summary for one in each if not one.equal]
        return Result(
            name=name,
            title=title,
            seed=self.seed,
            times=self.times,
            lost=sum(one.lost for one in each),
            doubled=sum(one.doubled for one in each),
            resurrected=sum(one.resurrected for one in each),
            balanced=balanced,
            recovered_s=self.recovered_s,
            changes=changes,
            documents=sum(one.documents for one in each),
            dead_letters=letters,
            equal=all(one.equal for one in each),
            more=self.more,
        )

    def _settle(self) -> None:
        """Give in-flight changes time to arrive; the comparisons find and report those that do not."""
        with suppress(AssertionError):
            self.site.until_equal(self.database, *self.collections, within_s=_SETTLES_WITHIN_S)

    def _balances(self, changes: int) -> bool:
        """Whether the last worker's report accounts for each change it read; for all changes, if it was the only one.

        It has read each of them once, also by its metrics, if it kept its lease; what was not known to be safe when a
        lease was lost is read again. What came before a new position, after a loss, was loaded and not read as changes.
        The metrics also count what loads read again, so they show the stream's part only if no load did.
        """
        least = changes if self.workers == 1 and not self.worker.lines("position lost") else 1
        once = self.exactly_once or (self.workers == 1 and self._terms() == 1)

        def balance() -> bool:
            reported = self.site.state(self.database.name)["status"].get("counts", {})
            read = reported.pop("read", -1)
            streamed = sum(self._counted().values()) - self.worker.metric("penstock_load_documents_total")
            self.more |= {"read": read, "read by metrics": int(streamed)}
            exact = read == changes and (streamed == changes or bool(self.worker.lines("reading again")))
            return read == sum(reported.values()) >= least and (exact or not once)

        try:
            until(balance, "the counters balance", within_s=20)
        except AssertionError:
            return False
        return True

    def _terms(self) -> int:
        """Return how often the last worker took its lease."""
        return len(self.worker.lines("took the lease"))

    def _counted(self) -> dict[str, int]:
        return {each: int(self.worker.metric("penstock_changes_total", outcome=each)) for each in _OUTCOMES}
