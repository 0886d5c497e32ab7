"""Cases about the options, tokens and stages of `$changeStream`, and about what can be done to its cursor."""

import datetime
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from bson import Binary, Int64, ObjectId, Timestamp
from pymongo.errors import PyMongoError

from testkit.record import shape

SECTION = "options"
STAGES = [
    {"$group": {"_id": 1}}, {"$sort": {"_id": 1}}, {"$limit": 1}, {"$skip": 1},
    {"$lookup": {"from": "d2", "localField": "a", "foreignField": "b", "as": "z"}}, {"$out": "o"},
    {"$facet": {"a": []}}, {"$count": "n"}, {"$sample": {"size": 1}}, {"$unwind": "$a"}, {"$sortByCount": "$a"},
    {"$bucketAuto": {"groupBy": "$a", "buckets": 2}}, {"$indexStats": {}}, {"$collStats": {}},
    {"$graphLookup": {"from": "d2", "startWith": "$a", "connectFromField": "a", "connectToField": "b", "as": "z"}},
    {"$geoNear": {"near": [0, 0], "distanceField": "d"}}, {"$changeStream": {}}, {"$currentOp": {}},
    {"$listSessions": {}}, {"$set": {"x": 1}}, {"$unset": "x"}, {"$replaceWith": "$fullDocument"},
    {"$merge": {"into": "o"}}, {"$unionWith": "d2"}, {"$nosuch": 1}, {"$changeStreamSplitLargeEvent": {}},
    {"$match": {"$where": "1"}}, {"$match": {"$text": {"$search": "x"}}}, {"$match": {"$bad": 1}}, {},
    {"$match": {}, "$project": {}},
]  # fmt: skip
PIPELINES = [
    [{"$match": {"operationType": "update"}}],
    [{"$match": {"fullDocument._id": 2}}],
    [{"$match": {"documentKey._id": {"$in": [3, 4]}}}],
    [{"$match": {"ns.coll": "c", "operationType": {"$in": ["insert", "delete"]}}}, {"$project": {"documentKey": 1}}],
    [{"$project": {"_id": 0}}],
    [{"$project": {"fullDocument": 0}}],
    [{"$addFields": {"k": "$documentKey._id"}}],
    [{"$replaceRoot": {"newRoot": "$documentKey"}}],
    [{"$redact": "$$KEEP"}],
    [{"$match": {"$expr": {"$gt": ["$documentKey._id", 2]}}}],
    [{"$match": {"_id": 5}}],
    [{"$match": {"clusterTime": {"$gt": Timestamp(1, 1)}}}, {"$project": {"clusterTime": 1, "operationType": 1}}],
]
OPTIONS = [
    {"fullDocument": "bogus"}, {"fullDocument": "default"}, {"fullDocument": "whenAvailable"},
    {"fullDocument": "required"}, {"fullDocument": 5}, {"fullDocument": None}, {"fullDocumentBeforeChange": "off"},
    {"fullDocumentBeforeChange": "whenAvailable"}, {"showExpandedEvents": True}, {"nosuch": 1},
    {"allChangesForCluster": True}, {"startAfter": None}, {"startAtOperationTime": None},
]  # fmt: skip
DAMAGED = [
    ("{'_data': 'zz'}", {"_data": "zz"}), ("{'_data': '8200'}", {"_data": "8200"}), ("{'_data': ''}", {"_data": ""}),
    ("{'_data': '82'}", {"_data": "82"}), ("{'_data': '8'}", {"_data": "8"}), ("{}", {}), ("{'x': 1}", {"x": 1}),
    ("'string'", "abc"), ("5", 5), ("None", None), ("{'_data': 5}", {"_data": 5}),
    ("{'_data': Binary}", {"_data": Binary(b"\x82\x00\x00\x00")}), ("[]", []),
]  # fmt: skip


