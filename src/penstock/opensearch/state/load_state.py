"""The progress of loading a collection into a generation."""

from collections.abc import Mapping
from typing import Any, Literal

from penstock.model import Position
from penstock.opensearch.state.claim import ClaimedDocument
from penstock.opensearch.state.ids import load_id
from penstock.opensearch.state.shared_load import LoadPlan
from penstock.opensearch.state.store import StateDocument, StateStore

LoadPhase = Literal["loading", "live", "dropped", "reconciling"]
"""Loading: not every document was read yet. Live: all were, and the stream keeps the index in step. Dropped: the
collection is gone, and the index keeps its documents until it is back. Reconciling: it is loaded again into the same
index, which is then swept: documents that the collection does not have are deleted."""


def awaits_load(load: StateDocument) -> bool:
    """Whether the index may hold documents that its collection lost by a drop or a rename, until a load begins."""
    is_begun = load["position"] is not None or load.get("plan")
    return load["phase"] == "dropped" or (load["phase"] == "reconciling" and not is_begun)


class LoadState:
    """Implements `penstock.ports.Checkpoints` for a load.

    Opening it shuts out the process that had it open before: its next save raises LeaseLost. Several threads may use
    it: the loading one, and the stream's when the collection is dropped.
    """

    def __init__(self, store: StateStore, collection: str, generation: str, *, owner: str) -> None:
        state_id = load_id(collection, generation)
        taken = f"Another worker has taken over the load state {state_id}."
        self._claimed = ClaimedDocument(store, state_id, owner=owner, taken=taken)
        self._start = {"kind": "load", "name": collection, "generation": generation, "phase": "loading"}

    def open(self) -> "LoadState":
        """Claim the document, or create it. Raises LeaseLost if another worker does so at the same moment."""
        self._claimed.claim(self._begin)
        return self

    def _begin(self, before: StateDocument) -> StateDocument:
        return before or {**self._start, "position": None, "counts": {}}

    @property
    def phase(self) -> LoadPhase:
        """The phase of the collection."""
        phase: LoadPhase = self._claimed.document["phase"]
        return phase

    @property
    def counts(self) -> dict[str, int]:
        """The counts so far, as last saved."""
        return dict(self._claimed.document["counts"])

    def load(self) -> Position | None:
        """Return the position of the load, None if it has not started."""
        position = self._claimed.document["position"]
        return None if position is None else Position(position["token"], position["time"])

    def save(self, position: Position) -> None:
        """Save the position of the load. Raises LeaseLost if another worker has opened it."""
        self._claimed.write({"position": {"token": position.token, "time": position.time}})

    def save_progress(self, position: Position, counts: Mapping[str, int]) -> None:
        """Save the position and the counts at that position together."""
        self._claimed.write({"position": {"token": position.token, "time": position.time}, "counts": dict(counts)})

    @property
    def plan(self) -> LoadPlan | None:
        """How the load is shared by several processes; None where one process does it, or nobody has begun."""
        return LoadPlan.of(self._claimed.document)

    def save_plan(self, plan: LoadPlan) -> None:
        """Save how the load is shared. Raises LeaseLost if another worker has opened it."""
        self._claimed.write({"plan": plan.as_document()})

    def save_counts(self, counts: Mapping[str, int]) -> None:
        """Save the counts alone. Raises LeaseLost if another worker has opened it."""
        self._claimed.write({"counts": dict(counts)})

    @property
    def engines(self) -> list[str] | None:
        """The index's engines from before the first document was read (`Indexes.engines`); None: they were not kept."""
        engines: list[str] | None = self._claimed.document.get("engines")
        return engines

    def save_engines(self, engines: list[str]) -> None:
        """Save the index's engines. Raises LeaseLost if another worker has opened it."""
        self._claimed.write({"engines": engines})

    @property
    def empty_at(self) -> int | None:
        """The cluster time at which to empty the index of a dropped collection; None: never, or already done."""
        at: int | None = self._claimed.document.get("empty_at")
        return at

    @property
    def whole_at(self) -> int:
        """A cluster time at which all of a `live` collection had been read; 0: long ago."""
        return int(self._claimed.document.get("whole_at", 0))

    def enter(self, phase: LoadPhase, *, empty_at: int | None = None, whole_at: int = 0) -> None:
        """Save the phase; `loading` and `reconciling` start a load from the beginning, without a position or a plan."""
        begun: dict[str, Any] = (
            {"position": None, "counts": {}, "engines": None, "plan": None}
            if phase in ("loading", "reconciling")
            else {}
        )
        self._claimed.write({"phase": phase, "empty_at": empty_at, "whole_at": whole_at, **begun})
