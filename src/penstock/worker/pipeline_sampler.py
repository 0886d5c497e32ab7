"""What the history of a pipeline has to ask for: documents on both sides, dead letters, rates of writes."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from pymongo.errors import PyMongoError

from penstock.errors import LeaseLost, SinkUnavailable, SourceUnavailable
from penstock.mongo.collections import estimated_count
from penstock.opensearch.dead_letters.search import LetterSearch
from penstock.opensearch.http.client import Response
from penstock.opensearch.http.requests import ask
from penstock.opensearch.http.waiting import FailFast
from penstock.opensearch.state.samples import Row, SampleRing
from penstock.opensearch.state.store import StateStore
from penstock.planner import Plan
from penstock.wiring import Adapters
from penstock.worker.reporter import Reporter
from penstock.worker.sampler import Sampler

_NAMES_IN_A_PATH = 50
_INDEXING = "indices.*.primaries.indexing.index_total,indices.*.primaries.indexing.delete_total"


def pipeline_sampler(plan: Plan, adapters: Adapters, reporter: Reporter) -> Sampler:
    """Keep the history of a pipeline for the term that has begun."""
    client, state = adapters.client, adapters.state()
    store = StateStore(client, FailFast(client.url))
    ring = SampleRing(store, plan.name, epoch=state.document["epoch"], may_write=state.held)
    return Sampler(ring, reporter.sample, PipelineLook(plan, adapters, reporter).look, adapters.intervals)


@dataclass
class PipelineLook:
    """Asks both sides, quickly or not at all: what does not answer has no numbers."""

    plan: Plan
    adapters: Adapters
    reporter: Reporter
    _counted_at: float | None = None
    _writes: tuple[float, dict[str, int]] | None = None
    _known: dict[str, float | None] = field(default_factory=dict)

    def look(self) -> Row:
        """Take the rate of writes, where one may; the rest once a minute. Raises SinkUnavailable."""
        with suppress(SinkUnavailable):
            self.reporter.writes_per_s = self._rates()
        now = time.monotonic()
        if self._counted_at is None or now - self._counted_at >= self.adapters.intervals.sample_counts_s:
            self._counted_at = now
            self._known = {"documents_source": self._in_source(), **self._in_index(), "letters": self._letters()}
        return {**self._known, "loaded": self._loaded()}

    def _rates(self) -> dict[str, float]:
        now, writes = time.monotonic(), {}
        for names in self._paths():
            path = f"/{names}/_stats/indexing?ignore_unavailable=true&filter_path={_INDEXING}"
            answer = ask(self.adapters.client, FailFast(self.adapters.client.url), "GET", path)
            for index, each in _parsed(answer).get("indices", {}).items():
                its = each["primaries"]["indexing"]
                writes[index] = its["index_total"] + its["delete_total"]
        before, self._writes = self._writes, (now, writes)
        if before is None:
            return {}
        return {
            index: round(max(0, count - before[1][index]) / (now - before[0]), 1)
            for index, count in writes.items()
            if index in before[1]
        }

    def _in_index(self) -> Row:
        total = 0
        for names in self._paths():
            path = f"/{names}/_count?ignore_unavailable=true"
            answer = ask(self.adapters.client, FailFast(self.adapters.client.url), "GET", path)
            count = _parsed(answer).get("count")
            if count is None:
                return {"documents_index": None}
            total += count
        return {"documents_index": total}

    def _in_source(self) -> float | None:
        client = self.adapters.connection.client
        with suppress(PyMongoError, SourceUnavailable):
            return sum(estimated_count(client, each.source) for each in self.plan.collections)
        return None

    def _letters(self) -> float:
        letters = LetterSearch(self.adapters.client, FailFast(self.adapters.client.url))
        return sum(letters.counts_of(each.write_alias for each in self.plan.collections).values())

    def _loaded(self) -> float | None:
        """The share of the documents that is loaded; of what is being loaded never all."""
        with suppress(LeaseLost):  # the term is about to end
            if all(each.phase not in ("loading", "reconciling") for each in self.reporter.loads.values()):
                return 1.0
            source, index = self._known.get("documents_source"), self._known.get("documents_index")
            return min(0.99, index / source) if source and index is not None else None
        return None

    def _paths(self) -> Iterator[str]:
        """The indexes, by as many requests as their names need."""
        names: Sequence[str] = [quote(each.index, safe="") for each in self.plan.collections]
        for start in range(0, len(names), _NAMES_IN_A_PATH):
            yield ",".join(names[start : start + _NAMES_IN_A_PATH])


def _parsed(answer: Response) -> dict[str, Any]:
    """The JSON of an answer; empty for a refusal, and for what is none, such as a proxy's page."""
    parsed = answer.json() if answer.ok else None
    return parsed if isinstance(parsed, dict) else {}
