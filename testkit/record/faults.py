"""Cases about events that are too large, cut connections and step-downs."""

import socket
import threading
import time

import bson
from bson import Int64, ObjectId
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from testkit.record import shape
from testkit.record.positions import wait_for
from testkit.record.watch import Watch

LIMIT = 16 * 1024 * 1024
BIG = {"_id": "L", "big": "x" * (14 * 1024 * 1024 + 900000), "f": "y" * 1000000}
WITHOUT_FIELDS = [{"$project": {"updateDescription.updatedFields": 0}}]


def play_large(stage):
    stage.do("db.drop_collection('lg')")
    stage.attempt("large", "insert of exactly 16 MiB (16777216 bytes)", lambda: _largest(stage))
    name = "15.6 MB + 1 MB document, updateLookup, 1 MB field replaced"
    stage.attempt("large", name, lambda: _drained(stage, lookup=True))
    stage.attempt("large", "the same without lookup", lambda: _drained(stage, lookup=False))
    name = "the too large event read with batchSize 1, and ways round it"
    stage.attempt("large", name, lambda: _one_by_one(stage))
    name = "pymongo watch updateLookup over the too large event"
    stage.attempt("large", name, lambda: _driver_over(stage))
    stage.do("db.drop_collection('lg')")


def _watch(stage, **options):
    return stage.watch(namespace=("rec", "lg"), **options)


def _largest(stage):
    watch = _watch(stage)
    size = LIMIT - len(bson.encode({"_id": "max", "b": ""}))
    stage.client.rec.lg.insert_one({"_id": "max", "b": "x" * size})
    watch.drain().close()
    return {**watch.short(), "len": len(watch.events[0]["fullDocument"]["b"]) == size}


def _prepare(stage):
    stage.client.rec.lg.delete_many({})
    stage.client.rec.lg.insert_one(BIG)


def _change(stage):
    stage.client.rec.lg.insert_one({"_id": "before"})
    stage.client.rec.lg.update_one({"_id": "L"}, {"$set": {"f": "z" * 1000000}})
    stage.client.rec.lg.insert_one({"_id": "after"})


def _drained(stage, *, lookup):
    _prepare(stage)
    watch = _watch(stage, lookup=lookup)
    _change(stage)
    watch.drain().close()
    return {"batches": watch.batches, **watch.short()}


def _one_by_one(stage):
    _prepare(stage)
    watch = _watch(stage, lookup=True)
    _change(stage)
    watch.more(batchSize=1)
    shown = {"batchSize 1, first getMore": watch.short()}
    token = watch.events[-1]["_id"]
    shown["second getMore"] = watch.more_or_error(batchSize=1)
    shown["getMore after the error"] = watch.more_or_error(batchSize=1)
    for name, options in (
        ("with lookup", {"lookup": True}),
        ("without lookup", {}),
        ("with lookup, $project updatedFields 0", {"lookup": True, "pipeline": WITHOUT_FIELDS}),
        ("with lookup, $project fullDocument 0", {"lookup": True, "pipeline": [{"$project": {"fullDocument": 0}}]}),
        (
            "with lookup, $match operationType insert",
            {"lookup": True, "pipeline": [{"$match": {"operationType": "insert"}}]},
        ),
    ):
        again = _watch(stage, options={"resumeAfter": token}, **options).drain()
        again.close()
        shown[f"resumeAfter the token before it, {name}"] = again.short()
    return shown


def _driver_over(stage):
    _prepare(stage)
    with stage.client.rec.lg.watch(full_document="updateLookup", max_await_time_ms=50) as stream:
        _change(stage)
        stage.listener.begin()
        try:
            seen = [str(stream.next()["documentKey"]["_id"])]
        except PyMongoError as error:
            commands = [note["command"] for note in stage.listener.end()]
            raised = shape.failure(error)
            return {"seen": [], "raised": raised, "alive": stream.alive, "commands": commands}
        return {"seen": seen, "alive": stream.alive}


