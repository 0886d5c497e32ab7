"""Collections that go by another name at the source: renames that are followed, and the way back to the declared name.

A rename is recorded before the position passes it, and the collection's pipeline starts again with the new name, from
a position before the rename. Nothing is missed by that, and nothing of another collection that had, or has, one of the
names is taken: a change goes by the name of its moment (`penstock.model.Names`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Event

import structlog

from penstock.errors import Outdated
from penstock.model import Change, Namespace
from penstock.opensearch.state.load_state import LoadState
from penstock.planner import FedGeneration, present_names
from penstock.wiring import Adapters

log = structlog.get_logger(__name__)


@dataclass
class Renames:
    """Follows the collections of one pipeline; used by the thread of its stream or of a load, never by both at once."""

    adapters: Adapters
    _reported: set[Namespace] = field(default_factory=set)

    def follow(self, collection: FedGeneration, change: Change, load: LoadState) -> bool:
        """Return whether a control change only gave the collection another name, which is followed then.

        What was loaded is right when all of it was read before the rename; what a later read has missed is unknown.
        """
        if not self._leads_on(collection, change):
            return False
        if load.phase != "live" or load.whole_at >= change.version:
            load.enter("reconciling")
        if change.version > collection.names.since and change.to:
            log.warning(
                "collection renamed, its index is fed from the new name",
                collection=str(collection.namespace),
                before=str(change.namespace),
                now=str(change.to),
            )
            self._record(collection, change.to, change.version)
        return True

    def fall_back(self, collection: FedGeneration, load: LoadState, since: int) -> None:
        """Follow the declared name again from `since` on: the collection with the present name is gone."""
        if collection.source == collection.namespace or since <= collection.names.since:
            return
        log.warning(
            "the renamed collection is gone, its declared name is followed again",
            collection=str(collection.namespace),
            gone=str(collection.source),
        )
        if load.phase == "live":
            load.enter("reconciling")
        self._record(collection, collection.namespace, since)

    def require_known(self, collections: Iterable[FedGeneration], ending: Event) -> None:
        """Raise Outdated when one has another name now than it was planned with; the term ends before that.

        The thread that passes the gate next must not look for it under the old name.
        """
        those = list(collections)
        records = self.adapters.records.read(each.settings.alias for each in those)
        for each in those:
            try:
                each.require_name_of(records.get(each.settings.alias))
            except Outdated:
                ending.set()
                raise

    def report_namesakes(self, collections: Iterable[FedGeneration], there: Iterable[str]) -> None:
        """Log once that another collection has taken the declared name of one that was renamed."""
        for each in collections:
            if each.source != each.namespace and each.namespace.coll in there and each.namespace not in self._reported:
                self._reported.add(each.namespace)
                log.error(
                    "another collection has the declared name of a renamed one, and is not indexed",
                    collection=str(each.namespace),
                    served=str(each.source),
                    heal=f"give it another name and a table of its own; or drop {each.source}",
                )

    def _leads_on(self, collection: FedGeneration, change: Change) -> bool:
        names, version = collection.names, change.version
        if change.kind != "rename" or change.namespace != names.at(version):
            return False
        if version <= names.since:  # it was decided before, by a pipeline that is ahead or by this one
            return names.at(version + 1) == change.to
        return collection.settings.follows and change.to is not None and self._is_free(collection, change.to)

    def _is_free(self, collection: FedGeneration, to: Namespace) -> bool:
        """Whether the name is in the same database, which is one stream, and nobody else's."""
        settings = self.adapters.settings
        served = present_names(settings, self.adapters.records.read(settings.aliases))
        taken = {name for each in served.items() for name in each if each[0] != collection.namespace}
        return to.db == collection.namespace.db and to not in taken and str(to) != settings.source.heartbeat

    def _record(self, collection: FedGeneration, to: Namespace, since: int) -> None:
        self.adapters.records.change(collection.settings.alias, lambda record: record.renamed(to.coll, since))
