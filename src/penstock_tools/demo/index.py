"""The demo's access to the index: documents in real time, searches, counts."""

import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.observe.metrics import Metrics
from penstock.opensearch.http.client import Client
from penstock.opensearch.http.requests import ask
from penstock.opensearch.http.waiting import RetryForever
from penstock.opensearch.read.scan import count, read_sources
from penstock.settings import SinkSettings


class DemoIndex:
    """Reads one index, with requests that one could also send with curl."""

    def __init__(self, settings: SinkSettings, alias: str) -> None:
        self._client = Client(settings, connections=2)
        self._patience = RetryForever(Metrics(), threading.Event())
        self.alias = alias

    def documents(self, ids: Sequence[str]) -> Mapping[str, Any]:
        """Return the documents as they are now, refreshed or not; absent ones are left out."""
        return read_sources(self._client, self._patience, self.alias, ids)

    def documents_in_all(self) -> int:
        """Refresh the index and return how many documents a search can find."""
        self._refresh()
        return count(self._client, self._patience, self.alias)

    def search(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the documents that a search finds, best first."""
        self._refresh()
        answer = ask(self._client, self._patience, "POST", f"/{self.alias}/_search", body)
        return [hit["_source"] for hit in answer.json()["hits"]["hits"]]

    def allow(self, field: str) -> None:
        """Let an object have fields that the mapping does not name."""
        body = {"properties": {field: {"type": "object", "dynamic": True}}}
        ask(self._client, self._patience, "PUT", f"/{self.alias}/_mapping", body)

    def curl(self, body: dict[str, Any]) -> str:
        """Return the same search as a shell command."""
        text = json.dumps(body, ensure_ascii=False)
        url = f"{self._client.url}/{self.alias}/_search?pretty"
        return f"curl -s '{url}' -H 'content-type: application/json' -d '{text}'"

    def _refresh(self) -> None:
        ask(self._client, self._patience, "POST", f"/{self.alias}/_refresh")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
