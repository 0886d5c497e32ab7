"""A worker as a process, the settings it runs on, and the comparison of what it leaves in the index."""

import faulthandler
import json
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import urllib3
from pymongo.database import Database

from penstock.cli import main
from penstock.documents.document_id import document_id
from penstock.documents.transform import Transform
from penstock.mongo.codec import CODEC
from penstock.runtime.intervals import Intervals
from penstock.settings import CollectionSettings

_FAST_MAIN = "from penstock.cli import main; from penstock.runtime.intervals import Intervals; main(Intervals.fast())"
PENSTOCK = [sys.executable, "-c", _FAST_MAIN]
"""The command line, with the intervals of tests."""

FAST = Intervals.fast()

LEASE_S = 2
"""Of the workers of tests: a busy machine may stall for a second."""

WITHIN_S = 120
_COMPARED_EVERY_S = 0.2
"""Between two comparisons of everything in source and index, each of which refreshes the index."""

_FORKS = multiprocessing.get_context("forkserver")
"""Commands are forked from a process that has done what each of them begins with: it takes longer than most tests."""
_FORKS.set_forkserver_preload(["testkit.preloaded"])


def until(condition, what, *, within_s=WITHIN_S, every_s=0.05):
    """Wait for the condition and return what it gave; `what` may be called to say what was found instead."""
    deadline = time.monotonic() + within_s
    while True:
        if answer := condition():
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what() if callable(what) else what}")
        time.sleep(every_s)


@contextmanager
def meanwhile(work):
    """Run `work` in a thread, on an event that tells it to end; it must end within the time."""
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(WITHIN_S)
    assert not thread.is_alive()


def random_changes(collection, seed=4):
    """Work for `meanwhile`: inserts, replacements, updates and deletes at random, of 200 ids."""
    rng = random.Random(seed)

    def write(stop):
        number = 0
        while not stop.wait(0.001):
            number += 1
            what, one = rng.random(), rng.randrange(200)
            if what < 0.2:
                collection.delete_one({"_id": one})
            elif what < 0.6:
                collection.replace_one({"_id": one}, {"n": number}, upsert=True)
            else:
                collection.update_one({"_id": one}, {"$inc": {"n": 1}}, upsert=True)

    return write


@dataclass(frozen=True)
class _Command:
    """A command line. Its wall clock is `clock_s` ahead."""

    folder: Path
    arguments: tuple[str, ...]
    stdout: Path
    stderr: Path
    intervals: Intervals = FAST
    clock_s: float = 0
    environ: Mapping[str, str] = field(default_factory=dict)

    def start(self) -> multiprocessing.Process:
        """Run it in a process of its own."""
        process = _FORKS.Process(target=self._run, daemon=True)
        process.start()
        return process

    def _run(self) -> None:
        multiprocessing.current_process()._config["daemon"] = False  # `apply --processes` starts some of its own
        os.chdir(self.folder)
        wall = time.time
        time.time = lambda: wall() + self.clock_s
        for name in [each for each in os.environ if each.startswith("PENSTOCK_")]:
            del os.environ[name]
        os.environ.update(self.environ)
        with self.stdout.open("wb") as stdout, self.stderr.open("wb") as stderr:
            os.dup2(stdout.fileno(), 1)
            os.dup2(stderr.fileno(), 2)
        faulthandler.register(signal.SIGUSR1)
        sys.argv = ["penstock", *self.arguments]
        main(self.intervals)


def run_command(
    folder: Path, *arguments: str, intervals: Intervals = FAST, **environ: str
) -> subprocess.CompletedProcess:
    """Run a command in a folder to its end."""
    with tempfile.TemporaryDirectory() as streams:
        stdout, stderr = Path(streams, "stdout"), Path(streams, "stderr")
        process = _Command(folder, arguments, stdout, stderr, intervals, environ=environ).start()
        process.join(WITHIN_S)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise AssertionError(f"{arguments} did not end within {WITHIN_S} s:\n{stderr.read_text()}")
        done = subprocess.CompletedProcess(arguments, process.exitcode, stdout.read_text(), stderr.read_text())
    assert "Traceback" not in done.stderr, done.stderr
    return done


