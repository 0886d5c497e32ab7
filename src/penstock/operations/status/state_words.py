"""What the state documents say of a pipeline and of a load, in the words of `status`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.model import seconds_of
from penstock.operations.inspect.liveness import reported_lately
from penstock.operations.inspect.views import SourceOverview
from penstock.settings import Settings


@dataclass(frozen=True)
class PipelineOverview:
    """What the state says of a pipeline."""

    is_running: bool
    has_begun: bool
    lag_s: float | None
    position_left_s: float | None
    lost: Mapping[str, Mapping[str, Any]]


def pipeline_of_state(
    document: Mapping[str, Any] | None, settings: Settings, source: SourceOverview, *, is_running: bool
) -> PipelineOverview:
    """Judge the state of a pipeline; what it reported itself counts while it is recent."""
    if document is None or settings.pipeline.parking_queue:  # a mapping's position is Lambda's, not ours
        return PipelineOverview(is_running=False, has_begun=False, lag_s=None, position_left_s=None, lost={})
    position, behind_s, left_s = document["position"], None, None
    if position is not None and position["time"] and source.now_s is not None:
        behind_s = max(0.0, source.now_s - seconds_of(position["time"]))
        if settings.source.retention_s is not None:
            left_s = settings.source.retention_s - behind_s
    lag_s = document["status"].get("lag_s") if reported_lately(document) else behind_s
    lost = document.get("lost", {})
    return PipelineOverview(is_running=is_running, has_begun=True, lag_s=lag_s, position_left_s=left_s, lost=lost)


def unfed(load: Mapping[str, Any] | None) -> PipelineOverview:
    """What is to be said of a collection that the holder of its pipeline's lease does not feed, nor the last one."""
    return PipelineOverview(False, load is not None, None, None, {})


def state_of(pipeline: PipelineOverview, load: Mapping[str, Any] | None) -> str:
    if not pipeline.has_begun:
        return "waiting"
    if not pipeline.is_running:
        return "stopped"
    return str(load["phase"]) if load else "loading"


def loss_of(loss: Mapping[str, Any] | None, load: Mapping[str, Any] | None) -> str | None:
    """What is still to be made up for: a loss counts until the load after it has ended."""
    if loss is None or (load and load["phase"] == "live"):
        return None
    since = f", changes since {loss['since']}" if loss["reason"] == "history" and loss["since"] else ""
    return f"{loss['reason']}{since}, noticed {loss['noticed']}"


def brought_state(load: Mapping[str, Any] | None, by: str) -> str:
    """The state of what a mapping or topics feed; a load that runs meanwhile, or a dropped collection, comes first."""
    return str(load["phase"]) if load and load["phase"] != "live" else by


def share_loaded(load: Mapping[str, Any] | None, in_index: int | None, documents: int | None) -> float | None:
    """The share that is loaded, by the counts of both sides; what is being loaded is never all of it."""
    if load is None or in_index is None:
        return None
    if load["phase"] not in ("loading", "reconciling"):
        return 1.0
    return min(0.99, in_index / documents) if documents else None
