"""Lets a version of penstock load, follow and stop, and writes down what it left in OpenSearch.

    penstock local up                                   two servers without anything of penstock on them
    python -m testkit.saved_state.record PENSTOCK SOURCE_URI SINK_URL > testkit/saved_state/VERSION.json

PENSTOCK is the command of the version to record, in that version's own environment. What belongs to these servers is
replaced by names, for `restore` to put others in their place: addresses, the source's identity, the indexes' UUIDs.
Times are moved into the past, since a version must not be ahead of the source's clock.
"""

import json
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import urllib3
from bson import json_util
from pymongo import MongoClient

from testkit.saved_state.restore import DATABASE, EXACT, IDENTITY, PREFIX, SINK, SOURCE, uuid_mark
from testkit.workspace import until

ENDS_AT = datetime(2025, 1, 1, tzinfo=UTC)
SETTINGS = f"""\
[source]
uri = "{SOURCE}"
[sink]
url = "{SINK}"
[pipeline]
lease_s = 1
[observe]
listen = "127.0.0.1:0"
log_format = "json"
"""
ITEMS = f"""\
[[collections]]
namespace = "{DATABASE}.items"
index = "{PREFIX}items"
replicas = 0
mapping_file = "items.json"
function = "recorded_shapes:item"
rename = {{ "text" = "title" }}
"""
OTHERS = f"""\
[[collections]]
namespace = "{DATABASE}.people"
index = "{PREFIX}people"
replicas = 0
on_rename = "follow"
[[collections]]
namespace = "{DATABASE}.archive"
index = "{PREFIX}archive"
replicas = 0
[[collections]]
namespace = "{DATABASE}_logs.*"
index = "{PREFIX}logs-{{collection}}"
replicas = 0
"""
ORDERS = f"""\
[[collections]]
namespace = "{DATABASE}.orders"
index = "{PREFIX}orders"
replicas = 0
"""
LATE = f"""\
[[collections]]
namespace = "{DATABASE}.late"
index = "{PREFIX}late"
replicas = 0
"""
LATER = 'exclude = ["secret"]\n'
SLOWLY = "load_rate = 100\nload_range = 100\n"
ITEMS_JSON = json.dumps({"mappings": {"properties": {"maker": {"type": "object"}, "title": {"type": "keyword"}}}})
SHAPES = '''\
"""What is indexed of an item."""


def item(document):
    if document.get("hidden"):
        return None
    document["length"] = len(document["text"])
    return document
'''


