"""Plays cases of the record on a server: operations with six watchers around them, and cases of their own code."""

import datetime
import itertools
import json
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import bson
import pymongo
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from pymongo import (
    DeleteMany,
    DeleteOne,
    InsertOne,
    MongoClient,
    ReplaceOne,
    ReturnDocument,
    UpdateMany,
    UpdateOne,
    WriteConcern,
    monitoring,
)
from pymongo.errors import PyMongoError

from testkit.record import shape
from testkit.record.watch import KINDS, Watch

_ID = ObjectId("5bb1f2a0c0ffee0000000001")
_SETTINGS = {"socketTimeoutMS": 20000, "serverSelectionTimeoutMS": 8000, "w": "majority", "tz_aware": True}


def _day(text):
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


_UUID_BYTES = bytes(range(16))
TYPES = [
    ("double", 1.5), ("nan", float("nan")), ("inf", float("inf")), ("negzero", -0.0), ("double_int", 3.0),
    ("string", "h\u00e9llo \U0001f600"), ("empty", ""), ("nulchar", "a\0b"), ("doc", {"x": 1, "y": {"z": 2}}),
    ("emptydoc", {}), ("array", [1, "a", [2, {"q": 1}]]), ("emptyarray", []), ("bin0", Binary(b"\x00\x01\xff")),
    ("bin2", Binary(b"abc", 2)), ("uuid4", Binary(_UUID_BYTES, 4)), ("uuid3", Binary(_UUID_BYTES, 3)),
    ("bin5", Binary(b"0123456789abcdef", 5)), ("bin128", Binary(b"u", 128)), ("oid", _ID), ("true", True),
    ("false", False), ("date", _day("2018-10-01T12:34:56.789")), ("date_early", _day("1901-01-01T00:00:00")),
    ("null", None), ("regex", Regex("^a.b$", "im")), ("dbref", DBRef("c", 5)), ("code", Code("function(){}")),
    ("codews", Code("f", {"a": 1})), ("int32", 42), ("int32min", -2147483648), ("timestamp", Timestamp(4, 7)),
    ("ts_zero_nested", {"t": Timestamp(0, 0)}), ("int64", Int64(5)), ("int64big", Int64(9223372036854775807)),
    ("dec", Decimal128("1.10")), ("decnan", Decimal128("NaN")),
    ("decbig", Decimal128("9.999999999999999999999999999999999E+6144")), ("minkey", MinKey()), ("maxkey", MaxKey()),
]  # fmt: skip
IDS = [
    _ID, "str", "", 1, Int64(2), Int64(9223372036854775807), 2.5, 4.0, float("nan"), Decimal128("7.10"),
    _day("2018-10-01T12:34:56.789"), Binary(b"\x01\x02"), Binary(_UUID_BYTES, 4), Binary(_UUID_BYTES, 3), True, False,
    None, {"a": 1, "b": "x"}, {}, {"b": "x", "a": 1}, Timestamp(5, 6), MinKey(), MaxKey(), Code("f"),
]  # fmt: skip


class _Listener(monitoring.CommandListener):
    """Notes the replies of the thread that asked for it."""

    def __init__(self):
        self._local = threading.local()

    def begin(self, *, with_sent=False):
        self._local.notes, self._local.with_sent = [], with_sent

    def end(self):
        notes, self._local.notes = self._local.notes, None
        return notes

    def _note(self, entry):
        notes = getattr(self._local, "notes", None)
        if notes is not None:
            notes.append(entry)

    def started(self, event):
        if getattr(self._local, "with_sent", False):
            left_out = ("lsid", "$clusterTime", "$db", "$readPreference")
            sent = {name: item for name, item in event.command.items() if name not in left_out}
            self._note({"sent": shape.plain(sent)})

    def succeeded(self, event):
        self._note({"command": event.command_name, "reply": shape.plain(event.reply)})

    def failed(self, event):
        self._note({"command": event.command_name, "failure": shape.plain(event.failure)})


