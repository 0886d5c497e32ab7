"""A load, a catch-up and a verify as users run them, each in a process of its own: how much memory it needed at most.

Callers compare index and source after loads and catch-ups (`Ground.require_equal`).
"""

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.ground import DB, Ground, generated, log_toml
from benchmarks.processes import Beside, penstock
from benchmarks.rounds import say

BEHIND = 250_000
"""How far the worker falls behind: the local source's change log keeps somewhat more 500-byte changes than this."""

WITHIN_S = 900
_STARTS_WITHIN_S = 60
_LOOK_EVERY_S = 0.1


class Peak(NamedTuple):
    """The peak resident memory of a process, and its documents per second."""

    megabytes: float
    rate: float


def load_apart(at: Ground, name: str) -> Peak:
    """Load a collection from the start, with `penstock load`."""
    at.clear()
    with _folder() as folder, penstock(Path(folder), at.toml([name]), ["load"]) as process:
        notes = process.ended()
    at.require_count(name, at.mongo[DB][name].count_documents({}))
    [loaded] = notes["loads"]
    return Peak(notes["peak_bytes"] / 2**20, loaded["documents"] / loaded["seconds"])


def catch_up_apart(at: Ground, name: str, count: int) -> Peak:
    """Follow a new collection with `penstock run`, with enough inserts to keep it behind from start to end."""
    at.clear()
    at.mongo[DB].drop_collection(name)
    at.mongo[DB].create_collection(name)
    with _folder() as folder:
        with penstock(Path(folder), at.toml([name]), ["load"]) as process:
            process.ended()  # it loads nothing, but saves the position
        with penstock(Path(folder), at.toml([name]), ["run"]) as process:
            keep_behind(at, name, count, [process])
            notes = process.stopped()
    return _writing(notes)


def logged_apart(at: Ground, name: str, count: int, servers: str, prefix: str) -> dict[str, Peak]:
    """Follow a new collection with `penstock capture` and `penstock apply`, kept behind in the same way."""
    at.fresh([name])
    at.mongo[DB].drop_collection(name)
    at.mongo[DB].create_collection(name)
    settings = log_toml(at, name, servers, prefix)
    with _folder() as folder, ExitStack() as stack:
        commands = ("capture", "apply")
        processes = [stack.enter_context(penstock(Path(folder), settings, [command])) for command in commands]
        _until_loaded(at, processes)
        keep_behind(at, name, count, processes)
        captured, applied = (each.stopped() for each in processes)
    writing = _writing(applied)
    return {"penstock capture": Peak(captured["peak_bytes"] / 2**20, writing.rate), "penstock apply": writing}


def _until_loaded(at: Ground, processes: Sequence[Beside]) -> None:
    """Wait until the empty collection counts as loaded: what is inserted from now on comes by the stream alone."""
    began = time.monotonic()
    while True:
        for each in processes:
            each.require_running()
        found = at.client.request("GET", "/penstock-state/_search?size=100&ignore_unavailable=true").json()
        if any(hit["_source"].get("phase") == "live" for hit in found.get("hits", {}).get("hits", [])):
            return
        if time.monotonic() > began + _STARTS_WITHIN_S:
            raise SystemExit(f"the load did not end within {_STARTS_WITHIN_S} s: no figures")
        time.sleep(_LOOK_EVERY_S)


def keep_behind(at: Ground, name: str, count: int, processes: Sequence[Beside]) -> None:
    """Insert documents, as many as may wait, until this number of them is in the index."""
    documents, written, began = generated(count), 0, time.monotonic()
    while (indexed := _indexed(at, name, processes)) < count:
        say(f"catch-up: {indexed:,} of {count:,}", passing=True)
        written += at.fill(name, documents, most=BEHIND - (written - indexed))
        if time.monotonic() > began + WITHIN_S:
            raise SystemExit(f"not done within {WITHIN_S} s: no figures")
    at.require_count(name, count)
    say()


def verify_apart(at: Ground, name: str) -> Peak:
    """Verify a collection that is equal to its index, with `penstock verify`. Raises SystemExit if it is not."""
    with _folder() as folder, penstock(Path(folder), at.toml([name]), ["verify", "--json", "--restart"]) as process:
        found = process.answer()
        if found.get("verdict") != "equal":
            raise SystemExit(f"{name} is not equal to its index: no figures")
        notes = process.ended()
    return Peak(notes["peak_bytes"] / 2**20, found["documents"] / found["seconds"])


def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="penstock-bench-")


def _writing(notes: dict[str, Any]) -> Peak:
    return Peak(notes["peak_bytes"] / 2**20, notes["writes"] / notes["writing_s"])


def _indexed(at: Ground, name: str, processes: Sequence[Beside]) -> int:
    for each in processes:
        each.require_running()
    time.sleep(_LOOK_EVERY_S)
    return at.operations(name)
