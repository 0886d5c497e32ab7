"""`penstock load` of what topics feed: plans what nobody has planned, takes part, and shows the progress."""

import threading
import time
from functools import partial

import structlog

from penstock.delivery.shared_load.conductor import Conductor, Shown, counts_of
from penstock.delivery.shared_load.watch import UnderWay, under_way
from penstock.errors import LeaseLost
from penstock.kafka.connection import require_brokers
from penstock.observe.metrics import Metrics
from penstock.opensearch.state.shared_load import LoadShares, unfinished
from penstock.planner import Planner
from penstock.runtime.intervals import INTERVALS, Intervals
from penstock.settings import Settings
from penstock.wiring import Wiring, wired
from penstock.worker import worker
from penstock.worker.progress import LoadResult, Progress, peak_memory_bytes

log = structlog.get_logger(__name__)

_PLANNED_WITHIN_S = 30.0
"""How long another process that has the lease may take until it has planned a load."""


def load(
    settings: Settings,
    *,
    stop: threading.Event,
    metrics: Metrics,
    progress: Progress,
    only: frozenset[str],
    again: bool = False,
    intervals: Intervals = INTERVALS,
) -> list[LoadResult]:
    """Do what `penstock.worker.worker.load` does, with all processes of `penstock apply`; see there.

    A load that another process conducts is watched.
    """
    require_brokers(settings.log, stop)
    results: list[LoadResult] = []
    sharing = partial(Conductor, takes_part=True)
    until = time.monotonic() + _PLANNED_WITHIN_S
    while only and not stop.is_set():
        try:
            return results + worker.load(
                settings,
                stop=stop,
                metrics=metrics,
                progress=progress,
                only=only,
                again=again,
                intervals=intervals,
                sharing=sharing,
            )
        except LeaseLost as lost:
            watched = _watched(settings, only, metrics, progress, stop, intervals)
            results += watched
            only -= {each.namespace for each in watched}
            if not watched and time.monotonic() > until:
                raise
            log.info("another process conducts a load", reason=str(lost))
            stop.wait(intervals.standby_s)
    return results


def _watched(
    settings: Settings,
    only: frozenset[str],
    metrics: Metrics,
    progress: Progress,
    stop: threading.Event,
    intervals: Intervals,
) -> list[LoadResult]:
    """Watch the loads that others conduct, one after the other; return those that have come to their end."""
    with wired(settings, metrics=metrics, stop=stop, intervals=intervals) as wiring:
        found = under_way(Planner(settings), wiring, stop)
        chosen = [each for each in found if str(each.collection.namespace) in only]
        return [result for each in chosen if (result := _watch(each, wiring, progress, stop))]


def _watch(this: UnderWay, wiring: Wiring, progress: Progress, stop: threading.Event) -> LoadResult | None:
    name, index = str(this.collection.namespace), this.collection.index
    store = wiring.store(stop)
    shares = LoadShares(store, name, index, this.load)
    progress.started(name, this.load.documents)
    shown = Shown(progress, name)
    while True:
        said = shares.read()
        shown.show(said)
        document = this.document(store)
        if unfinished(document) != this.load:
            break
        if stop.wait(wiring.intervals.shared_load_s):
            return None
    if document is None or document["phase"] != "live":
        return None
    progress.finished(name)
    counts = counts_of(said)
    seconds = time.time() - this.load.begun_at
    return LoadResult(name, counts.read, seconds, 0.0, peak_memory_bytes(), counts, ranges=this.load.ranges)