class Stage:
    """One server, two clients, and what became of the cases played so far."""

    def __init__(self, uri):
        self.uri = uri
        self.listener = _Listener()
        self.client = MongoClient(uri, event_listeners=[self.listener], **_SETTINGS)
        self.other = MongoClient(uri, **_SETTINGS)
        self.outcomes = {}
        self._pool = ThreadPoolExecutor(len(KINDS))
        database = self.client["rec"]
        self._names = {
            **{name.__name__: name for name in (Binary, Code, Int64, ObjectId, Regex, Timestamp)},
            **{name.__name__: name for name in (DeleteMany, DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne)},
            "ReturnDocument": ReturnDocument,
            "WriteConcern": WriteConcern,
            "D": _day,
            "time": time,
            "bson": bson,
            "TYPES": TYPES,
            "IDS": IDS,
            "client": self.client,
            "pymongo": pymongo,
            "db": database,
            "c": database["c"],
            "d2": database["d2"],
        }
        for name in ("rec", "rec2", "recddl", "recddl2", "rectx"):
            self.client.drop_database(name)
        self.do("db.create_collection('c')", "db.create_collection('d2')")

    def close(self):
        self._pool.shutdown()
        self.client.close()
        self.other.close()

    def do(self, *lines):
        """Run operations of the record, which are Python; one that fails was meant to."""
        for line in lines:
            try:
                exec(line, self._names)
            except PyMongoError:
                continue

    def watch(self, level="coll", **options):
        return Watch(self.other, level, **options)

    def play(self, section, case):
        """Play one recorded operation between opening and draining six watchers."""
        self.do(*case.get("before", ()), *case.get("pre", ()))
        namespace = case.get("namespace", ("rec", "c"))
        watches = list(
            self._pool.map(lambda kind: Watch(self.other, kind[0], namespace=namespace, lookup=kind[1]), KINDS)
        )
        outcome = {}
        self.listener.begin()
        try:
            exec(case["do"], self._names)
        except PyMongoError as error:
            outcome["error"] = shape.failure(error)
        replies = self.listener.end()
        list(self._pool.map(Watch.drain, watches))
        outcome |= {"replies": shape.as_json(replies), **_seen(watches)}
        for watch in watches:
            watch.close()
        self.outcomes[section, case["op"]] = shape.slim(json.loads(json.dumps(outcome)))

    def attempt(self, section, name, run):
        """Play a case of its own code; what it answers or raises is its outcome."""
        try:
            outcome = shape.as_json(shape.plain(run()))
        except PyMongoError as error:
            outcome = {"error": shape.failure(error)}
        except Exception:  # noqa: BLE001 (one broken case must not hide the others)
            outcome = {"broken": traceback.format_exc()}
        self.outcomes[section, name] = shape.slim(json.loads(json.dumps(outcome)))


def _seen(watches):
    """What the watchers saw, the same views only once."""
    stamps = sorted(
        {e["clusterTime"] for w in watches for e in w.events if isinstance(e.get("clusterTime"), Timestamp)}
    )
    times = {stamp: f"T{number}" for number, stamp in enumerate(stamps, start=1)}
    views, tokens = {}, []
    for (level, lookup), watch in zip(KINDS, watches, strict=True):
        view = {"events": shape.as_json([shape.plain(_without_token(e), times) for e in watch.events])}
        if watch.closed:
            view["cursorClosed"] = True
        if watch.error:
            view["error"] = {"at": watch.where, **shape.failure(watch.error)}
        same = next((f"={known}" for known, other in views.items() if other == view), None)
        views[level + ("+lookup" if lookup else "")] = same or view
        tokens.append([event["_id"]["_data"] for event in watch.events])
    rising = all(first < second for row in tokens for first, second in itertools.pairwise(row))
    return {"watch": views, "tokensStrictlyRising": rising, "tokensEqualAcrossWatchers": _equal_tokens(watches)}


def _without_token(event):
    whole = isinstance(event["_id"], dict) and list(event["_id"]) == ["_data"]
    return {**event, "_id": "<token>"} if whole else event


def _equal_tokens(watches):
    known = {}
    for watch in watches:
        for event in watch.events:
            key = str([event.get(name) for name in ("clusterTime", "operationType", "documentKey", "ns")])
            if known.setdefault(key, event["_id"]["_data"]) != event["_id"]["_data"]:
                return False
    return True
