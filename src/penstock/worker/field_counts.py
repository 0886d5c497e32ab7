"""Tells the metrics, from time to time, how many fields each index has, and how many documents each field hides."""

from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event
from urllib.parse import quote

from penstock.errors import SinkUnavailable
from penstock.opensearch.http.requests import ask
from penstock.opensearch.http.waiting import FailFast
from penstock.opensearch.index.field_limit import count_fields
from penstock.opensearch.read.ignored import ignored_values
from penstock.wiring import Adapters


@dataclass
class FieldCounts:
    """Counts the fields of the indexes of one pipeline; quietly, where it may not ask or the index is away."""

    adapters: Adapters
    indexes: Iterable[str]
    _ignored: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def __post_init__(self) -> None:
        self._patience = FailFast(self.adapters.client.url)

    def keep_counting(self, ending: Event) -> None:
        """Count at once, and again from time to time, until the term ends; then report nothing more of the indexes."""
        while not ending.is_set():
            for index in self.indexes:
                with suppress(SinkUnavailable):
                    self._count(index)
            ending.wait(self.adapters.intervals.fields_s)
        for index in self.indexes:
            self.adapters.metrics.forget("index", index)

    def _count(self, index: str) -> None:
        client, metrics = self.adapters.client, self.adapters.metrics
        answer = ask(client, self._patience, "GET", f"/{quote(index, safe='')}/_mapping")
        found = answer.json().get(index) if answer.ok else None
        if found is None:  # gone, or an alias has its name: others look after that
            return
        metrics.set("penstock_index_fields", count_fields(found["mappings"]), index=index)
        ignored = ignored_values(client, self._patience, index)
        if ignored is None:
            return
        counts = ignored.fields
        self._ignored[index] |= counts.keys()
        for name in self._ignored[index]:
            metrics.set("penstock_ignored_documents", counts.get(name, 0), index=index, field=name)
