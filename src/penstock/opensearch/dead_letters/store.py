"""The dead-letter index: a letter for each document that can never be indexed as it is."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from penstock.documents.document_id import MAX_ID_BYTES
from penstock.errors import SinkUnavailable, SystemicFault
from penstock.model import Letter, Refusal, Write
from penstock.opensearch.dead_letters.letter import SCHEMA, letter_id
from penstock.opensearch.dead_letters.search import DEAD_LETTER_INDEX, LetterSearch
from penstock.opensearch.http.client import Client
from penstock.opensearch.http.error_table import MISSING
from penstock.opensearch.http.requests import ask, error_of
from penstock.opensearch.http.waiting import RetryForever
from penstock.opensearch.index.system_index import ensure_system_index
from penstock.opensearch.write.sink import OpenSearchSink

MAX_BODY_BYTES: Final = 8 * 1024

BODIES_KEPT: Final = 10_000
"""Letters of a collection beyond this number are stored without the refused body, which is at the source."""

OF_REACTIONS: Final = "reaction/"
"""How the aliases of reactions begin, which are no aliases of an index but the ids of their state."""

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


class OpenSearchDeadLetters(LetterSearch):
    """Implements `penstock.ports.DeadLetters` with the sink: a letter is a versioned write like any other."""

    def __init__(
        self,
        client: Client,
        sink: OpenSearchSink,
        patience: RetryForever,
        *,
        index: str = DEAD_LETTER_INDEX,
        kept: int = 100_000,
        bodies_kept: int = BODIES_KEPT,
        body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        """`body_bytes`: how much of a body is kept."""
        super().__init__(client, patience, index=index)
        self._body_bytes = body_bytes
        self._kept = kept
        self._bodies_kept = bodies_kept
        self._sink = sink
        self._exists = False

    def store(self, letters: Sequence[Letter]) -> None:
        """Store the letters; an older letter never replaces a newer one for the same document.

        Raises SystemicFault if there is no room for them, or if one is itself refused.
        """
        if not letters:
            return
        if not self._exists:
            ensure_system_index(self._client, self._patience, self.index, _BODY)
            self._exists = True
        counts = self._count("alias", {letter.alias for letter in letters})
        self._refuse_too_many(letters, counts)
        now = datetime.now(UTC)
        outcomes = self._sink.write(
            [self._write(letter, now, with_body=counts[letter.alias] < self._bodies_kept) for letter in letters]
        )
        for letter, outcome in zip(letters, outcomes, strict=True):
            if isinstance(outcome, Refusal):
                raise SystemicFault(
                    f"The dead letter of {letter.namespace} {letter.id[:MAX_ID_BYTES]} was itself refused by"
                    f" {self.index} ({outcome.status}: {outcome.reason}); going on would lose the document. Repair that"
                    " index (was its mapping changed?) and start again."
                )

    def clear(self, alias: str, *, before: int | None = None) -> int:
        """Remove the letters of a generation, by its write alias; return how many. Raises SinkUnavailable.

        All of them if it is dropped; or those with a version below `before`, if every document was read at that time or
        later and written, or refused again.
        """
        older = [] if before is None else [{"range": {"version": {"lt": before}}}]
        body = {"query": {"bool": {"filter": [{"term": {"alias": alias}}, *older]}}}
        self._sink.may_send()
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

    def _refuse_too_many(self, letters: Sequence[Letter], counts: Mapping[str, int]) -> None:
        """Count by generation, so that a new one that refuses many documents does not use up the serving one's room."""
        for alias, count in counts.items():
            its = {letter.id: letter.namespace for letter in letters if letter.alias == alias}
            namespace = next(iter(its.values()))
            if (
                count + len(its) <= self._kept
                or count + len(its.keys() - self.find(namespace, list(its), alias).keys()) <= self._kept
            ):
                continue
            which = f"--reaction {alias.rpartition('/')[2]}" if alias.startswith(OF_REACTIONS) else namespace
            raise SystemicFault(
                f"{namespace} has {count:,} dead letters, and [pipeline] dead_letters_kept is {self._kept:,}; going on"
                f" would lose documents. See `penstock dead-letters list {which}`: fix the cause and replay them,"
                " drop them, or raise the setting; then start again."
            )

    def _write(self, letter: Letter, now: datetime, *, with_body: bool) -> Write:
        body = letter.body or b""
        document = {
            "schema": SCHEMA,
            "namespace": str(letter.namespace),
            "alias": letter.alias,
            "id": letter.id,
            "key": letter.id_json,
            "version": letter.version,
            "position": {"token": letter.position.token, "time": letter.position.time},
            "reason": letter.reason,
            "body": body[: self._body_bytes].decode("utf-8", "ignore")
            if with_body and letter.body is not None
            else None,
            "body_bytes": len(body),
            "stored_at": now,
        }
        return Write(
            self.index, letter_id(letter.namespace, letter.id, letter.alias), letter.version, orjson.dumps(document)
        )
