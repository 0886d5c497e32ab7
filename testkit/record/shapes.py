"""Cases about replies, waiting and batches, and about bytes being kept."""

import struct
import threading

import bson
from bson import ObjectId
from bson.raw_bson import RawBSONDocument

from testkit.record.stage import TYPES


def play(stage):
    for name, command in (
        ("hello", {"hello": 1}),
        ("isMaster", {"isMaster": 1}),
        ("isMaster helloOk", {"isMaster": 1, "helloOk": True}),
        ("ping", {"ping": 1}),
        ("getParameter fcv", {"getParameter": 1, "featureCompatibilityVersion": 1}),
        ("unknown command", {"noSuchThing": 1}),
    ):
        stage.attempt("shapes", name, lambda command=command: {"reply": stage.client.admin.command(command)})
    stage.attempt("shapes", "buildInfo", lambda: _build_info(stage))
    for level in ("coll", "db", "cluster"):
        stage.attempt("shapes", f"{level} stream", lambda level=level: _shape(stage, level))
    stage.attempt("shapes", "empty getMore blocking times", lambda: _blocking_times(stage))
    stage.attempt("shapes", "getMore returns early", lambda: _returns_early(stage))
    stage.attempt("shapes", "getMore and writes elsewhere", lambda: _writes_elsewhere(stage))
    for name, first, then in (
        ("batchSize first default, next default: 6 stored events", None, None),
        ("batchSize first 0, next 2", 0, 2),
        ("batchSize first 2, next 3", 2, 3),
        ("batchSize 3, next default", 3, None),
    ):
        stage.attempt("shapes", name, lambda first=first, then=then: _batches(stage, first, then))
    stage.attempt("shapes", "default first batch size", lambda: _default_first_batch(stage))
    stage.attempt("shapes", "batch byte limit", lambda: _byte_limit(stage))
    kept = "undefined, symbol, dbpointer, duplicate key: bytes kept?"
    stage.attempt("types", kept, lambda: _deprecated_types(stage))
    stage.attempt("types", "all types: fullDocument bytes = inserted bytes", lambda: _all_types(stage))


def _build_info(stage):
    kept = ("version", "versionArray", "maxBsonObjectSize", "storageEngines", "bits", "ok", "gitVersion", "modules")
    reply = stage.client.admin.command("buildInfo")
    return {"reply": {name: reply[name] for name in reply if name in kept}}


def _shape(stage, level):
    watch = stage.watch(level)
    shown = {
        "aggregateReply": watch.first,
        "aggregateKeys": list(watch.first),
        "cursorKeys": list(watch.first["cursor"]),
    }
    blocked_s = _blocked_s(watch, 500)
    shown |= {"emptyGetMoreReply": watch.last, "emptyGetMoreBlocked_s": blocked_s}
    stage.client.rec.c.insert_one({"_id": ObjectId(), "shape": 1})
    watch.more(500)
    cursor = watch.last["cursor"]
    event = cursor["nextBatch"][0]
    token, clock = event["_id"]["_data"], event["clusterTime"]
    watch.close()
    return shown | {
        "getMoreWithEventKeys": list(watch.last),
        "getMoreWithEventCursorKeys": list(cursor),
        "cursorIdType": type(cursor["id"]).__name__,
        "nEvents": len(cursor["nextBatch"]),
        "event": event,
        "tokenKeys": list(event["_id"]),
        "tokenType": type(token).__name__,
        "tokenHexLength": len(token),
        "tokenFirstByte": token[:2],
        "tokenUpper": token == token.upper(),
        "tokenBytes1to8AreClusterTime": token[2:18] == f"{clock.time:08X}{clock.inc:08X}",
    }


def _blocking_times(stage):
    watch, shown = stage.watch(), {}
    for milliseconds in (None, 1, 100, 500, 2000, 0):
        shown[f"maxTimeMS={milliseconds} blocked_s"] = _blocked_s(watch, milliseconds)
    watch.close()
    return shown


