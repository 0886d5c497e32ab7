"""Looks at one document wherever it leaves a trace: source, transform, index, dead letters, load, checkpoint."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import orjson
from pymongo.errors import PyMongoError

from penstock.connections import sink_client, source_connection
from penstock.documents.document_id import id_json, read_id_json
from penstock.documents.omitted import as_left_out, left_out
from penstock.errors import DocumentError, SettingsError
from penstock.model import Change, Namespace
from penstock.mongo.collections import committed_time
from penstock.mongo.connection import Connection
from penstock.mongo.error_table import unavailable
from penstock.mongo.lookup import with_states
from penstock.opensearch.dead_letters.letter import StoredLetter
from penstock.opensearch.index.indexes import index_of, write_alias_of
from penstock.opensearch.read.by_ids import IndexedDocument
from penstock.opensearch.state.ids import load_id, pipeline_id
from penstock.operations.explain.diagnosis import Diagnosis, Evidence, SourceSays, TransformSays, WorkerSays, conclude
from penstock.operations.explain.document_ref import DocumentRef, asked_id
from penstock.operations.inspect.differences import FieldComparison, field_by_field
from penstock.operations.inspect.liveness import alive
from penstock.operations.inspect.views import SinkView
from penstock.planner import FedGeneration, Plan, Planner
from penstock.runtime.intervals import INTERVALS, Intervals
from penstock.settings import RESERVED_FIELD, Settings

_LOOKS = 3


@dataclass(frozen=True)
class Explanation:
    """What was seen of a document, and the conclusion. `id_json` is its `_id` as canonical extended JSON."""

    id: str
    id_json: str
    seen: Evidence
    letter: StoredLetter | None
    conclusion: Diagnosis


@dataclass(frozen=True)
class _Shaped:
    """What the transform made of the source's document."""

    state: TransformSays
    body: dict[str, Any]
    reason: str = ""


def explain(
    settings: Settings,
    namespace: str,
    typed: str,
    *,
    wait_s: float = 0.0,
    on_wait: Callable[[], None] = lambda: None,
    intervals: Intervals = INTERVALS,
) -> Explanation:
    """Look at one document. Raises SettingsError, SourceUnavailable, SinkUnavailable.

    What a running worker may still bring is waited for, for so long at the most.
    """
    if not any(each.namespace == namespace for each in settings.collections):
        raise SettingsError(
            f"{namespace} is not among the declared collections, so nobody knows its index and its transform: add a"
            " [[collections]] table for it."
        )
    planner, asked = Planner(settings), asked_id(typed)
    with closing(sink_client(settings)) as client, source_connection(settings.source) as connection:
        view = SinkView(settings, client)
        records = view.records(planner.aliases)
        plan, collection = _served(planner.plans(records), namespace)
        record = records.get(collection.settings.alias)
        moved_on = tuple(record.moved_on(collection.now)) if record else ()
        look = _Look(settings, plan, collection, asked, view, connection, moved_on, intervals.liveness_s)
        return look_until_passed(look.once, wait_s=wait_s, every_s=intervals.explain_s, on_wait=on_wait)


def look_until_passed(
    look: Callable[[], Explanation], *, wait_s: float, every_s: float, on_wait: Callable[[], None] = lambda: None
) -> Explanation:
    """Look again while a running worker may still bring what is missing: until it has passed the first look.

    When the index took a write meanwhile, that look is the first.
    """
    first = found = look()
    until = time.monotonic() + wait_s
    if wait_s and _may_come(found):
        on_wait()
    while _may_come(found) and time.monotonic() < until:
        time.sleep(every_s)
        before, found = found, look()
        if found.seen.version != first.seen.version:
            first = found
        elif (before.seen.position or 0) >= first.seen.time and _may_come(found):
            seen = replace(found.seen, is_passed=True)
            return replace(found, seen=seen, conclusion=conclude(seen))
    return found


def _may_come(found: Explanation) -> bool:
    return found.conclusion.verdict == "behind" and found.seen.worker == "running"


