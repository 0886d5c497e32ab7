"""The leases: who holds each pipeline and reaction, who stands by, and where its position stands."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from penstock.model import seconds_of
from penstock.opensearch.state.store import StateDocument
from penstock.operations.inspect.views import SourceOverview
from penstock.operations.status.workers import WorkerStatus


@dataclass(frozen=True)
class PipelineStatus:
    """One lease; None is what is not known.

    `state` is live, loading or what else the holder reports, `released` when nobody holds the lease, or stopped when
    its holder is gone. `epoch` counts the holders, `collections` are what the lease is for. `position_at` is the
    position's time by the source's clock, and `position_age_s` how far that is behind the source.
    """

    name: str
    title: str
    state: str
    owner: str
    epoch: int
    lease_s: float
    collections: list[str]
    standbys: list[str]
    position_at: int | None
    position_age_s: float | None
    reported_at: float | None


def pipelines(
    titles: Mapping[str, str],
    leases: Iterable[StateDocument],
    there: Container[str],
    workers: Iterable[WorkerStatus],
    source: SourceOverview,
) -> list[PipelineStatus]:
    """Return the leases that there are, in the order of `titles`; `there` are the names of those with a holder."""
    known, those = {each["name"]: each for each in leases}, list(workers)
    return [
        _pipeline(title, known[name], those, source, is_running=name in there)
        for name, title in titles.items()
        if name in known
    ]


def _pipeline(
    title: str, document: StateDocument, workers: Iterable[WorkerStatus], source: SourceOverview, *, is_running: bool
) -> PipelineStatus:
    name, reported, position = document["name"], document["status"], document["position"]
    at = seconds_of(position["time"]) if position and position["time"] else None
    reported_state = str(reported.get("state", "live"))
    return PipelineStatus(
        name=name,
        title=title,
        state=reported_state if is_running else "released" if document["released"] else "stopped",
        owner=document["owner"],
        epoch=document["epoch"],
        lease_s=float(document["lease_s"]),
        collections=list(document.get("collections", [])),
        standbys=[each.name for each in workers if each.pipelines.get(name) == "standby" and each.state != "silent"],
        position_at=at,
        position_age_s=None if at is None or source.now_s is None else max(0.0, source.now_s - at),
        reported_at=reported.get("reported_at"),
    )
