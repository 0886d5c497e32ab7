"""The part of `check` about what is remembered of each pipeline: which source it reads, and who holds its lease."""

from collections.abc import Container, Iterator

from penstock.errors import SettingsError, SinkUnavailable
from penstock.mongo.connection import Connection
from penstock.mongo.identity import SourceIdentity, identity_of
from penstock.opensearch.state.ids import pipeline_id
from penstock.opensearch.state.pipeline_state import feeds
from penstock.opensearch.state.store import StateDocument
from penstock.operations.check.finding import CheckFinding, failure, ok, warning
from penstock.operations.inspect.liveness import alive
from penstock.operations.inspect.views import Inspection
from penstock.planner import Plan, Planner
from penstock.runtime.intervals import INTERVALS

_APART = "give each deployment a [pipeline] name and indexes of its own"


def pipeline_findings(connection: Connection, seen: Inspection) -> Iterator[CheckFinding]:
    """Yield what can be said of the pipelines that were begun; nothing while the index cannot be asked."""
    declared = seen.settings
    try:
        plans = {pipeline_id(plan.name): plan for plan in Planner(declared).plans(seen.records)}
        states = seen.index.states(list(plans))
        unserved = seen.index.unserved([each.namespace for each in declared.collections], declared.pipeline.name)
        there = alive(states, seen.index.states, every_s=INTERVALS.liveness_s)
    except (SettingsError, SinkUnavailable):
        return  # it is among the findings of the settings, or of the sink
    for state_id, state in states.items():
        plan = plans[state_id]
        yield _source_finding(connection, seen, plan, state)
        if state_id in there:
            yield _lease_finding(plan, state, unserved)


def _source_finding(connection: Connection, seen: Inspection, plan: Plan, state: StateDocument) -> CheckFinding:
    colls = [each.source.coll for each in plan.collections]
    now, subject = identity_of(connection.client, plan.watch.db, colls, connection.address), f"{plan.name}: source"
    records = (seen.records.get(each.settings.alias) for each in plan.collections)
    for kept in (state["source"], *(each.source for each in records if each)):
        before = SourceIdentity.kept(kept)
        if before and not before.is_same(now):
            todo = f"correct [source] uri; if the data was moved, run `penstock load --again`; else {_APART}"
            return failure("source", subject, f"was {before}, but another one answers: {now}", todo)
    return ok("source", subject, "is the one that was read before")


def _lease_finding(plan: Plan, state: StateDocument, unserved: Container[str]) -> CheckFinding:
    """What cannot be served yet is not held against the holder; the reason is another finding."""
    declared = {str(each.namespace): each.index for each in plan.collections if str(each.namespace) not in unserved}
    unfed = [name for name, index in declared.items() if not feeds(state, name, index)]
    subject, owner = f"{plan.name}: lease", state["owner"]
    if not unfed:
        return ok("settings", subject, f"is held by {owner}")
    others = ", ".join(state.get("collections", state["indexes"]))
    what = f"is held by {owner} for {others}, so nobody feeds {', '.join(unfed)}"
    if len(unfed) == len(declared):
        return failure("settings", subject, what, f"{_APART}; or let one worker feed all of them")
    return warning("settings", subject, what, f"replace that worker by one with these settings; or {_APART}")