class Options:
    """The cases, on a collection with five inserts and an update, and another with three inserts."""

    def __init__(self, stage):
        self.stage = stage
        self._play_events()
        while self.update_time.time != self.events[1]["clusterTime"].time:  # a second ended among them
            self._play_events()

    def _play_events(self):
        self.stage.do("db.drop_collection('c')", "db.drop_collection('d2')")
        self.stage.do("db.create_collection('c')", "db.create_collection('d2')")
        self.events = self._events("c", "c.insert_many([{'_id': i} for i in range(5)])", 5)
        self.tokens = [event["_id"] for event in self.events]
        self.others = self._events("d2", "d2.insert_many([{'_id': i} for i in range(3)])", 3)
        (updated,) = self._events("c", "c.update_one({'_id': 0}, {'$set': {'q': 1}})", 1)
        self.update, self.update_time = updated["_id"], updated["clusterTime"]

    def _events(self, collection, operation, count):
        watch = self.stage.watch(namespace=("rec", collection))
        self.stage.do(operation)
        watch.wait(count).close()
        return watch.events

    def try_watch(self, name, level="coll", loops=1, **options):
        def run():
            watch = self.stage.watch(level, **options)
            for _ in range(loops):
                if not watch.error and not watch.closed:
                    watch.more()
            watch.close()
            return watch.short()

        self.stage.attempt(SECTION, name, run)

    def resume(self, name, token, **options):
        self.try_watch(f"resumeAfter {name}", options={"resumeAfter": token}, **options)

    def play_tokens(self):
        good, text = self.tokens[1], self.tokens[1]["_data"]
        self.resume("a good token (of event 2 of 5)", good)
        self.resume("last token", self.tokens[4])
        self.resume("update token", self.update)
        self.resume("good token, lookup", good, lookup=True)
        for name, token in DAMAGED:
            self.resume(name, token)
        self.resume("good token + extra field", {**good, "x": 1})
        self.resume("good token in lower case", {"_data": text.lower()})
        self.resume("good token + trailing 00", {"_data": text + "00"})
        self.resume("good token cut by 4 hex digits", {"_data": text[:-4]})
        self.resume("only the timestamp part (18 hex)", {"_data": text[:18]})
        self.resume("timestamp part + 04", {"_data": text[:18] + "04"})
        increment = int(text[10:18], 16) + 50000
        no_event = {"_data": f"{text[:10]}{increment:08X}{text[18:]}"}
        self.resume("token with a time that has no event (inc + 50000)", no_event, loops=2)
        future = {"_data": f"82{int(text[2:10], 16) + 3600:08X}{text[10:]}"}
        self.resume("token with a time 1 h in the future", future, loops=2)
        wrong = {"_data": text[:22] + ("00" if text[22:24] != "00" else "11") + text[24:]}
        self.resume("token with right time, wrong uuid", wrong, loops=2)
        self.resume("token of another collection", self.others[0]["_id"], loops=2)
        self.resume("token of another collection (last event)", self.others[2]["_id"], loops=2)
        self.play_scopes(good)

    def play_scopes(self, good):
        after = {"resumeAfter": good}
        self.try_watch("db stream resumeAfter coll token", "db", 2, options=after)
        self.try_watch("cluster stream resumeAfter coll token", "cluster", 2, options=after)
        elsewhere = ("rec2", "c")
        self.try_watch("db stream of another db resumeAfter coll token", "db", 2, options=after, namespace=elsewhere)
        hides = [{"$match": {"documentKey._id": 4}}]
        self.resume("with $match that hides the token event", good, pipeline=hides)
        self.resume("on a collection that does not exist", good, loops=2, namespace=("rec", "nocoll"))
        self.try_watch("startAfter a good token", options={"startAfter": good})
        at = self.events[1]["clusterTime"]
        self.try_watch("resumeAfter + startAtOperationTime", options={**after, "startAtOperationTime": at})
        self.try_watch("resumeAfter + startAfter", options={**after, "startAfter": good})

    def play_times(self):
        def at(name, value, **options):
            self.try_watch(f"startAtOperationTime {name}", options={"startAtOperationTime": value}, **options)

        at("= clusterTime of event 2 (inclusive?)", self.events[1]["clusterTime"])
        at("Timestamp(0,0)", Timestamp(0, 0))
        at("Timestamp(1,1) before the oplog", Timestamp(1, 1))
        at("date", datetime.datetime(2018, 1, 1, tzinfo=datetime.UTC))
        at("1 h in the future", Timestamp(int(time.time()) + 3600, 1), loops=2)
        name = "startAtOperationTime 4 s in the future, inserts now and after 5 s"
        self.stage.attempt(SECTION, name, self.from_the_future)

    def from_the_future(self):
        watch = self.stage.watch(options={"startAtOperationTime": Timestamp(int(time.time()) + 4, 0)})
        collection = self.stage.client.rec.c
        collection.insert_one({"_id": "tooearly"})
        time.sleep(5)
        collection.insert_one({"_id": "late enough"})
        watch.drain(400).close()
        return watch.short()

    def play_stages(self):
        for option in OPTIONS:
            self.try_watch(f"option {option!r}", options=option)
        self.try_watch("$changeStream: 5", options=5)
        self.try_watch("$changeStream: null", options=False)
        for stage in STAGES:
            self.try_watch(f"stage {json.dumps(stage)}", pipeline=[stage])
        for pipeline in PIPELINES:
            name = f"pipeline {json.dumps(pipeline, default=str)}"
            self.stage.attempt(SECTION, name, lambda pipeline=pipeline: self.through(pipeline))
        self.stage.attempt(SECTION, "pymongo watch with $project _id 0", self.without_token)

    def through(self, pipeline):
        watch = self.stage.watch(pipeline=pipeline, options={"resumeAfter": self.tokens[0]})
        if watch.error:
            raise watch.error
        watch.more()
        watch.close()
        return {"events": watch.events[:2], "n": len(watch.events)}

    def without_token(self):
        with self.stage.client.rec.c.watch([{"$project": {"_id": 0}}], max_await_time_ms=200) as stream:
            self.stage.client.rec.c.insert_one({"_id": ObjectId()})
            return {"got": stream.next()}

    def play_command(self):
        database = self.stage.client.rec
        streams = [{"$changeStream": {}}]
        not_first = {"aggregate": "c", "pipeline": [{"$match": {}}, *streams], "cursor": {}}
        explained = {"aggregate": "c", "pipeline": streams, "explain": True}
        attempt = self.stage.attempt
        attempt(SECTION, "$changeStream not first", lambda: database.command(not_first))
        without = {"aggregate": "c", "pipeline": streams}
        attempt(SECTION, "$changeStream without cursor option", lambda: database.command(without))
        attempt(SECTION, "$changeStream explain", lambda: {"keys": list(database.command(explained))})
        for level in ("local", "majority", "available", "linearizable", "snapshot"):
            self.try_watch(f"readConcern {level}", readConcern={"level": level})
        self.try_watch("maxTimeMS 5000 on aggregate", maxTimeMS=5000)
        self.try_watch("cursor.batchSize -1", cursor={"batchSize": -1})
        self.try_watch("collation", collation={"locale": "fr", "strength": 1})
        self.try_watch("hint", hint="_id_")
        self.try_watch("allowDiskUse", allowDiskUse=True)
        self.try_watch("unknown aggregate field", nosuchfield=1)
        self.try_watch("comment", comment="abc")
        self.try_watch("comment document", comment={"a": 1})

    def play_namespaces(self):
        for database, collection in (
            ("rec", "system.profile"), ("rec", "system.views"), ("local", "oplog.rs"), ("admin", "x"), ("config", "x"),
            ("rec", "a$b"), ("rec", "x" * 130),
        ):  # fmt: skip
            shown = collection if len(collection) < 30 else "xxx*"
            self.try_watch(f"coll stream on {database}.{shown}", namespace=(database, collection))
        for database in ("local", "admin", "config"):
            self.try_watch(f"db stream on {database}.x", "db", namespace=(database, "x"))
        cluster = {"allChangesForCluster": True}
        self.try_watch("allChangesForCluster on aggregate:1 of db rec", "db", options=cluster)
        self.stage.do("db.create_collection('vw', viewOn='c', pipeline=[])")
        self.try_watch("stream on a view", namespace=("rec", "vw"))
        self.stage.do("db.vw.drop()")

    def play_cursors(self):
        for name, run in (
            ("getMore on a killed cursor", self.killed),
            ("getMore on an unknown cursor id", self.unknown),
            ("getMore with another collection name", self.wrong_name),
            ("getMore in another session", self.wrong_session),
            ("getMore batchSize -1", self.negative_batch),
            ("two getMore at once on one cursor", self.twice),
        ):
            self.stage.attempt(SECTION, name, run)
        slow = {
            "killCursors while a getMore waits": self.killed_while_waiting,
            "killOp on a waiting getMore": self.operation_killed,
        }
        with ThreadPoolExecutor(len(slow)) as pool:
            list(pool.map(lambda name: self.stage.attempt(SECTION, name, slow[name]), slow))
        for command in ("killSessions", "endSessions"):
            name = f"{command} of the stream session"
            self.stage.attempt(SECTION, name, lambda command=command: self.session_ended(command))

    def killed(self):
        watch = self.stage.watch()
        kill = {"killCursors": "c", "cursors": [Int64(watch.cursor_id), Int64(12345)]}
        reply = self.stage.client.rec.command(kill)
        watch.more()
        return {"killCursorsReply": reply, **watch.short()}

    def unknown(self):
        watch = self.stage.watch()
        watch.cursor_id = 4242424242
        watch.more()
        return watch.short()

    def wrong_name(self):
        watch = self.stage.watch()
        watch.namespace = "other"
        watch.more()
        return watch.short()

    def wrong_session(self):
        watch = self.stage.watch()
        watch.session = self.stage.other.start_session(causal_consistency=False)
        watch.more()
        return watch.short()

    def negative_batch(self):
        watch = self.stage.watch()
        watch.more(batchSize=-1)
        return watch.short()

    def _waiting(self, watch, milliseconds):
        """Start a getMore and answer its thread once the server is at it."""
        thread = threading.Thread(target=lambda: watch.more(milliseconds))
        thread.start()
        while not self._operation(watch):
            time.sleep(0.01)
        return thread

    def _operation(self, watch):
        running = self.stage.client.admin.command({"currentOp": 1, "op": "getmore"})["inprog"]
        return next((each for each in running if each.get("command", {}).get("getMore") == watch.cursor_id), None)

    def twice(self):
        watch = self.stage.watch()
        thread = self._waiting(watch, 1000)
        second = {"getMore": Int64(watch.cursor_id), "collection": "c", "maxTimeMS": 200}
        try:
            self.stage.other.rec.command(second)
        except PyMongoError as error:
            return {"second": shape.failure(error)}
        else:
            return {"second": "ok"}
        finally:
            thread.join()
            watch.close()

    def killed_while_waiting(self):
        watch = self.stage.watch()
        thread = self._waiting(watch, 4000)
        reply = self.stage.client.rec.command({"killCursors": "c", "cursors": [Int64(watch.cursor_id)]})
        thread.join()
        return {"killReply": reply, "took_s": round(watch.took, 1), **watch.short()}

    def operation_killed(self):
        watch = self.stage.watch()
        thread = self._waiting(watch, 4000)
        reply = self.stage.client.admin.command({"killOp": 1, "op": self._operation(watch)["opid"]})
        thread.join()
        shown = {"killReply": reply, "took_s": round(watch.took, 1), **watch.short()}
        return shown | {"getMore after it": watch.more_or_error()}

    def session_ended(self, command):
        watch = self.stage.watch()
        self.stage.client.admin.command({command: [watch.session.session_id]})
        watch.more()
        return watch.short()


def play(stage):
    options = Options(stage)
    options.play_tokens()
    options.play_times()
    options.play_stages()
    options.play_command()
    options.play_namespaces()
    options.play_cursors()
