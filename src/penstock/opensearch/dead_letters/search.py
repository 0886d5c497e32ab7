"""Finds, counts and searches the stored dead letters, and removes them one by one."""

import re
from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple

import orjson

from penstock.errors import SinkUnavailable
from penstock.model import Namespace, Refusal
from penstock.opensearch.dead_letters.letter import StoredLetter, earlier_letter_ids, letter_id, stored_letter
from penstock.opensearch.http.bulk_response import bulk_items
from penstock.opensearch.http.client import Client
from penstock.opensearch.http.error_table import MISSING
from penstock.opensearch.http.requests import ask, error_of
from penstock.opensearch.http.waiting import RetryForever, Wait
from penstock.opensearch.read.by_ids import read_by_ids
from penstock.opensearch.read.scan import scrolled

DEAD_LETTER_INDEX: Final = "penstock-dead-letters"

REACTION_LETTER_INDEX: Final = "penstock-reaction-letters"
"""Those of reactions stand apart: they are events, of which a document may have several, kept whole."""

PAGE: Final = 100

_REASONS = 5
_COLLECTIONS = 1000
_GROUPS = 1000
_WILDCARDS = re.compile(r"[*?\\]")
_LUCENE = re.compile(r"[^\w-]")
"""What may be an operator of Lucene's regular expressions."""
_ESCAPED = r"\\\g<0>"


@dataclass(frozen=True)
class LetterFilter:
    """Selects letters: of these collections (none: all), with this text in the reason, stored in this period.

    `alias`: only those that go by it, such as a reaction's. `ids`: only those of these documents, or events.
    """

    namespaces: tuple[Namespace, ...] = ()
    reason: str = ""
    before: datetime | None = None
    after: datetime | None = None
    alias: str = ""
    ids: tuple[str, ...] = ()

    @property
    def query(self) -> dict[str, Any]:
        """Return the filter as an OpenSearch query."""
        conditions: list[dict[str, Any]] = []
        if self.namespaces:
            conditions.append({"terms": {"namespace": [str(each) for each in self.namespaces]}})
        if self.reason:
            text = _WILDCARDS.sub(_ESCAPED, self.reason)
            within = {"wildcard": {"reason.keyword": {"value": f"*{text}*", "case_insensitive": True}}}
            words = {"match_phrase": {"reason": self.reason}}  # for a reason too long to be stored as a keyword
            conditions.append({"bool": {"should": [within, words], "minimum_should_match": 1}})
        if self.alias:
            conditions.append({"term": {"alias": self.alias}})
        if self.ids:
            conditions.append({"terms": {"id": list(self.ids)}})
        if self.before is not None:
            conditions.append({"range": {"stored_at": {"lt": self.before.isoformat()}}})
        if self.after is not None:
            conditions.append({"range": {"stored_at": {"gte": self.after.isoformat()}}})
        return {"bool": {"filter": conditions}}


LetterField = Literal["namespace", "alias"]


class LetterTally(NamedTuple):
    """The number of letters, by collection, and the most common reasons."""

    total: int
    collections: Mapping[str, int]
    reasons: Mapping[str, int]


class LetterGroup(NamedTuple):
    """Letters of one collection with the same reason, and when the last of them was stored.

    `alias`: what they go by, such as a reaction's. The reason is empty for those that are too long to be grouped.
    """

    namespace: str
    alias: str
    reason: str
    letters: int
    latest_at: datetime


