"""A change stream driven by raw commands, so that every reply can be compared."""

import contextlib
import time

from bson import Int64
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.errors import PyMongoError

from testkit.record import shape

KINDS = [("coll", False), ("coll", True), ("db", False), ("db", True), ("cluster", False), ("cluster", True)]
QUICK_MS = 25


class Watch:
    """A stream on a collection, a database or the cluster; `options` go into `$changeStream`."""

    def __init__(self, client, level="coll", namespace=("rec", "c"), *, lookup=False, options=None, raw=False, **extra):
        self.session = client.start_session(causal_consistency=False)
        self.database = client.admin if level == "cluster" else client[namespace[0]]
        self._codec = CodecOptions(document_class=RawBSONDocument if raw else dict, tz_aware=True)
        self.events, self.batches, self.error, self.where = [], [], None, None
        self.closed, self.cursor_id = False, 0
        stage = _stage(level, lookup, options)
        command = {
            "aggregate": namespace[1] if level == "coll" else 1,
            "pipeline": [{"$changeStream": stage}, *extra.pop("pipeline", ())],
            "cursor": extra.pop("cursor", {}),
            **extra,
        }
        try:
            self.first = self._command(command)
        except PyMongoError as error:
            self.error, self.where = error, "aggregate"
            return
        self._take(self.first, "firstBatch")
        self.cursor_id = self.first["cursor"]["id"]
        self.namespace = self.first["cursor"]["ns"].split(".", 1)[1]

    def _command(self, command):
        return self.database.command(command, session=self.session, codec_options=self._codec)

    def _take(self, reply, key):
        batch = reply["cursor"][key]
        self.last = reply
        self.events += batch
        self.batches.append(len(batch))
        self.closed = reply["cursor"]["id"] == 0
        return batch

    def more(self, milliseconds=QUICK_MS, **extra):
        command = {"getMore": Int64(self.cursor_id), "collection": self.namespace, **extra}
        if milliseconds is not None:
            command["maxTimeMS"] = milliseconds
        start = time.monotonic()
        try:
            return self._take(self._command(command), "nextBatch")
        except PyMongoError as error:
            self.error, self.where = error, "getMore"
            return None
        finally:
            self.took = time.monotonic() - start

    def drain(self, milliseconds=QUICK_MS):
        """Read until nothing comes."""
        for _ in range(60):
            if self.closed or self.error or not self.more(milliseconds):
                break
        return self

    def wait(self, count):
        """Read until this number of events has come."""
        end = time.monotonic() + 60
        while len(self.events) < count and not self.closed and not self.error and time.monotonic() < end:
            self.more(300)
        return self

    def more_or_error(self, milliseconds=QUICK_MS, **extra):
        """One more getMore after an error or the end; answers its own failure, or `ok`."""
        self.error = None
        self.more(milliseconds, **extra)
        return shape.failure(self.error) if self.error else "ok"

    def short(self, most=4):
        """What came, in short."""
        shown = {}
        if self.error:
            shown["error"] = {"at": self.where, **shape.failure(self.error)}
        kept = ("operationType", "documentKey", "ns")
        if self.where != "aggregate":
            shown["events"] = [{name: event[name] for name in kept if name in event} for event in self.events[:most]]
        if len(self.events) > most:
            shown["moreEvents"] = len(self.events) - most
        if self.closed:
            shown["cursorClosed"] = True
        return shown

    def close(self):
        if self.cursor_id and not self.closed:
            with contextlib.suppress(PyMongoError):
                self.database.command({"killCursors": self.namespace, "cursors": [Int64(self.cursor_id)]})
        self.session.end_session()


def _stage(level, lookup, options):
    if options is not None and not isinstance(options, dict):
        return options
    stage = {"fullDocument": "updateLookup"} if lookup else {}
    if level == "cluster":
        stage["allChangesForCluster"] = True
    return {**stage, **(options or {})}
