"""The dead-letter index: one letter for each document that can never be indexed as it is."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from penstock.change import Letter, Namespace, Refusal, Write
from penstock.errors import SinkUnavailable, SystemicFault
from penstock.opensearch.bulk import MAX_ID_BYTES
from penstock.opensearch.by_ids import read_by_ids
from penstock.opensearch.client import Client
from penstock.opensearch.error_table import MISSING
from penstock.opensearch.requests import ask, error_of
from penstock.opensearch.sink import OpenSearchSink
from penstock.opensearch.stored_letter import SCHEMA, StoredLetter, letter_id, stored_letter
from penstock.opensearch.system_index import ensure_system_index
from penstock.opensearch.waiting import Patience

DEAD_LETTER_INDEX: Final = "penstock-dead-letters"
MAX_BODY_BYTES: Final = 8 * 1024

_KEPT_ONLY = {"type": "keyword", "index": False, "doc_values": False}
_BODY: dict[str, Any] = {
    "mappings": {
        "dynamic": False,
        "properties": {
            "schema": {"type": "integer"},
            "namespace": {"type": "keyword", "ignore_above": 1024},
            "alias": {"type": "keyword", "ignore_above": 1024},
            "id": {"type": "keyword", "ignore_above": 1024},
            "key": _KEPT_ONLY,
            "version": {"type": "long"},
            "position": {"type": "object", "enabled": False},
            "reason": {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 1024}}},
            "body": _KEPT_ONLY,
            "body_bytes": {"type": "long"},
            "stored_at": {"type": "date"},
        },
    },
}


class OpenSearchDeadLetters:
    """Implements `penstock.ports.DeadLetters` by the sink: a letter is a versioned write like any other."""

    def __init__(
        self, client: Client, sink: OpenSearchSink, patience: Patience, *, index: str = DEAD_LETTER_INDEX
    ) -> None:
        self.index = index
        self._client = client
        self._sink = sink
        self._patience = patience
        self._exists = False

    def store(self, letters: Sequence[Letter]) -> None:
        """Keep the letters; an older letter never replaces a newer one of the same document. Raises SystemicFault."""
        if not letters:
            return
        if not self._exists:
            ensure_system_index(self._client, self._patience, self.index, _BODY)
            self._exists = True
        now = datetime.now(UTC)
        outcomes = self._sink.write([self._write(letter, now) for letter in letters])
        for letter, outcome in zip(letters, outcomes, strict=True):
            if isinstance(outcome, Refusal):
                raise SystemicFault(
                    f"The dead letter of {letter.namespace} {letter.id[:MAX_ID_BYTES]} was itself refused by"
                    f" {self.index} ({outcome.status}: {outcome.reason}); going on would lose the document. Mend that"
                    " index (its mapping was changed?) and start again."
                )

    def find(self, namespace: Namespace, ids: Sequence[str], alias: str) -> dict[str, StoredLetter]:
        """The letters of these documents in a generation of a collection, by document id, in real time.

        Raises SettingsError for a newer form, SinkUnavailable, Stopped.
        """
        found = read_by_ids(
            self._client, self._patience, self.index, (letter_id(namespace, each, alias) for each in ids)
        )
        letters = [stored_letter(each.source, each.seq_no, each.primary_term) for each in found.values()]
        return {letter.id: letter for letter in letters}

    def count(self, namespaces: Iterable[Namespace]) -> dict[Namespace, int]:
        """How many letters each collection has; up to a second old. Raises SinkUnavailable."""
        counts = dict.fromkeys(namespaces, 0)
        by_name = {str(namespace): namespace for namespace in counts}
        body = {
            "size": 0,
            "query": {"terms": {"namespace": list(by_name)}},
            "aggs": {"namespaces": {"terms": {"field": "namespace", "size": max(len(by_name), 1)}}},
        }
        answer = ask(self._client, self._patience, "POST", f"/{self.index}/_search", body)
        if not answer.ok:
            kind, reason = error_of(answer)
            if kind in MISSING:
                return counts
            raise SinkUnavailable(f"The dead letters in {self.index} cannot be counted: {kind}: {reason}.")
        for bucket in answer.json()["aggregations"]["namespaces"]["buckets"]:
            counts[by_name[bucket["key"]]] = bucket["doc_count"]
        return counts

    def count_of(self, alias: str) -> int:
        """How many letters a generation has, by its write alias; up to a second old. Raises SinkUnavailable."""
        body = {"query": {"term": {"alias": alias}}}
        answer = ask(self._client, self._patience, "POST", f"/{self.index}/_count", body)
        if answer.ok:
            return int(answer.json()["count"])
        kind, reason = error_of(answer)
        if kind in MISSING:
            return 0
        raise SinkUnavailable(f"The dead letters in {self.index} cannot be counted: {kind}: {reason}.")

    def clear(self, alias: str, *, before: int | None = None) -> int:
        """Remove the letters of a generation, by its write alias; answers how many. Raises SinkUnavailable.

        All of them, when it is dropped; those with a version below `before`, when every document was read at that time
        or later and written, or refused again.
        """
        older = [] if before is None else [{"range": {"version": {"lt": before}}}]
        body = {"query": {"bool": {"filter": [{"term": {"alias": alias}}, *older]}}}
        ask(self._client, self._patience, "POST", f"/{self.index}/_refresh")
        answer = ask(
            self._client, self._patience, "POST", f"/{self.index}/_delete_by_query?conflicts=proceed&refresh=true", body
        )
        if answer.ok:
            return int(answer.json().get("deleted", 0))
        kind, reason = error_of(answer)
        if kind in MISSING:
            return 0
        raise SinkUnavailable(f"The dead letters in {self.index} cannot be removed: {kind}: {reason}.")

    def _write(self, letter: Letter, now: datetime) -> Write:
        body = letter.body or b""
        document = {
            "schema": SCHEMA,
            "namespace": str(letter.namespace),
            "alias": letter.alias,
            "id": letter.id,
            "key": letter.key,
            "version": letter.version,
            "position": {"token": letter.position.token, "time": letter.position.time},
            "reason": letter.reason,
            "body": body[:MAX_BODY_BYTES].decode("utf-8", "ignore") if letter.body is not None else None,
            "body_bytes": len(body),
            "stored_at": now,
        }
        return Write(
            self.index, letter_id(letter.namespace, letter.id, letter.alias), letter.version, orjson.dumps(document)
        )