class Proxy(threading.Thread):
    """Passes connections on until they are cut."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._ends = []
        self.start()

    def run(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            self._ends += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source, target):
        with source:
            try:
                while data := source.recv(65536):
                    target.sendall(data)
            except OSError:
                pass
            self._shut([source, target])

    def cut(self):
        ends, self._ends = self._ends, []
        self._shut(ends)

    def close(self):
        self._shut([self._listener])
        self._listener.close()
        self.cut()

    @staticmethod
    def _shut(ends):
        for end in ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


def play_connection(stage):
    proxy = Proxy(stage.client.address[1])
    settings = {"socketTimeoutMS": 20000, "serverSelectionTimeoutMS": 8000, "directConnection": True, "tz_aware": True}
    with MongoClient("127.0.0.1", proxy.port, event_listeners=[stage.listener], **settings) as client:
        stage.attempt("connection", "connection cut during getMore (raw)", lambda: _cut_raw(client, proxy))
        for name, seen in (("before any event", False), ("after an event", True)):
            cut = lambda seen=seen: _cut_driver(stage, client, proxy, seen)  # noqa: E731
            stage.attempt("connection", f"pymongo watch, connection cut {name}", cut)
    proxy.close()
    killed = "pymongo watch, cursor killed behind its back"
    stage.attempt("connection", killed, lambda: _killed_driver(stage))


def _cut_raw(client, proxy):
    watch = Watch(client)
    threading.Timer(0.5, proxy.cut).start()
    watch.more(3000)
    shown = {"took_s": round(watch.took, 1), "error": shape.failure(watch.error)}
    return shown | {"same cursor afterwards over a new connection": watch.more_or_error(300)}


def _cut_driver(stage, client, proxy, seen):
    key = f"cut-{seen}"
    stage.client.rec.c.delete_one({"_id": key})
    stage.client.rec.elsewhere.insert_one({})  # a stream that saw nothing resumes by the time of what came last
    stage.listener.begin(with_sent=True)
    with client.rec.c.watch(max_await_time_ms=1500) as stream:
        if seen:
            stage.client.rec.c.insert_one({"_id": ObjectId()})
            stream.next()
        stage.listener.end()
        stage.listener.begin(with_sent=True)

        def cut():
            proxy.cut()
            stage.client.rec.c.insert_one({"_id": key, "v": 1})

        threading.Timer(0.4, cut).start()
        event = next(event for event in iter(stream.try_next, stage) if event)
        notes = stage.listener.end()
    return {
        "got": {name: event[name] for name in ("operationType", "documentKey")},
        "commands": [note for note in notes if "sent" in note][:6],
        "failures": [note for note in notes if "failure" in note],
    }


def _killed_driver(stage):
    with stage.client.rec.c.watch(max_await_time_ms=500) as stream:
        stage.client.rec.c.insert_one({"_id": ObjectId()})
        stream.next()
        kill = {"killCursors": "c", "cursors": [Int64(stream._cursor.cursor_id)]}
        stage.other.rec.command(kill)
        stage.other.rec.c.insert_one({"_id": ObjectId(), "k": 1})
        stage.listener.begin(with_sent=True)
        event = stream.next()
        notes = stage.listener.end()
    commands = [note if "sent" in note else {k: v for k, v in note.items() if k != "reply"} for note in notes]
    return {"got": event["operationType"], "commands": commands}


def play_step_down(stage):
    with MongoClient(stage.uri, socketTimeoutMS=20000, serverSelectionTimeoutMS=8000) as client:
        stage.attempt("stepdown", "step-down during a waiting getMore (raw)", lambda: _stepped_down_raw(stage, client))
        stage.attempt("stepdown", "step-down, pymongo watch", lambda: _stepped_down_driver(stage, client))


def _step_down(client):
    try:
        return {"stepDownReply": client.admin.command({"replSetStepDown": 1, "force": True})}
    except PyMongoError as error:
        return {"stepDownError": shape.failure(error)}


def _is_primary(client):
    try:
        return client.admin.command("isMaster")["ismaster"]
    except PyMongoError:
        return False


def _stepped_down_raw(stage, client):
    watch = stage.watch()
    thread = threading.Thread(target=lambda: watch.more(8000))
    thread.start()
    time.sleep(0.5)
    shown = _step_down(client)
    thread.join()
    shown["getMore"] = {"took_s": round(watch.took, 1), **watch.short()}
    wait_for(lambda: _is_primary(client))
    return shown | {"same cursor afterwards": watch.more_or_error(300)}


def _stepped_down_driver(stage, client):
    with stage.client.rec.c.watch(max_await_time_ms=500) as stream:
        stage.client.rec.c.insert_one({"_id": ObjectId()})
        stream.next()
        stage.listener.begin(with_sent=True)

        def later():
            _step_down(client)
            wait_for(lambda: _is_primary(client))
            client.rec.c.insert_one({"_id": ObjectId(), "sd": 1})

        timer = threading.Timer(0.3, later)
        timer.start()
        event = next(event for event in iter(stream.try_next, stage) if event)
        timer.join()
        notes = stage.listener.end()
    return {
        "got": event["operationType"],
        "failures": [note for note in notes if "failure" in note][:4],
        "aggregates sent": [note for note in notes if "aggregate" in note.get("sent", {})],
    }