class LetterSearch:
    """Reads what `OpenSearchDeadLetters` has stored, and removes it. Raises SinkUnavailable, Stopped.

    `only`: the read aliases whose letters are found, by their generations; where there are none, all.
    """

    def __init__(
        self, client: Client, patience: RetryForever, *, index: str = DEAD_LETTER_INDEX, only: Iterable[str] = ()
    ) -> None:
        self.index = index
        self._client = client
        self._patience = patience
        self._only = [{"regexp": {"alias": f"{_LUCENE.sub(_ESCAPED, alias)}-g[0-9]+-write"}} for alias in only]

    def find(self, namespace: Namespace, ids: Sequence[str], alias: str) -> dict[str, StoredLetter]:
        """Return the letters of these documents in a generation of a collection, by document id, in real time.

        Raises SettingsError for a newer format, SinkUnavailable, Stopped.
        """
        those = [name for each in ids for name in earlier_letter_ids(namespace, each, alias)]
        those += [letter_id(namespace, each, alias) for each in ids]
        found = read_by_ids(self._client, self._patience, self.index, those)
        letters = [
            stored_letter(each.source, name, each.seq_no, each.primary_term)
            for name in those
            if (each := found.get(name))
        ]
        return {letter.id: letter for letter in letters if letter.alias == alias}

    def count(self, namespaces: Iterable[Namespace]) -> dict[Namespace, int]:
        """Return how many letters each collection has; up to a second old. Raises SinkUnavailable."""
        by_name = {str(namespace): namespace for namespace in namespaces}
        return {by_name[name]: count for name, count in self._count("namespace", by_name).items()}

    def count_of(self, alias: str) -> int:
        """Return how many letters a generation has, by write alias; up to a second old. Raises SinkUnavailable."""
        return self.counts_of([alias])[alias]

    def counts_of(self, aliases: Iterable[str]) -> dict[str, int]:
        """Return the same of several generations, or of reactions, by the alias that their letters go by."""
        return self._count("alias", aliases)

    def counting(self, field: LetterField, names: Iterable[str]) -> dict[str, Any]:
        """Return the search that counts letters by a field; `counted` reads its answer."""
        those = list(names)
        return {
            "size": 0,
            "query": self._among({"terms": {field: those}}),
            "aggs": {"names": {"terms": {"field": field, "size": max(len(those), 1)}}},
        }

    def _count(self, field: LetterField, names: Iterable[str]) -> dict[str, int]:
        those = list(names)
        answer = ask(self._client, self._patience, "POST", f"/{self.index}/_search", self.counting(field, those))
        if not answer.ok:
            kind, reason = error_of(answer)
            if kind in MISSING:
                return counted(None, those)
            raise SinkUnavailable(f"The dead letters in {self.index} cannot be counted: {kind}: {reason}.")
        parsed = answer.json()
        if not isinstance(parsed, dict) or "aggregations" not in parsed:
            raise SinkUnavailable(f"The dead letters in {self.index} cannot be counted: not a valid response.")
        return counted(parsed, those)

    def newest(self, wanted: LetterFilter, limit: int) -> tuple[list[StoredLetter], LetterTally]:
        """Return the latest letters, without their bodies, and how many there are in total."""
        terms = {"collections": ("namespace", _COLLECTIONS), "reasons": ("reason.keyword", _REASONS)}
        body = {
            **self._form(wanted),
            "size": limit,
            "sort": [{"stored_at": "desc"}],
            "track_total_hits": True,
            "aggs": {name: {"terms": {"field": field, "size": size}} for name, (field, size) in terms.items()},
        }
        ask(self._client, self._patience, "POST", f"/{self.index}/_refresh")
        answer = ask(self._client, self._patience, "POST", f"/{self.index}/_search", body)
        if not answer.ok:
            kind, reason = error_of(answer)
            if kind in MISSING:
                return [], LetterTally(0, {}, {})
            raise SinkUnavailable(f"The dead letters in {self.index} cannot be searched: {kind}: {reason}.")
        found = answer.json()
        counts = {
            name: {each["key"]: each["doc_count"] for each in found["aggregations"][name]["buckets"]} for name in terms
        }
        total = found["hits"]["total"]["value"]
        return _letters(found["hits"]["hits"]), LetterTally(total, counts["collections"], counts["reasons"])

    def groups(self, wanted: LetterFilter) -> list[LetterGroup]:
        """Return how many letters there are by collection and reason, the largest groups first; bounded."""
        fields = {"namespace": "namespace", "alias": "alias", "reason": "reason.keyword"}
        sources = [{name: {"terms": {"field": field, "missing_bucket": True}}} for name, field in fields.items()]
        latest = {"latest": {"max": {"field": "stored_at"}}}
        groups = {"composite": {"size": _GROUPS, "sources": sources}, "aggs": latest}
        body = {"size": 0, "query": self._among(wanted.query), "aggs": {"groups": groups}}
        ask(self._client, self._patience, "POST", f"/{self.index}/_refresh")
        answer = ask(self._client, self._patience, "POST", f"/{self.index}/_search", body)
        if not answer.ok:
            kind, reason = error_of(answer)
            if kind in MISSING:
                return []
            raise SinkUnavailable(f"The dead letters in {self.index} cannot be searched: {kind}: {reason}.")
        found = [_group(each) for each in answer.json()["aggregations"]["groups"]["buckets"]]
        return sorted(found, key=lambda each: (-each.letters, each.namespace, each.reason))

    def tally(self, wanted: LetterFilter) -> LetterTally:
        """Return how many letters there are."""
        return self.newest(wanted, 0)[1]

    def pages(self, wanted: LetterFilter, *, by_version: bool = False) -> Generator[list[StoredLetter]]:
        """Yield the letters as they were at the start, without their bodies. Close it when you leave it early."""
        if not self.tally(wanted).total:
            return
        query = {**self._form(wanted), "size": PAGE, "sort": ["version", "id"] if by_version else ["_doc"]}
        for hits in scrolled(self._client, self._patience, self.index, query):
            yield _letters(hits)

    def superseded(self, letters: Sequence[StoredLetter]) -> frozenset[str]:
        """Return the ids of the letters whose document is in the index in that state or a later one."""
        by_alias: dict[str, list[StoredLetter]] = defaultdict(list)
        for letter in letters:
            by_alias[letter.alias].append(letter)
        found = set()
        for alias, its in by_alias.items():
            indexed = read_by_ids(self._client, self._patience, alias, (each.id for each in its), with_source=False)
            found |= {each.letter_id for each in its if each.id in indexed and indexed[each.id].version >= each.version}
        return frozenset(found)

    def remove(self, letters: Sequence[StoredLetter]) -> list[StoredLetter]:
        """Remove exactly these; return those that stay because a newer one for the document was stored meanwhile."""
        if not letters:
            return []
        lines = b"".join(_removal(letter) for letter in letters)
        with self._patience.attempts() as attempts:
            while (wait := self._send(lines)) is not None:
                attempts.wait(wait)
        ids = [letter.letter_id for letter in letters]
        there = read_by_ids(self._client, self._patience, self.index, ids, with_source=False)
        return [letter for letter in letters if letter.letter_id in there]

    def _form(self, wanted: LetterFilter) -> dict[str, Any]:
        without = {"excludes": ["body", "position"]}
        return {"query": self._among(wanted.query), "_source": without, "seq_no_primary_term": True}

    def _among(self, query: dict[str, Any]) -> dict[str, Any]:
        """Return the query for those of them that are found here."""
        if not self._only:
            return query
        return {"bool": {"filter": [query], "should": self._only, "minimum_should_match": 1}}

    def _send(self, lines: bytes) -> Wait | None:
        """Send the removals; return the wait that one of them asks for. Sending them again is harmless."""
        answer = ask(self._client, self._patience, "POST", f"/{self.index}/_bulk", lines)
        for item in bulk_items(answer) or ():
            verdict = item.judge()
            if isinstance(verdict, Wait):
                return verdict
            if isinstance(verdict, Refusal):
                raise SinkUnavailable(
                    f"A dead letter in {self.index} cannot be removed ({verdict.status}: {verdict.reason})."
                )
        return None


def _group(bucket: Mapping[str, Any]) -> LetterGroup:
    key = bucket["key"]
    latest = datetime.fromtimestamp(bucket["latest"]["value"] / 1000, UTC)
    return LetterGroup(key["namespace"], key["alias"], key["reason"] or "", bucket["doc_count"], latest)


def counted(answer: Any, names: Iterable[str]) -> dict[str, int]:
    """Return how many letters each name has, by the answer to the search; None: there is no index."""
    found = answer["aggregations"]["names"]["buckets"] if answer else ()
    return {**dict.fromkeys(names, 0), **{bucket["key"]: bucket["doc_count"] for bucket in found}}


def _letters(hits: Sequence[dict[str, Any]]) -> list[StoredLetter]:
    return [stored_letter(hit["_source"], hit["_id"], hit["_seq_no"], hit["_primary_term"]) for hit in hits]


def _removal(letter: StoredLetter) -> bytes:
    state = {"_id": letter.letter_id, "if_seq_no": letter.seq_no, "if_primary_term": letter.primary_term}
    return orjson.dumps({"delete": state}) + b"\n"
