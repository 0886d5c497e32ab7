"""The verify of the declared collections, one after the other."""

import threading
from collections.abc import Callable, Iterator

from penstock.errors import IndexUnreadable, SettingsError
from penstock.observe.metrics import Metrics
from penstock.operations.verify.findings import Verified
from penstock.operations.verify.generation import VerifyListener, VerifyOptions, verify
from penstock.planner import Planner
from penstock.runtime.intervals import INTERVALS, Intervals
from penstock.settings import Settings
from penstock.wiring import wired
from penstock.worker.recovery.source_rewind import require_same_source


def verify_all(
    settings: Settings,
    how: VerifyOptions,
    *,
    only: frozenset[str],
    stop: threading.Event,
    telling: Callable[[str], VerifyListener],
    intervals: Intervals = INTERVALS,
) -> Iterator[Verified]:
    """Verify those collections of `only`, and yield what became of each; `telling` is asked for each of them.

    Raises SettingsError for one without an index, and what `verify` raises; IndexUnreadable after all others.
    """
    planner, unreadable = Planner(settings), list[str]()
    with wired(settings, metrics=Metrics(), intervals=intervals, if_closed=False, stop=stop) as wiring:
        for plan in planner.plans(wiring.records(stop).read(planner.aliases)):
            adapters = wiring.adapters(plan, stop)
            for each in plan.collections:
                name = str(each.namespace)
                if name not in only or not each.serves:
                    continue
                if how.repair:
                    require_same_source(adapters)
                generation = adapters.indexes.serving(each.settings)
                if generation is None:
                    raise SettingsError(
                        f"[[collections]] {name}: there is no index {each.settings.alias} to verify."
                        " Create it with `penstock load` or `penstock run`."
                    )
                try:
                    yield verify(adapters, each, generation, how, stop=stop, telling=telling(name))
                except IndexUnreadable as error:
                    unreadable.append(f"{name}: {error}")
    if unreadable:
        raise IndexUnreadable("; ".join(unreadable))
