"""Writes documents at fixed times, no matter whether the last one has arrived: an open loop.

    python benchmarks/writer.py SOURCE_URI DATABASE NOTES

Reads lines {"coll": ..., "first": 0, "count": 20, "rate": 10} and answers each with what it wrote: the id of each
document, when it was due, when it was sent, and when the source had it.
"""

import sys
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pymongo

from benchmarks.ground import generated


def write(collection: Any, first: int, count: int, rate: float) -> Iterator[tuple[str, float, float, float]]:
    documents = list(generated(count))
    begin = time.monotonic() + 0.05
    for place, document in enumerate(documents):
        due = begin + place / rate
        time.sleep(max(0.0, due - time.monotonic()))
        sent = time.monotonic()
        collection.insert_one({**document, "number": first + place})
        yield str(document["_id"]), due, sent, time.monotonic()


def main() -> None:
    uri, database, _ = sys.argv[1:]
    with pymongo.MongoClient(uri) as mongo:
        for line in sys.stdin:
            asked = orjson.loads(line)
            collection = mongo[database][asked.pop("coll")]
            sys.stdout.buffer.write(orjson.dumps(list(write(collection, **asked))) + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
