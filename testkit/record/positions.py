"""Cases about the end of streams, transactions, dropped collections and lost positions."""

import time

from bson import ObjectId, Timestamp
from pymongo.errors import PyMongoError

from testkit.record import shape

DROP = "client.recddl.iv.drop()"
INSERT = "client.recddl.iv.insert_one({'_id': 'new'})"
DROP_DATABASE = "client.drop_database('recddl')"
RENAME = "client.recddl.iv.rename('iv2', dropTarget=True)"
ENDS = [
    ("coll stream: drop; then re-created with one document", "coll", DROP, INSERT),
    ("coll stream: drop; not re-created", "coll", DROP, "pass"),
    ("coll stream: rename; then re-created", "coll", RENAME, INSERT),
    ("coll stream: dropDatabase; re-created", "coll", DROP_DATABASE, INSERT),
    ("db stream: drop of a collection", "db", DROP, INSERT),
    ("db stream: dropDatabase; re-created", "db", DROP_DATABASE, INSERT),
    ("cluster stream: dropDatabase", "cluster", DROP_DATABASE, INSERT),
]


def play_invalidate(stage):
    for name, level, cause, restore in ENDS:
        ending = lambda level=level, cause=cause, restore=restore: _ending(stage, level, cause, restore)  # noqa: E731
        stage.attempt("invalidate", name, ending)
    for name, level in (
        ("pymongo watch on collection, drop", "coll"),
        ("pymongo watch on database, dropDatabase", "db"),
        ("pymongo watch on cluster, dropDatabase", "cluster"),
    ):
        stage.attempt("invalidate", name, lambda level=level: _driver_ending(stage, level))


def _ending(stage, level, cause, restore):
    namespace = ("recddl", "iv")
    stage.client.recddl.iv.insert_one({"_id": ObjectId()})
    watch = stage.watch(level, namespace=namespace)
    stage.do(cause)
    watch.drain()
    events = watch.events
    shown = {"seen": [event["operationType"] for event in events], "cursorClosed": watch.closed, "events": events[:]}
    after = watch.more_or_error()
    shown["getMore after the close"] = f"ok {watch.batches[-1]}" if after == "ok" else after
    if events[-1]["operationType"] != "invalidate":
        watch.close()
        return shown
    last, previous = events[-1], events[-2]
    shown |= {
        "invalidateKeys": list(last),
        "invalidateTokenEqualsPreviousToken": previous["_id"] == last["_id"],
        "invalidateClusterTimeEqualsPrevious": previous["clusterTime"] == last["clusterTime"],
    }
    stage.do(restore)
    at = last["clusterTime"]
    for name, options in (
        ("resumeAfter invalidate token", {"resumeAfter": last["_id"]}),
        ("startAfter invalidate token", {"startAfter": last["_id"]}),
        ("resumeAfter the token before the invalidate", {"resumeAfter": previous["_id"]}),
        ("startAtOperationTime = clusterTime of the invalidate", {"startAtOperationTime": at}),
        ("startAtOperationTime = that + 1", {"startAtOperationTime": Timestamp(at.time, at.inc + 1)}),
    ):
        again = stage.watch(level, namespace=namespace, options=options).drain()
        again.close()
        shown[name] = again.short()
    return shown


def _driver_ending(stage, level):
    stage.client.recddl.iv.insert_one({"_id": ObjectId()})
    watched = {"coll": stage.client.recddl.iv, "db": stage.client.recddl, "cluster": stage.client}[level]
    seen = []
    with watched.watch(max_await_time_ms=50) as stream:
        stage.do(DROP if level == "coll" else DROP_DATABASE)
        for _ in range(8):
            if not stream.alive:
                break
            event = stream.try_next()
            seen.append(event and event["operationType"])
        shown = {"seen": seen, "alive": stream.alive, "resumeTokenIsInvalidates": None}
        return shown | {"next after close": repr(stream.try_next())}


def play_transactions(stage):
    stage.attempt("transaction", "resume in the middle of a transaction", lambda: _resumed_within(stage))
    name = "startAtOperationTime = the transaction clusterTime"
    stage.attempt("transaction", name, lambda: _started_at(stage))


def _transaction(stage, ids):
    watch = stage.watch("db", namespace=("rectx", "c"))
    with stage.client.start_session() as session, session.start_transaction():
        for key in ids:
            stage.client.rectx.a.insert_one({"_id": key}, session=session)
    watch.wait(len(ids)).close()
    return watch.events


def _resumed_within(stage):
    events = _transaction(stage, [f"r{i}" for i in range(4)])
    tokens = [event["_id"]["_data"] for event in events]
    shown = {
        "clusterTimesEqual": len({event["clusterTime"] for event in events}) == 1,
        "tokensDistinct": len(set(tokens)) == 4,
        "tokensRising": sorted(tokens) == tokens,
    }
    for i, event in enumerate(events):
        watch = stage.watch("db", namespace=("rectx", "c"), options={"resumeAfter": event["_id"]}).drain()
        shown[f"resumeAfter event {i} gives"] = [each["documentKey"]["_id"] for each in watch.events]
        watch.close()
    return shown