class Recording:
    """The version to record, in a folder, between the servers."""

    def __init__(self, penstock: str, folder: Path, client: MongoClient[Any], source_uri: str, sink_url: str) -> None:
        self.database, self.logs = client[DATABASE], client[f"{DATABASE}_logs"]
        self._penstock = penstock
        self._folder = folder
        self._addresses = {SOURCE: source_uri, SINK: sink_url}
        self._http = urllib3.PoolManager(retries=False)
        self._sink_url = sink_url
        self._files: dict[str, str] = {}

    def file(self, name: str, text: str) -> None:
        self._files[name] = text
        for mark, address in self._addresses.items():
            text = text.replace(mark, address)
        (self._folder / name).write_text(text)

    def run(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        command = [self._penstock, *arguments]
        done = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode in codes, (done.returncode, done.stdout, done.stderr)
        return done.stdout

    @contextmanager
    def worker(self) -> Iterator[None]:
        """A worker, ended cleanly on leaving."""
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen([self._penstock, "run"], cwd=self._folder, stderr=log)
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, (self._folder / "log").read_text()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        return self._http.request(method, f"{self._sink_url}/{path}", json=body).json()

    def hits(self, index: str) -> list[dict[str, Any]]:
        """All documents of an index, by their ids."""
        self.ask("POST", f"{index}/_refresh")
        body = {"size": 10_000, "version": True, "query": {"match_all": {}}}
        found = self.ask("POST", f"{index}/_search", body).get("hits", {}).get("hits", [])
        return sorted(found, key=lambda hit: hit["_id"])

    def state(self, state_id: str) -> dict[str, Any]:
        return next((hit["_source"] for hit in self.hits("penstock-state") if hit["_id"] == state_id), {})

    def until_held(self, coll: str, count: int) -> None:
        until(lambda: len(self.hits(f"{PREFIX}{coll}")) == count, lambda: f"{coll}: {len(self.hits(PREFIX + coll))}")

    def everything(self, version: str) -> dict[str, Any]:
        """What is there now, with names for all that belongs to these servers."""
        indexes = self.ask("GET", f"{PREFIX}*,penstock-*?expand_wildcards=all")
        replaced = {each["settings"]["index"]["uuid"]: uuid_mark(name) for name, each in indexes.items()}
        state = {hit["_id"]: hit["_source"] for hit in self.hits("penstock-state")}
        identity = state[f"pipeline/{DATABASE}"]["source"]["identity"]
        letters = {hit["_id"]: [hit["_version"], hit["_source"]] for hit in self.hits("penstock-dead-letters")}
        recorded = {
            "made_by": version,
            "files": self._files,
            "source": {
                f"{database.name}.{coll}": json.loads(json_util.dumps(database[coll].find(), json_options=EXACT))
                for database in (self.database, self.logs)
                for coll in sorted(database.list_collection_names())
            },
            "state": dict(sorted(state.items())),
            "dead_letters": letters,
            "indexes": {
                name: {
                    "body": _body(described),
                    "documents": {hit["_id"]: [hit["_version"], hit["_source"]] for hit in self.hits(name)}
                    if name.startswith(PREFIX)
                    else {},
                }
                for name, described in sorted(indexes.items())
            },
        }
        text = json.dumps(recorded)
        for before, after in {**replaced, identity: IDENTITY}.items():
            text = text.replace(before, after)
        text = re.sub(r'"owner": "[^/"]+/\d+', '"owner": "host/1', text)
        return json.loads(_earlier(text, state[f"pipeline/{DATABASE}"]["position"]["time"] >> 32))


def _earlier(text: str, now: int) -> str:
    """Move all times, so that the recording ends at a moment that every clock has passed. `now`: in seconds."""
    by = now - int(ENDS_AT.timestamp())

    def version(found: re.Match[str]) -> str:
        return str(int(found[0]) - (by << 32))

    def token(found: re.Match[str]) -> str:
        return f"{found[1]}{int(found[2], 16) - by:08X}"

    def date(found: re.Match[str]) -> str:
        return (datetime.fromisoformat(found[0]) - timedelta(seconds=by)).isoformat()

    text = re.sub(r"\b\d{19}\b", version, text)
    text = re.sub(r'(_data[\\": ]+82)([0-9A-F]{8})', token, text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", date, text)
    return re.sub(r'(?<="reported_at": )[\d.]+', lambda found: str(float(found[0]) - by), text)


def _lines(recorded: dict[str, Any]) -> Iterator[str]:
    """JSON with a line for each file, collection, state, letter and index."""
    between = "{"
    for section, held in recorded.items():
        yield f"{between}{json.dumps(section)}: "
        if isinstance(held, dict):
            yield "{\n" + ",\n".join(f"  {json.dumps(name)}: {json.dumps(each)}" for name, each in held.items()) + "\n}"
        else:
            yield json.dumps(held)
        between = ",\n"
    yield "}\n"


def _body(described: dict[str, Any]) -> dict[str, Any]:
    """How to make an index as it is."""
    private = {"creation_date", "provided_name", "uuid", "version", "history", "replication"}
    settings = {name: value for name, value in described["settings"]["index"].items() if name not in private}
    return {"settings": {"index": settings}, "mappings": described["mappings"], "aliases": described["aliases"]}


def documents(*numbers: int, **more: Any) -> list[dict[str, Any]]:
    return [{"_id": number, "text": f"text {number}", **more} for number in numbers]


def play(recording: Recording) -> None:
    """Everything that leaves a state of its own."""
    database, logs = recording.database, recording.logs
    database.items.insert_many([*documents(*range(20), maker={"name": "first"}), *documents(20, hidden=True)])
    database.people.insert_many(documents(*range(10)))
    database.archive.insert_many(documents(*range(5)))
    logs.a.insert_many(documents(*range(5)))
    database.orders.insert_many(documents(*range(15), secret="x"))
    database.late.insert_many(documents(*range(250)))
    recording.file("items.json", ITEMS_JSON)
    recording.file("recorded_shapes.py", SHAPES)
    recording.file("penstock.toml", SETTINGS + ITEMS + OTHERS + ORDERS)
    with recording.worker():
        for coll, count in {"items": 20, "people": 10, "archive": 5, "logs-a": 5, "orders": 15}.items():
            recording.until_held(coll, count)
        database.items.insert_one({"_id": "poison", "text": "text", "maker": "nobody"})
        database.items.update_one({"_id": 1}, {"$set": {"text": "changed"}})
        database.items.delete_one({"_id": 2})
        database.people.rename("persons")
        database.persons.insert_one({"_id": 100, "text": "after the rename"})
        database.archive.drop()
        logs.b.insert_many(documents(*range(3)))
        recording.until_held("people", 11)
        recording.until_held("logs-b", 3)
        until(lambda: len(recording.hits("penstock-dead-letters")) == 1, "the dead letter")
        recording.file("penstock.toml", SETTINGS + ITEMS + OTHERS + ORDERS + LATER)
        recording.run("reindex", f"{DATABASE}.orders")
        database.orders.insert_one({"_id": 100, "text": "after the reindex", "secret": "x"})
        recording.until_held("orders", 16)
        recording.run("verify", "--wait", "1", codes=(8,))
    recording.file("penstock.toml", SETTINGS.replace("[obs", f"{SLOWLY}[obs") + ITEMS + OTHERS + ORDERS + LATER + LATE)
    with recording.worker():
        until(lambda: recording.state(f"load/{DATABASE}.late/{PREFIX}late-g1").get("position"), "a part of the load")
    recording.file("penstock.toml", SETTINGS + ITEMS + OTHERS + ORDERS + LATER + LATE)


def main() -> None:
    penstock, source_uri, sink_url = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder, MongoClient(source_uri, w="majority") as client:
        recording = Recording(str(Path(penstock).resolve()), Path(folder), client, source_uri, sink_url)
        play(recording)
        version = recording.run("--version").strip()
        sys.stdout.writelines(_lines(recording.everything(version)))


if __name__ == "__main__":
    main()
