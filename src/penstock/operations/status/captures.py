"""Who captures each database into the log, as the processes of `penstock capture` say themselves."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from penstock.model import Namespace, seconds_of
from penstock.opensearch.state.store import StateDocument
from penstock.settings import Settings


@dataclass(frozen=True)
class CaptureStatus:
    """One cursor of `penstock capture`; None is what is not known.

    `name` is a database, or a collection that has a cursor of its own. `state` is live, standby (processes are there,
    and none of them captures at present) or stopped (no process is known). `host` and `pid` are of the process that
    captures; `standbys` says how many others wait. `mark_at` is the newest mark's time by the source's clock, and
    `lag_s` how far the log is behind the source.
    """

    name: str
    collections: list[str]
    state: Literal["live", "standby", "stopped"]
    host: str
    pid: int | None
    standbys: int
    lag_s: float | None
    mark_at: int | None

    @property
    def is_missing(self) -> bool:
        """Whether nobody is known to capture it."""
        return self.state == "stopped"


def capture_name(settings: Settings, namespace: str) -> str:
    """Return the name of the cursor that captures a collection."""
    return namespace if settings.source.cursor_per == "collection" else Namespace.named(namespace).db


def captures(
    settings: Settings, known: Iterable[StateDocument], alive: Iterable[StateDocument], now_s: float | None
) -> dict[str, CaptureStatus]:
    """Return the cursors of the settings by their names; `now_s` is the source's clock.

    `known` are the documents of processes that capture or did, `alive` those of them that go on writing.
    """
    collections: dict[str, list[str]] = {}
    for each in settings.collections:
        if settings.has_own_topic(each.namespace):
            collections.setdefault(capture_name(settings, each.namespace), []).append(each.namespace)
    all_, living = list(known), list(alive)
    return {name: _capture(name, its, all_, living, now_s) for name, its in sorted(collections.items())}


def _capture(
    name: str, collections: list[str], known: list[StateDocument], alive: list[StateDocument], now_s: float | None
) -> CaptureStatus:
    times = [each["captures"][name]["time"] for each in known if name in each["captures"]]
    mark_at = seconds_of(max(times, default=0)) or None
    there = [each for each in alive if name in each["captures"]]
    leading = [each for each in there if each["captures"][name]["state"] == "live"]
    if not leading:
        lag_s = None if mark_at is None or now_s is None else max(0.0, now_s - mark_at)
        return CaptureStatus(name, collections, "standby" if there else "stopped", "", None, len(there), lag_s, mark_at)
    first = max(leading, key=lambda each: each["captures"][name]["time"])
    lag_s = first["captures"][name]["lag_s"]
    return CaptureStatus(name, collections, "live", first["host"], first["pid"], len(there) - 1, lag_s, mark_at)
