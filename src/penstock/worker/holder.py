"""Whether the worker that holds a pipeline's lease does what this one is waiting to do.

A standby may declare more or fewer collections than the holder: so settings change while workers are replaced. One that
declares none of its collections, or reads another source, belongs to another deployment, and would wait for ever.
"""

import time
from collections.abc import Set
from dataclasses import dataclass
from functools import cached_property

import structlog

from penstock.errors import SettingsError, Stopped
from penstock.mongo.identity import SourceIdentity
from penstock.opensearch.state.pipeline_state import feeds
from penstock.opensearch.state.store import StateDocument
from penstock.planner import Plan
from penstock.wiring import Adapters

log = structlog.get_logger(__name__)

_WAY_OUT = "Give each deployment a [pipeline] name of its own, and its collections indexes of their own"


@dataclass
class Holder:
    """What was seen of the holder of a pipeline's lease; `unfed` are the collections of the plan it does not feed."""

    plan: Plan
    adapters: Adapters
    unfed: Set[str] = frozenset()
    _reported: str = ""

    def look(self, document: StateDocument) -> None:
        """Look at what the holder has written. Raises SettingsError when it belongs to another deployment."""
        owner, declared = document["owner"], {str(each.namespace): each.index for each in self.plan.collections}
        self.unfed = {name for name, index in declared.items() if not feeds(document, name, index)}
        others = ", ".join(document.get("collections", document["indexes"]))
        if others and self.unfed == declared.keys():
            raise SettingsError(
                f"Pipeline {self.plan.name}: another worker ({owner}) holds its lease and feeds {others}, but these"
                f" settings declare {', '.join(declared)}. {_WAY_OUT}; or let one worker feed all of them."
            )
        source = SourceIdentity.kept(document["source"])
        if source and not source.is_same(self._source):
            raise SettingsError(
                f"Pipeline {self.plan.name}: another worker ({owner}) holds its lease and reads the source {source},"
                f" but these settings lead to {self._source}. {_WAY_OUT}; or correct [source] uri."
            )
        if self.unfed and owner != self._reported:
            self._reported = owner
            log.error(
                "collections are not fed: another worker holds the lease for others",
                pipeline=self.plan.name,
                collections=sorted(self.unfed),
                owner=owner,
                heal="stop that worker, and this one takes over; or give each deployment a [pipeline] name",
            )

    @cached_property
    def _source(self) -> SourceIdentity:
        return self.adapters.source_identity()


def require_alone(plan: Plan, adapters: Adapters) -> None:
    """Raise SettingsError when another worker feeds an index of the plan under another pipeline's lease.

    Both would begin its load again and again. One that is there renews its lease before it runs out.
    """
    shared = [each.settings.alias for each in plan.collections if plan.alone is None]
    for alias, record in adapters.records.read(shared).items():
        seen = adapters.pipeline_state(record.pipeline) if record.pipeline not in ("", plan.name) else None
        until = time.monotonic() + (float(seen["lease_s"]) if seen else 0.0)
        while seen and not seen["released"] and time.monotonic() < until:
            if adapters.patience.stop.wait(adapters.intervals.standby_s):
                raise Stopped(f"stopped while looking who feeds {alias}")
            now = adapters.pipeline_state(record.pipeline)
            if now and (now["epoch"], now["beat"]) != (seen["epoch"], seen["beat"]):
                raise SettingsError(
                    f"Pipeline {plan.name}: another worker ({now['owner']}) feeds the index {alias} under the lease of"
                    f" pipeline {record.pipeline}. Stop that worker first; or give this collection another `index`."
                )
