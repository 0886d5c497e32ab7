"""A look at one document wherever it leaves a trace: source, transform, index, dead letters, load, checkpoint."""

from dataclasses import dataclass
from typing import Any

from penstock.documents.document_id import id_json
from penstock.documents.omitted import left_out
from penstock.model import Change
from penstock.mongo.connection import Connection
from penstock.opensearch.dead_letters.letter import StoredLetter
from penstock.opensearch.read.by_ids import IndexedDocument
from penstock.operations.explain.diagnosis import Diagnosis, Evidence, conclude
from penstock.operations.explain.document_ref import DocumentRef
from penstock.operations.explain.feeding import Feeding
from penstock.operations.explain.log_place import LogPlace
from penstock.operations.explain.moved_points import moved_points
from penstock.operations.explain.present_state import present_state, source_says, transformed
from penstock.operations.inspect.differences import NotCompared
from penstock.operations.inspect.views import Inspection
from penstock.planner import FedGeneration, Plan

_LOOKS = 3


@dataclass(frozen=True)
class Explanation:
    """What was seen of a document, and the conclusion. `id_json` is its `_id` as canonical extended JSON.

    `source_id` is the `_id` as it is stored, or else as it was asked for. `log` is where its changes go by.
    """

    id: str
    id_json: str
    seen: Evidence
    letter: StoredLetter | None
    conclusion: Diagnosis
    source_id: Any = None
    log: LogPlace | None = None


@dataclass(frozen=True)
class DocumentLook:
    """Where to look, and for what."""

    seen: Inspection
    connection: Connection
    plan: Plan
    collection: FedGeneration
    asked: DocumentRef
    liveness_s: float

    def once(self) -> Explanation:
        """Look; again when the index took a write meanwhile.

        Raises SettingsError, SourceUnavailable, SinkUnavailable.
        """
        namespace = self.collection.namespace
        for _ in range(_LOOKS):
            found, letter = self._indexed(), self._letter()
            source_id = self.asked.source_id_by(found, letter)
            change = present_state(self.connection, self.collection.source, source_id)._replace(namespace=namespace)
            if _version(self._indexed()) == _version(found):
                break
        evidence = self._evidence(found, letter, change)
        return Explanation(self.asked.text, id_json(source_id), evidence, letter, conclude(evidence), change.id)

    def _letter(self) -> StoredLetter | None:
        return self.seen.index.letter(self.collection.namespace, self.asked.text, [self.collection.write_alias])

    def _indexed(self) -> IndexedDocument | None:
        return self.seen.index.documents(self.collection.settings.alias, [self.asked.text]).get(self.asked.text)

    def _feeding(self) -> Feeding:
        index = self.seen.index.behind(self.collection.settings.alias)
        name = index.name if index else None
        return Feeding(self.seen, self.plan.name, self.collection.namespace, name, liveness_s=self.liveness_s)

    def _evidence(self, found: IndexedDocument | None, letter: StoredLetter | None, change: Change) -> Evidence:
        made, feeding, settings = transformed(self.collection, change, found), self._feeding(), self.collection.settings
        record, mappings = self.seen.records.get(settings.alias), self.seen.index.mappings(settings.alias)
        return Evidence(
            namespace=str(change.namespace),
            source=source_says(change),
            time=change.version,
            index=feeding.index,
            version=_version(found),
            transformed=made.state,
            reason=made.reason or change.reason,
            fields=made.compared_with(found, NotCompared.of(settings.not_compared, mappings)),
            ignored=(*found.ignored, *left_out(found.source)) if found else (),
            moved=moved_points(mappings, found.source) if found else (),
            letter=letter.reason if letter and letter.version > (_version(found) or -1) else "",
            load=feeding.load,
            worker=feeding.worker,
            position=feeding.position,
            runs_other_code=self.collection.runs_other_code,
            moved_on=tuple(record.moved_on(self.collection.now)) if record else (),
        )


def _version(found: IndexedDocument | None) -> int | None:
    return None if found is None else found.version
