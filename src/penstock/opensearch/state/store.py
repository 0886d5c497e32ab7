"""State without another database: documents in a small index, read in real time, written by compare-and-set."""

import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from penstock.errors import IndexTakenAway, PenstockError, SettingsError, SinkUnavailable, SystemicFault
from penstock.opensearch.http.bulk_response import bulk_items
from penstock.opensearch.http.client import Client, Response, Unreachable
from penstock.opensearch.http.error_table import judge_request, lost
from penstock.opensearch.http.waiting import RetryForever, Wait
from penstock.opensearch.index.system_index import ensure_system_index
from penstock.opensearch.read.by_ids import read_by_ids
from penstock.runtime.clock import passed_s

SCHEMA: Final = 3
"""Written with every document. 1 was before generations had records, 2 before renames were followed. Their documents
can be read, and are rewritten as 3."""

_READ: Final = frozenset({1, 2, SCHEMA})

STATE_INDEX: Final = "penstock-state"

_BODY: dict[str, Any] = {
    "mappings": {
        "dynamic": False,
        "properties": {"schema": {"type": "integer"}, "kind": {"type": "keyword"}, "name": {"type": "keyword"}},
    },
}


_PROBE: Final = b'{"update":{"_id":"penstock-guard","require_alias":true}}\n{"doc":{}}\n'
"""An update of a document that is not there changes nothing, and is refused where a write would be."""


class Conflict(PenstockError):
    """Another process has changed the document since it was read."""


StateDocument = Mapping[str, Any]
"""The fields of one state document."""


class Stored(NamedTuple):
    """A stored state document, with what a later write must name to replace exactly this one.

    `sent_at` (`passed_s`): no later than the moment when the request that wrote it was sent; None if it was read.
    """

    document: dict[str, Any]
    seq_no: int
    primary_term: int
    sent_at: float | None = None


class _Place(NamedTuple):
    """Where the index put a write."""

    seq_no: int
    primary_term: int


class StateStore:
    """Reads and writes state documents, and waits for the cluster if necessary. Several threads may use it."""

    def __init__(self, client: Client, patience: RetryForever, *, index: str = STATE_INDEX) -> None:
        self.index = index
        self.patience = patience
        self._client = client
        self._exists = False

    def get(self, ids: Iterable[str]) -> dict[str, Stored]:
        """Read documents in real time; missing ones are left out. Raises SettingsError for a newer format."""
        found = read_by_ids(self._client, self.patience, self.index, ids)
        return {
            state_id: Stored(self._known(state_id, each.source), each.seq_no, each.primary_term)
            for state_id, each in found.items()
        }

    def put(self, state_id: str, document: Mapping[str, Any], expected: Stored | None) -> Stored:
        """Replace exactly `expected` (None: there must be none yet); return what is stored then.

        A write whose response was lost is recognised by its content, so `document` must differ from any other
        writer's. Raises Conflict, SystemicFault, Stopped, SinkUnavailable.
        """
        if not self._exists:
            ensure_system_index(self._client, self.patience, self.index, _BODY)
            self._exists = True
        whole = {"schema": SCHEMA, **document}
        condition: dict[str, Any] = {"_id": state_id, "require_alias": True}
        if expected is not None:
            condition.update(if_seq_no=expected.seq_no, if_primary_term=expected.primary_term)
        action = "create" if expected is None else "index"
        body = b"%b\n%b\n" % (orjson.dumps({action: condition}), orjson.dumps(whole))
        first_sent_at = passed_s()
        with self.patience.attempts() as attempts:
            while True:
                sent_at = passed_s()
                verdict = self._send(state_id, body)
                if isinstance(verdict, _Place):
                    return Stored(whole, verdict.seq_no, verdict.primary_term, sent_at)
                if verdict is None:
                    return self._adopted(state_id, whole, first_sent_at)
                attempts.wait(verdict)

    def change(
        self, state_id: str, change: Callable[[StateDocument | None], StateDocument | None]
    ) -> tuple[StateDocument, bool]:
        """Change a document, again when others changed it meanwhile; return it, and whether it was changed.

        `change` is given what is stored, None if there is nothing, and returns None to leave it so: then nothing stored
        is an empty document. Raises as `put` does, but for Conflict, and what `change` raises.
        """
        while True:
            stored = self.get([state_id]).get(state_id)
            document = change(stored.document if stored else None)
            if document is None:
                return (stored.document if stored else {}), False
            try:
                return self.put(state_id, {**document, "written": secrets.token_hex(8)}, stored).document, True
            except Conflict:
                continue

    def delete(self, state_id: str) -> None:
        """Delete a document, if it exists. Only for documents that no worker will write again. Raises Stopped."""
        body = b"%b\n" % orjson.dumps({"delete": {"_id": state_id, "require_alias": True}})
        with self.patience.attempts() as attempts:
            while isinstance(verdict := self._send(state_id, body), Wait):
                attempts.wait(verdict)

    def why_no_writes(self) -> str:
        """Ask, by a request that writes nothing, whether documents can be written; return why not, empty if they can.

        Empty too for who has no right to write, and where there is no index. Raises nothing, and waits for nothing.
        """
        try:
            answer = self._client.request("POST", f"/{self.index}/_bulk", _PROBE)
            (item,) = (bulk_items(answer) if answer.ok else None) or (None,)
            verdict = item.judge() if item else judge_request(answer, f"POST /{self.index}/_bulk")
        except Unreachable as error:
            return str(error)
        except (SinkUnavailable, IndexTakenAway):
            return ""
        return verdict.detail if isinstance(verdict, Wait) else ""

    def _send(self, state_id: str, body: bytes) -> "_Place | Wait | None":
        """Send one write; return where it was written, why to wait, or None after a conflict."""
        try:
            answer = self._client.request("POST", f"/{self.index}/_bulk", body)
        except Unreachable as error:
            return lost(str(error), unclear=error.unclear)
        if not answer.ok:
            verdict = judge_request(answer, f"POST /{self.index}/_bulk")
            if isinstance(verdict, Wait):
                return verdict
            raise SystemicFault(f"The state {state_id} was refused ({verdict.status}: {verdict.reason}).")
        return self._judge(state_id, answer)

    def _judge(self, state_id: str, answer: Response) -> "_Place | Wait | None":
        items = bulk_items(answer)
        if items is None or len(items) != 1:
            return lost("not a valid bulk response", unclear=True)
        (item,) = items
        if item.id != state_id:
            return lost("the answer names another document", unclear=True)
        outcome = item.judge()
        if isinstance(outcome, Wait):
            return outcome
        if outcome == "written":
            return _Place(item.seq_no, item.primary_term)
        if outcome == "superseded":
            return None
        raise SystemicFault(f"The state {state_id} was refused ({outcome.status}: {outcome.reason}).")

    def _adopted(self, state_id: str, whole: dict[str, Any], sent_at: float) -> Stored:
        """After a conflict, return the document if it is ours: an earlier attempt succeeded without a response."""
        stored = self.get([state_id]).get(state_id)
        if stored is not None and stored.document == whole:
            return stored._replace(sent_at=sent_at)
        raise Conflict(f"The state {state_id} in {self.index} was changed by another worker.")

    def _known(self, state_id: str, document: dict[str, Any]) -> dict[str, Any]:
        if document.get("schema") not in _READ:
            raise SettingsError(
                f"The state {state_id} in {self.index} has the format {document.get('schema')!r}; this version of"
                f" penstock reads {SCHEMA}. Run the version that wrote it, or a newer one."
            )
        return document
