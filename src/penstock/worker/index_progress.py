"""Whether searches find what a reaction is about to tell of: its index has the changes, and was refreshed since."""

import threading
from collections.abc import Mapping
from urllib.parse import quote

from penstock.opensearch.http.requests import ask
from penstock.opensearch.state.generations import CollectionRecord
from penstock.opensearch.state.ids import load_id, pipeline_id
from penstock.opensearch.state.store import Stored
from penstock.planner import pipeline_of
from penstock.wiring import Wiring


class IndexProgress:
    """Looks at the pipelines that feed what people search in; `aliases` are the read aliases of some collections."""

    def __init__(self, wiring: Wiring, aliases: frozenset[str], stop: threading.Event) -> None:
        self._aliases = aliases
        self._client = wiring.client
        self._patience = wiring.patience(stop)
        self._records = wiring.records(stop)
        self._store = wiring.store(stop)

    def has(self, version: int) -> bool:
        """Return whether searches find the changes up to this version, those that the indexes take.

        A collection that is being loaded may lack some, whatever its pipeline's position is.
        """
        records = self._records.read(self._aliases)
        if records.keys() != self._aliases:
            return False
        ids = {alias: _ids(record) for alias, record in records.items()}
        states = self._store.get({state_id for its in ids.values() for state_id in its if state_id})
        if not all(_has_passed(version, *its, states) for its in ids.values()):
            return False
        for alias in sorted(self._aliases):
            ask(self._client, self._patience, "POST", f"/{quote(alias, safe='')}/_refresh")
        return True


def _ids(record: CollectionRecord) -> tuple[str, str]:
    """Return the ids of what feeds and what has loaded the index that people search in; empty for none."""
    serving = record.in_role("serving")
    if serving is None:
        return "", ""
    pipeline = record.pipeline if serving.number == 1 else pipeline_of(serving.index)
    return pipeline_id(pipeline), load_id(record.collection, serving.index)


def _has_passed(version: int, pipeline: str, load: str, states: Mapping[str, Stored]) -> bool:
    if pipeline not in states or load not in states:
        return False
    position = states[pipeline].document["position"]
    return bool(position) and position["time"] >= version and states[load].document["phase"] == "live"
