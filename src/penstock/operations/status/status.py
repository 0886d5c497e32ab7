"""How each collection stands: from the state that workers keep, the source's clock and the counts on both sides."""

import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import replace

from penstock.connections import parking_queue
from penstock.errors import QueueUnavailable
from penstock.opensearch.state.store import StateDocument
from penstock.operations.inspect.liveness import alive, beating
from penstock.operations.status.report import CollectionStatus, GenerationStatus, Status
from penstock.operations.status.watch import StatusWatch
from penstock.runtime.intervals import INTERVALS, Intervals
from penstock.settings import Settings

__all__ = ["CollectionStatus", "GenerationStatus", "Status", "status"]


def status(settings: Settings, tables: Iterable[str] = (), intervals: Intervals = INTERVALS) -> Status:
    """Look at everything once. Raises SettingsError, SinkUnavailable.

    It takes `intervals.rate_s` more, for the rate, where no worker has measured it. `tables` are the names in the
    settings as they are written, patterns among them.
    """

    def running(states: Mapping[str, StateDocument]) -> frozenset[str]:
        leases = {name: each for name, each in states.items() if each["kind"] != "worker"}
        there = alive(leases, watch.view.states, every_s=intervals.liveness_s)
        workers = {name: each for name, each in states.items() if name not in leases}
        look, every_s = watch.view.states, intervals.liveness_s
        return there | beating(workers, look, every_s=every_s, within_s=intervals.silent_s)

    with closing(StatusWatch(settings, tables, intervals)) as watch:
        watch.refresh()
        found = watch.look(running)
        if any(each.writes_per_s is None and each.documents_index is not None for each in found.collections):
            time.sleep(intervals.rate_s)
            found = watch.look(running)
    if not settings.pipeline.parking_queue:
        return found
    try:
        return replace(found, parked=parking_queue(settings).waiting())
    except QueueUnavailable as error:
        return replace(found, queue_problem=str(error))