class Worker:
    """A command that runs; its log and its metrics can be read meanwhile."""

    def __init__(self, folder: Path, number: int, arguments: list[str], clock_s: float, intervals: Intervals) -> None:
        self.killed = False
        self._address = ""
        self._log = folder / f"worker-{number}.log"
        self._output = folder / f"worker-{number}.out"
        command = _Command(folder, tuple(arguments), self._output, self._log, intervals, clock_s)
        self.process = command.start()

    @property
    def errors(self) -> str:
        """All that it wrote to standard error."""
        return self._log.read_text() if self._log.exists() else ""

    @property
    def output(self) -> str:
        """All that it wrote to standard output."""
        return self._output.read_text() if self._output.exists() else ""

    def lines(self, event: str, **fields) -> list[dict]:
        """The log lines of an event, with these fields."""
        lines = [json.loads(line) for line in self.errors.splitlines() if line.startswith("{") and line.endswith("}")]
        return [each for each in lines if each["event"] == event and fields.items() <= each.items()]

    def until_logged(self, event: str, **fields) -> dict:
        def logged():
            found = self.lines(event, **fields)
            assert found or self.process.exitcode is None, self.errors
            return found and found[0]

        return until(logged, lambda: f"{event} {fields} in the log:\n{self.errors}")

    def until_live(self) -> None:
        """Wait until everything is loaded and the stream is followed."""
        until(lambda: self.states() == {"live"}, lambda: f"live, but {self.states()}:\n{self.errors}")

    def states(self) -> set[str]:
        """The state of each pipeline, as /healthz tells it."""
        return {each["state"] for each in self.health().get("pipelines", {}).values()}

    def health(self) -> dict:
        return json.loads(self._fetch("/healthz") or "{}")

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric over all that carries these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        values = (line.rpartition(" ") for line in self.scrape().splitlines() if re.match(rf"{name}\b", line))
        return sum(float(value) for key, _, value in values if all(each in key for each in wanted))

    def scrape(self) -> str:
        """What Prometheus would read."""
        return self._fetch("/metrics")

    def _fetch(self, path: str) -> str:
        assert self.process.exitcode is None, self.errors
        if not self._address:
            served = self.lines("serving health and metrics")
            if not served:
                return ""
            self._address = served[0]["address"]
        try:
            with urllib.request.urlopen(self._address + path, timeout=10) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as unhealthy:
            return unhealthy.read().decode()
        except OSError:  # it has no time to answer, or is about to end: who waits asks again
            return ""

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.killed = True
        self.process.kill()
        self.process.join(WITHIN_S)

    def terminate(self) -> None:
        """End it cleanly."""
        self.process.terminate()
        assert self.end() == 0, self.errors

    def end(self) -> int:
        """Wait for its end and answer the exit code."""
        self.process.join(WITHIN_S)
        assert self.process.exitcode is not None, self.stuck()
        assert "Traceback" not in self.errors, self.errors
        return self.process.exitcode

    def stuck(self) -> str:
        """Its log, with what each of its threads is doing."""
        self.signal(signal.SIGUSR1)
        until(lambda: "Current thread" in self.errors, "the threads in the log")
        return self.errors


