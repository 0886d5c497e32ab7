"""Who feeds the index that people search, and how far that is: by what is saved of pipeline and load."""

from penstock.model import Namespace
from penstock.opensearch.state.ids import load_id, pipeline_id
from penstock.opensearch.state.pipeline_state import feeds
from penstock.opensearch.state.store import StateDocument
from penstock.operations.explain.diagnosis import WorkerSays
from penstock.operations.inspect.liveness import alive
from penstock.operations.inspect.views import Inspection


class Feeding:
    """One look at the states. `index` is the one behind the read alias, None where there is none."""

    def __init__(
        self, seen: Inspection, pipeline: str, namespace: Namespace, index: str | None, *, liveness_s: float
    ) -> None:
        of_pipeline, of_load = pipeline_id(pipeline), load_id(namespace, str(index))
        states = seen.index.states([of_pipeline, of_load])
        self.index = index
        self.load: str | None = states[of_load]["phase"] if of_load in states else None
        self._brought_by = seen.settings.brought_by(str(namespace))
        self._pipeline: StateDocument | None = states.get(of_pipeline)
        if self._pipeline and not feeds(self._pipeline, str(namespace), str(index)):
            self._pipeline = None
        its = {of_pipeline: self._pipeline} if self._pipeline else {}
        self._is_alive = bool(alive(its, seen.index.states, every_s=liveness_s))

    @property
    def worker(self) -> WorkerSays:
        """Whether somebody feeds the index."""
        if self._brought_by:
            return self._brought_by
        if self._pipeline is None:
            return "waiting" if self.load is None else "stopped"
        return "running" if self._is_alive else "stopped"

    @property
    def position(self) -> int | None:
        """The time of the saved position."""
        position = self._pipeline["position"] if self._pipeline and not self._brought_by else None
        return position["time"] if position else None