@dataclass(frozen=True)
class _Look:
    """Where to look, and for what."""

    settings: Settings
    plan: Plan
    collection: FedGeneration
    asked: DocumentRef
    view: SinkView
    connection: Connection
    moved_on: tuple[str, ...]
    liveness_s: float

    def once(self) -> Explanation:
        """Look; again when the index took a write meanwhile."""
        namespace, text_id = self.collection.namespace, self.asked.text
        for _ in range(_LOOKS):
            found, letter = self._indexed(), self._letter()
            identity = _identity(self.asked, found, letter)
            change = _at_source(self.connection, self.collection.source, identity)._replace(namespace=namespace)
            if _version(self._indexed()) == _version(found):
                break
        seen = self._seen(found, letter, change)
        return Explanation(text_id, id_json(identity), seen, letter, conclude(seen))

    def state(self) -> "_State":
        """What is saved of pipeline and load at present."""
        index = self.view.index(self.collection.settings.alias)
        name, index_name = self.collection.namespace, index.name if index else None
        return _State(self.settings, self.plan, self.view, name, index_name, self.liveness_s)

    def _letter(self) -> StoredLetter | None:
        alias = write_alias_of(index_of(self.collection.settings.alias, self.collection.number))
        return self.view.letter(self.collection.namespace, self.asked.text, [alias])

    def _indexed(self) -> IndexedDocument | None:
        return self.view.documents(self.collection.settings.alias, [self.asked.text]).get(self.asked.text)

    def _seen(self, found: IndexedDocument | None, letter: StoredLetter | None, change: Change) -> Evidence:
        shaped, state = _shaped(self.collection, change, found), self.state()
        return Evidence(
            namespace=str(change.namespace),
            source=_source(change),
            time=change.version,
            index=state.index,
            version=_version(found),
            transformed=shaped.state,
            reason=shaped.reason or change.reason,
            fields=_fields(shaped, found),
            ignored=(*found.ignored, *left_out(found.source)) if found else (),
            letter=letter.reason if letter and letter.version > (_version(found) or -1) else "",
            load=state.load,
            worker=state.worker,
            position=state.position,
            runs_other_code=self.collection.runs_other_code,
            moved_on=self.moved_on,
        )


class _State:
    """What is saved of the pipeline that serves the collection, and of its load."""

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        view: SinkView,
        namespace: Namespace,
        index: str | None,
        liveness_s: float,
    ) -> None:
        of_pipeline, of_load = pipeline_id(plan.name), load_id(namespace, str(index))
        states = view.states([of_pipeline, of_load])
        self.index = index
        self.load: str | None = states[of_load]["phase"] if of_load in states else None
        self._is_mapped = bool(settings.pipeline.parking_queue)
        self._pipeline: Mapping[str, Any] | None = states.get(of_pipeline)
        its = {of_pipeline: self._pipeline} if self._pipeline else {}
        self._is_alive = bool(alive(its, view.states, every_s=liveness_s))

    @property
    def worker(self) -> WorkerSays:
        """Whether somebody feeds the index."""
        if self._is_mapped:
            return "mapped"
        if self._pipeline is None:
            return "waiting"
        return "running" if self._is_alive else "stopped"

    @property
    def position(self) -> int | None:
        """The time of the saved position."""
        position = self._pipeline["position"] if self._pipeline and not self._is_mapped else None
        return position["time"] if position else None


def _served(plans: Iterable[Plan], namespace: str) -> tuple[Plan, FedGeneration]:
    """The generation that people search, and its pipeline. Raises SettingsError when its function is not here."""
    for plan in plans:
        if plan.alone and plan.serves and plan.problem:
            raise SettingsError(plan.problem)
        for each in plan.collections:
            if str(each.namespace) == namespace and each.serves:
                return plan, each
    raise AssertionError(f"no generation of {namespace} serves")


def _identity(asked: DocumentRef, found: IndexedDocument | None, letter: StoredLetter | None) -> Any:
    """The `_id`; that of a hash is known by what is kept beside it."""
    if not asked.is_hashed:
        return asked.source_id
    if found is not None and (kept := found.source.get(RESERVED_FIELD, {}).get("id")):
        return read_id_json(kept)
    if letter is not None:
        return read_id_json(letter.id_json)
    raise SettingsError(
        f"The document id {asked.text} is a hash, and neither the index nor a dead letter has it: type the _id as"
        " extended JSON."
    )


def _at_source(connection: Connection, namespace: Namespace, identity: Any) -> Change:
    """What the document is now. Raises SourceUnavailable."""
    client = connection.client
    try:
        version = committed_time(client, namespace)
        return with_states(client, [Change(namespace, "unresolved", version, identity)])[0]
    except PyMongoError as error:
        raise unavailable(error, f"a question about a document of {namespace}") from error


def _source(change: Change) -> SourceSays:
    states: dict[str, SourceSays] = {
        "upsert": "there",
        "delete": "not there",
        "unreadable": "unreadable",
        "gone": "no collection",
    }
    return states[change.kind]


def _shaped(collection: FedGeneration, change: Change, found: IndexedDocument | None) -> _Shaped:
    if change.document is None:
        return _Shaped("", {})
    try:
        body = collection.transform(change.document)
    except DocumentError as error:
        return _Shaped("refused", {}, str(error))
    if body is None:
        return _Shaped("left out", {})
    return _Shaped("indexed", orjson.loads(as_left_out(body, found.source) if found else body))


def _fields(shaped: _Shaped, found: IndexedDocument | None) -> dict[str, FieldComparison]:
    if shaped.state != "indexed" and found is None:
        return {}
    return field_by_field(shaped.body, found.source if found else {})


def _version(found: IndexedDocument | None) -> int | None:
    return None if found is None else found.version