class Site:
    """A folder with settings, workers started in it, and what they leave in the index.

    Workers have fast intervals unless others are given.
    """

    def __init__(
        self,
        folder: Path,
        source_uri: str,
        sink_url: str,
        index_prefix: str,
        intervals: Intervals = FAST,
    ) -> None:
        self.folder = folder
        self.intervals = intervals
        self.source_uri = source_uri
        self.sink_url = sink_url
        self._prefix = index_prefix
        self._http = urllib3.PoolManager(retries=False)
        self._workers: list[Worker] = []
        self._collections: dict[tuple[str, str], CollectionSettings] = {}

    def settings(
        self, *namespaces: str, source=None, pipeline=None, log=None, reactions=(), topics=(), **collection
    ) -> None:
        """Write the settings file: these collections, each with the same further settings, reactions and topics."""
        sections = {
            "source": {"uri": self.source_uri, **(source or {})},
            "sink": {"url": self.sink_url},
            "pipeline": {"lease_s": LEASE_S, **(pipeline or {})},
            "observe": {"listen": "127.0.0.1:0", "log_format": "json"},
            "log": log or {},
        }
        text = "".join(f"[{name}]\n{_toml(values)}" for name, values in sections.items())
        for namespace in namespaces:
            values = {"namespace": namespace, "index": self.index(namespace), "replicas": 0, **collection}
            text += f"[[collections]]\n{_toml(values)}"
        text += "".join(f"[[reactions]]\n{_toml(each)}" for each in reactions)
        text += "".join(f"[[topics]]\n{_toml(each)}" for each in topics)
        (self.folder / "penstock.toml").write_text(text)

    def index(self, namespace: str) -> str:
        """The alias of a collection's index."""
        return self._prefix + namespace.lower()

    def start(self, *arguments: str, clock_s: float = 0, intervals: Intervals | None = None) -> Worker:
        worker = Worker(self.folder, len(self._workers), list(arguments), clock_s, intervals or self.intervals)
        self._workers.append(worker)
        return worker

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess:
        """Run a command to its end, in a process of its own."""
        return run_command(self.folder, *arguments, intervals=self.intervals, **environ)

    def close(self) -> None:
        for worker in self._workers:
            worker.kill()
        self._http.clear()
        traces = [
            worker.errors[worker.errors.index("Traceback") :]
            for worker in self._workers
            if "Traceback" in worker.errors
        ]
        assert not traces, traces[0]

    def ask(self, method: str, path: str, body=None) -> dict:
        """One request to the index; answers its JSON."""
        return self._http.request(method, f"{self.sink_url}/{path}", json=body).json()

    def bulk(self, index: str, lines: list[str]) -> None:
        """One bulk request, which must succeed."""
        body = "\n".join(lines) + "\n"
        headers = {"content-type": "application/x-ndjson"}
        answer = self._http.request("POST", f"{self.sink_url}/{index}/_bulk?refresh=true", body=body, headers=headers)
        assert answer.json()["errors"] is False, answer.data

    def indexed(self, namespace: str) -> dict[str, dict]:
        """All documents of a collection's index, by their ids."""
        index = self.index(namespace)
        self.ask("POST", f"{index}/_refresh")
        everything = {"size": 10_000, "track_total_hits": True}
        found = until(
            lambda: (answer := self.ask("POST", f"{index}/_search", everything)).get("status") != 503 and answer,
            f"the new index {index} is ready",
        )
        if found.get("status") == 404:
            return {}
        hits = found["hits"]["hits"]
        assert found["hits"]["total"]["value"] == len(hits), "more than this comparison reads"
        return {hit["_id"]: hit["_source"] for hit in hits}

    def differences(self, database: Database, *colls: str, served_as: str = "") -> list[str]:
        """How the indexes differ from these collections, document by document; one may go by another declared name."""
        found = []
        for coll in colls:
            namespace = f"{database.name}.{served_as or coll}"
            transform = Transform(CollectionSettings(namespace=namespace))
            held = database.get_collection(coll, codec_options=CODEC).find()
            wanted = {document_id(each["_id"]): orjson.loads(transform(each)) for each in held}
            indexed = self.indexed(namespace)
            found += [f"{coll}: {each} is missing" for each in sorted(wanted.keys() - indexed.keys())]
            found += [f"{coll}: {each} is too much" for each in sorted(indexed.keys() - wanted.keys())]
            common = sorted(wanted.keys() & indexed.keys())
            found += [
                f"{coll}: {each} is {indexed[each]}, not {wanted[each]}"
                for each in common
                if wanted[each] != indexed[each]
            ]
        return found

    def until_equal(self, database: Database, *colls: str, served_as: str = "", within_s=WITHIN_S) -> None:
        """Wait until the indexes hold exactly what these collections hold."""

        def found() -> str:
            for each in self._workers:
                assert each.killed or not each.process.exitcode, each.errors
            return "\n".join(self.differences(database, *colls, served_as=served_as)[:20])

        until(lambda: not found(), found, within_s=within_s, every_s=_COMPARED_EVERY_S)

    def letters(self, database: Database) -> list[dict]:
        """The dead letters of a database's collections."""
        self.ask("POST", "penstock-dead-letters/_refresh")
        query = {"size": 1000, "query": {"prefix": {"namespace": f"{database.name}."}}}
        found = self.ask("POST", "penstock-dead-letters/_search", query)
        is_new = found.get("status") in (404, 503)
        return [] if is_new else [hit["_source"] for hit in found["hits"]["hits"]]

    def state(self, name: str) -> dict:
        """What is saved of a pipeline."""
        return self._state(f"pipeline/{name}")

    def reaction_state(self, name: str) -> dict:
        """What is saved of a reaction."""
        return self._state(f"reaction/{name}")

    def load_state(self, namespace: str) -> dict:
        """What is saved of a collection's load."""
        return self._state(f"load/{namespace}/{self.index(namespace)}-g1")

    def _state(self, state_id: str) -> dict:
        found = self.ask("POST", "penstock-state/_mget", {"ids": [state_id]})
        return found["docs"][0].get("_source", {"position": None})


def _toml(values: dict) -> str:
    return "".join(f"{name} = {_value(value)}\n" for name, value in values.items())


def _value(value) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(name)} = {_value(each)}" for name, each in value.items()) + " }"
    return json.dumps(value)
