"""Where people search: reported when their alias was moved to an index that is not penstock's. It is left there.

It may have been moved on purpose, so penstock does not move it back. But nobody keeps that index in step.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

import structlog

from penstock.model import Namespace
from penstock.opensearch.index.indexes import Generation
from penstock.opensearch.index.integrity import searched_in
from penstock.wiring import Adapters

log = structlog.get_logger(__name__)


@dataclass
class ReadAliasWatch:
    """Reports each collection of a pipeline once, and again when people search somewhere else."""

    pipeline: str
    adapters: Adapters
    _reported: dict[Namespace, Set[str]] = field(default_factory=dict)

    def look(self, generations: Mapping[Namespace, Generation]) -> None:
        """Look where people search in place of these generations; they search in all others as they should."""
        elsewhere = self._elsewhere(generations) if generations else {}
        before, self._reported = self._reported, elsewhere
        self._count()
        for name in before.keys() - elsewhere.keys():
            log.info("the read alias points to the index again", collection=str(name))
        for name, indexes in elsewhere.items():
            if indexes != before.get(name):
                self._report(name, generations[name], indexes)

    def end(self) -> None:
        """Report nothing any more; another worker does."""
        self._reported = {}
        self._count()

    def _elsewhere(self, generations: Mapping[Namespace, Generation]) -> dict[Namespace, Set[str]]:
        """The indexes that are none of penstock's; a generation of ours serves, or is about to."""
        adapters, found = self.adapters, dict[Namespace, Set[str]]()
        records = adapters.records.read(each.read_alias for each in generations.values())
        for name, generation in generations.items():
            record = records.get(generation.read_alias)
            ours = {each.index for each in record.generations} if record else {generation.index}
            indexes = searched_in(adapters.client, adapters.patience, generation)
            if indexes and not indexes & ours:
                found[name] = indexes
        return found

    def _report(self, name: Namespace, generation: Generation, indexes: Set[str]) -> None:
        log.error(
            "the read alias points to another index",
            collection=str(name),
            alias=generation.read_alias,
            searched=sorted(indexes),
            fed=generation.index,
            heal=f"unless that is intended, move the alias {generation.read_alias} back to {generation.index}",
        )

    def _count(self) -> None:
        self.adapters.metrics.set("penstock_searched_elsewhere", len(self._reported), pipeline=self.pipeline)