def _started_at(stage):
    at = _transaction(stage, [f"q{i}" for i in range(3)])[0]["clusterTime"]
    watch = stage.watch("db", namespace=("rectx", "c"), options={"startAtOperationTime": at}).drain()
    watch.close()
    return watch.short()


def play_dropped(stage):
    stage.do("db.drop_collection('lk2')", "db.drop_collection('lk')")
    name = "resumeAfter a token of a collection since dropped"
    stage.attempt("lookup_errors", name, lambda: _dropped(stage))


def _dropped(stage):
    collection, shown = stage.client.rec.lk, {}

    def resumed(name, token, level="coll", most=4, **options):
        watch = stage.watch(level, namespace=("rec", "lk"), options={"resumeAfter": token}, **options).drain()
        watch.close()
        shown[name] = watch.short(most)

    simple = {"collation": {"locale": "simple"}}
    collection.insert_one({"_id": 0})
    watch = stage.watch(namespace=("rec", "lk"))
    collection.insert_many([{"_id": 1}, {"_id": 2}])
    token = watch.wait(2).events[0]["_id"]
    watch.close()
    collection.drop()
    resumed("collection dropped", token)
    collection.insert_one({"_id": 1})
    resumed("dropped and re-created", token)
    resumed("dropped and re-created, collation simple given", token, **simple)
    resumed("db stream", token, "db", 8)
    watch = stage.watch(namespace=("rec", "lk"))
    collection.insert_one({"_id": 5})
    collection.drop()
    watch.drain()
    shown["tokens"] = [event["operationType"] for event in watch.events]
    for event in watch.events:
        name = f"resumeAfter {event['operationType']} token with collation simple"
        resumed(f"{name}, collection gone", event["_id"], **simple)
    collection.insert_one({"_id": 6})
    for event in watch.events:
        name = f"resumeAfter {event['operationType']} token"
        resumed(f"{name} with collation simple, re-created", event["_id"], **simple)
        resumed(f"db stream resumeAfter that {event['operationType']} token", event["_id"], "db")
    return shown


def play_lost(stage):
    stage.attempt("lost", "position lost from the oplog", lambda: _lost(stage))


def _lost(stage):
    collection = stage.client.rec.c
    watch = stage.watch()
    collection.insert_one({"_id": ObjectId()})
    event = watch.wait(1).events[0]
    watch.close()
    idle = {
        "open idle coll cursor": stage.watch(),
        "open idle db cursor": stage.watch("db", lookup=True),
        "open idle cursor on a missing collection": stage.watch(namespace=("rec", "never")),
    }
    with collection.watch(max_await_time_ms=50) as left:
        left.try_next()
        stage.client.rec.fill.insert_many([{"_id": i} for i in range(3000)])
        stage.client.rec.fill.drop()
        shown = {"filled_docs_of_500kB": True, **_reopened(stage, event)}
        for name, each in idle.items():
            each.drain()
            shown[f"{name}: getMore"] = each.short()
            if each.error:
                each.error = None
                each.more()
                shown[f"{name}: getMore again"] = each.short()
        shown["pymongo watch left idle"] = _next_of(left)
    shown["pymongo resume_after"] = _driver_opened(stage, resume_after=event["_id"])
    shown["pymongo start_at_operation_time"] = _driver_opened(stage, start_at_operation_time=event["clusterTime"])
    return shown


def _reopened(stage, event):
    token, at = event["_id"], event["clusterTime"]
    after, since = {"resumeAfter": token}, {"startAtOperationTime": at}
    watch = stage.watch(options=after).drain()
    shown = {"coll resumeAfter, nothing newer on the collection": watch.short()}
    stage.client.rec.c.insert_one({"_id": ObjectId(), "after": 1})
    shown["... then one insert and getMore"] = watch.drain().short()
    newer = _driver_opened(stage, resume_after=token)
    shown["pymongo resume_after with a newer event"] = newer
    for level in ("coll", "db", "cluster"):
        shown[f"{level} resumeAfter"] = stage.watch(level, options=after).drain().short()
        shown[f"{level} startAtOperationTime"] = stage.watch(level, options=since).drain().short()
    later = {"startAtOperationTime": Timestamp(at.time, at.inc + 1)}
    shown["coll startAtOperationTime + 1"] = stage.watch(options=later).drain().short()
    first = {"startAtOperationTime": Timestamp(1, 1)}
    shown["coll startAtOperationTime Timestamp(1,1)"] = stage.watch(options=first).drain().short()
    missing = stage.watch(namespace=("rec", "never"), options=after).drain()
    return shown | {"missing collection resumeAfter": missing.short()}


def _next_of(stream):
    try:
        event = stream.try_next()
        return {"got": event and event["operationType"], "alive": stream.alive}
    except PyMongoError as error:
        return {"raised": shape.failure(error), "alive": stream.alive}


def _driver_opened(stage, **options):
    try:
        with stage.client.rec.c.watch(max_await_time_ms=50, **options) as stream:
            return repr(stream.try_next())
    except PyMongoError as error:
        return shape.failure(error)


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.02)