def _blocked_s(watch, milliseconds):
    """How long a getMore waits for events; once more, up to twice, where a busy machine may have held it up."""
    took = []
    expected = milliseconds / 1000 if milliseconds else 1.0
    while len(took) < 3 and (not took or took[-1] > expected + 0.15):
        watch.more(milliseconds)
        took.append(watch.took)
    return round(min(took), 1)


def _after(seconds, action):
    timer = threading.Timer(seconds, action)
    timer.start()
    return timer


def _returns_early(stage):
    watch = stage.watch()
    timer = _after(0.5, lambda: stage.client.rec.c.insert_one({"_id": ObjectId()}))
    watch.more(5000)
    timer.join()
    watch.close()
    took = round(watch.took, 1)
    return {"getMore maxTimeMS=5000, insert after 0.5 s: returned after_s": took, "n": watch.batches[-1]}


def _writes_elsewhere(stage):
    watch = stage.watch()
    timer = _after(0.3, lambda: stage.client.rec.d2.insert_many([{"_id": ObjectId()} for _ in range(5)]))
    watch.more(1500)
    timer.join()
    watch.close()
    name = "getMore maxTimeMS=1500, other collection written after 0.3 s: returned after_s"
    return {name: round(watch.took, 1), "n": watch.batches[-1]}


def _token_of_first(stage, documents):
    watch = stage.watch()
    stage.client.rec.c.insert_many(documents)
    token = watch.wait(1).events[0]["_id"]
    watch.close()
    return token


def _batches(stage, first, then):
    token = _token_of_first(stage, [{"_id": ObjectId(), "i": i} for i in range(7)])
    watch = stage.watch(options={"resumeAfter": token}, cursor={} if first is None else {"batchSize": first})
    for _ in range(4):
        watch.more(**({} if then is None else {"batchSize": then}))
    watch.close()
    return {"batches": watch.batches}


def _default_first_batch(stage):
    token = _token_of_first(stage, [{"_id": ObjectId(), "i": i} for i in range(400)])
    watch = stage.watch(options={"resumeAfter": token})
    watch.more()
    watch.more()
    watch.close()
    return {"400 events, resumeAfter the first: batches": watch.batches}


def _byte_limit(stage):
    token = _token_of_first(stage, [{"_id": ObjectId(), "b": "x" * 1000000} for _ in range(24)])
    watch = stage.watch(options={"resumeAfter": token}, cursor={"batchSize": 1000})
    for _ in range(4):
        watch.more(batchSize=1000)
    watch.close()
    return {"23 events of 1 MB, batchSize 1000: batches": watch.batches}


def _deprecated_types(stage):
    body = b"\x02_id\0" + struct.pack("<i", 4) + b"dep\0" + b"\x06u\0" + b"\x0es\0" + struct.pack("<i", 4) + b"sym\0"
    body += b"\x0cp\0" + struct.pack("<i", 2) + b"c\0" + bytes(12) + b"\x10k\0\x01\0\0\0" + b"\x10k\0\x02\0\0\0"
    document = struct.pack("<i", len(body) + 5) + body + b"\0"
    watch = stage.watch(raw=True)
    stage.client.rec.c.insert_one(RawBSONDocument(document))
    full = watch.wait(1).events[-1]["fullDocument"].raw
    watch.close()
    return {"sent": document.hex(), "fullDocumentBytesEqualInserted": full == document, "got": full.hex()}


def _all_types(stage):
    watch, kept = stage.watch(raw=True), {}
    for name, value in TYPES:
        document = bson.encode({"_id": "raw-" + name, "v": value})
        stage.client.rec.c.insert_one(RawBSONDocument(document))
        watch.wait(len(kept) + 1)
        kept[name] = len(watch.events) > len(kept) and watch.events[len(kept)]["fullDocument"].raw == document
    watch.close()
    return {
        "fullDocumentBytesEqualInserted": all(kept.values()),
        "notEqual": [name for name, same in kept.items() if not same],
    }
