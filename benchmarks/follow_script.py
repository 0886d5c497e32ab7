"""What people write to follow a collection: `watch` and `helpers.bulk`, sent when 500 wait or nothing more is there.

    python benchmarks/follow_script.py SOURCE_URI SINK_URL DATABASE COLLECTION INDEX NOTES

Prints a line once it follows, and notes when each document was acknowledged.
"""

import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import opensearchpy
import orjson
import pymongo

_AT_ONCE = 500
_WAIT_MS = 10
"""By default, the driver waits a second for another event before it reports that there is none."""


def action(change: dict[str, Any], index: str) -> dict[str, Any]:
    if change["operationType"] == "delete":
        return {"_op_type": "delete", "_index": index, "_id": str(change["documentKey"]["_id"])}
    document = change["fullDocument"]
    return {"_index": index, "_id": str(document.pop("_id")), "_source": document}


def follow(uri: str, url: str, database: str, coll: str, index: str, stop: threading.Event) -> dict[str, float]:
    acknowledged: dict[str, float] = {}
    waiting: list[dict[str, Any]] = []
    with (
        pymongo.MongoClient(uri) as mongo,
        opensearchpy.OpenSearch(url) as client,
        mongo[database][coll].watch(full_document="updateLookup", max_await_time_ms=_WAIT_MS) as stream,
    ):
        print("{}", flush=True)
        while not stop.is_set():
            change = stream.try_next()
            if change is not None:
                waiting.append(action(change, index))
            if waiting and (change is None or len(waiting) >= _AT_ONCE):
                opensearchpy.helpers.bulk(client, waiting)
                at = time.monotonic()
                acknowledged |= {each["_id"]: at for each in waiting}
                waiting.clear()
    return acknowledged


def main() -> None:
    *where, notes = sys.argv[1:]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    Path(notes).write_bytes(orjson.dumps({"acknowledged": follow(*where, stop)}))


if __name__ == "__main__":
    main()
