"""What can be seen of source and index from outside, without a lease and without waiting.

A source that is away is no reason to say nothing: its part is then empty, with the reason.

Inspection   what a command that only looks reads of the index, once
IndexView    the looks at the index
see_source   a look at the source
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any
from urllib.parse import quote

import orjson
import structlog
from pymongo.errors import PyMongoError

from penstock.connections import sink_client, source_connection
from penstock.errors import SettingsError, SinkUnavailable, SourceUnavailable
from penstock.model import Namespace, seconds_of
from penstock.mongo.collections import estimated_count
from penstock.mongo.connection import address, cluster_time
from penstock.mongo.error_table import in_words
from penstock.opensearch.dead_letters.letter import StoredLetter
from penstock.opensearch.dead_letters.search import REACTION_LETTER_INDEX, LetterSearch
from penstock.opensearch.http.client import Client, Response, Unreachable
from penstock.opensearch.http.error_table import judge_request
from penstock.opensearch.http.requests import require_server
from penstock.opensearch.http.waiting import TODO_OF_WAIT, FailFast, Wait
from penstock.opensearch.read.by_ids import IndexedDocument, read_by_ids
from penstock.opensearch.read.ignored import IgnoredValues, ignored_values
from penstock.opensearch.state.generations import CollectionRecord, record_of
from penstock.opensearch.state.ids import generations_id
from penstock.opensearch.state.pattern_state import UnservedState
from penstock.opensearch.state.store import StateStore, Stored
from penstock.planner import present_names
from penstock.settings import Settings, SourceSettings

log = structlog.get_logger(__name__)

Search = tuple[str, Mapping[str, Any]]
"""The name of an index or alias, and what is searched there."""

_COUNT: Mapping[str, Any] = {"size": 0, "track_total_hits": True}
_PATH_CHARACTERS = 3000
_SHOWN = 200
_REFUSED = frozenset({400, 401, 403, 404, 405})
_INDEXING = "indices.*.primaries.indexing.index_total,indices.*.primaries.indexing.delete_total"


@dataclass(frozen=True)
class SourceOverview:
    """The source's clock in seconds, and how many documents each collection holds."""

    now_s: float | None = None
    documents: Mapping[Namespace, int] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class IndexOverview:
    """The index behind an alias: how many documents it holds, how many writes it took since it was opened.

    `others` stand behind the alias too, which somebody else must have made so.
    """

    name: str
    documents: int | None
    writes: int | None
    others: frozenset[str] = frozenset()


def see_source(settings: SourceSettings, names: Mapping[Namespace, Namespace]) -> SourceOverview:
    """Look at the source; answers the reason when it cannot be seen. `names` has those at the source by the declared.

    Raises SettingsError.
    """
    try:
        with source_connection(settings) as connection:
            client = connection.client
            documents = {declared: estimated_count(client, present) for declared, present in names.items()}
            return SourceOverview(seconds_of(cluster_time(client)) or None, documents)
    except SourceUnavailable as error:
        return SourceOverview(problem=str(error))
    except PyMongoError as error:
        return SourceOverview(problem=f"The source at {address(settings)}: {in_words(error)}.")


class IndexView:
    """Looks at the index; whatever would make a worker wait is SinkUnavailable here."""

    def __init__(self, client: Client, own_aliases: Sequence[str] = ()) -> None:
        self.client = client
        self._patience = FailFast(client.url)
        self._store = StateStore(client, self._patience)
        self.letters = LetterSearch(client, self._patience, only=own_aliases)
        self._one_by_one = False
        self.reaction_letters = LetterSearch(client, self._patience, index=REACTION_LETTER_INDEX)

    def states(self, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """The state documents that there are. Raises SettingsError for a newer form."""
        return {state_id: stored.document for state_id, stored in self._store.get(ids).items()}

    def records(self, aliases: Sequence[str]) -> dict[str, CollectionRecord]:
        """The records of generations, by read alias. Raises SettingsError for a newer form."""
        found = map(record_of, self.states(list(map(generations_id, aliases))).values())
        return {record.alias: record for record in found}

    def unserved(self, tables: Iterable[str], deployment: str | None) -> dict[str, str]:
        """Why a worker of the deployment cannot serve collections of these tables of the settings, by their names."""
        return UnservedState(self._store, deployment).read(tables)

    def letter(self, namespace: Namespace, text_id: str, write_aliases: Iterable[str]) -> StoredLetter | None:
        """The dead letter of a document, of the first of these generations that has one."""
        found = (self.letters.find(namespace, [text_id], alias).get(text_id) for alias in write_aliases)
        return next((letter for letter in found if letter), None)

    def documents(self, index: str, ids: Sequence[str]) -> dict[str, IndexedDocument]:
        """Documents of an index or alias by their ids, in real time."""
        return read_by_ids(self.client, self._patience, index, ids)

    def mappings(self, alias: str) -> Mapping[str, Any]:
        """The mappings of the index behind the alias, empty when there is none."""
        found: Mapping[str, Any] = self._ask(f"/{quote(alias, safe='')}/_mapping") or {}
        return next((each["mappings"] for _, each in sorted(found.items(), reverse=True)), {})

    def behind(self, alias: str) -> IndexOverview | None:
        """The index behind the alias, None when there is none."""
        return self.behind_all([alias])[alias]

    def behind_all(self, aliases: Iterable[str]) -> dict[str, IndexOverview | None]:
        """The index behind each alias, None where there is none: three requests, or a few more where names are many."""
        return self.counted(self.indexes_of(aliases))

    def indexes_of(self, aliases: Iterable[str]) -> dict[str, list[str]]:
        """The names of the indexes behind each alias."""
        found: dict[str, list[str]] = {alias: [] for alias in aliases}
        for path in _paths("/_alias/", found):
            for index, each in (self._ask(path, partly=True) or {}).items():
                for alias in each["aliases"] if isinstance(each, dict) else ():
                    found[alias].append(index)
        return found

    def counted(
        self, indexes: Mapping[str, Sequence[str]], answers: Sequence[Any] | None = None
    ) -> dict[str, IndexOverview | None]:
        """Look at what stands behind each alias; `answers` are those to `searches_for_counts`, if they are there."""
        names = {alias: sorted(its)[-1] for alias, its in indexes.items() if its}
        writes = self._writes(set(names.values()))
        if answers is None:
            answers = self.search_all(searches_for_counts(indexes))
        documents = dict(zip(sorted(set(names.values())), map(_total, answers), strict=True))
        return {
            alias: IndexOverview(name, documents[name], writes.get(name), frozenset(indexes[alias]) - {name})
            if (name := names.get(alias))
            else None
            for alias in indexes
        }

    def search_all(self, searches: Sequence[Search]) -> list[Any]:
        """Search here and there by one request; None where there is no such index, or none that can be read.

        Each by itself where one request for all is refused: by its rights, or because its lines name the indexes.
        Raises SinkUnavailable.
        """
        if not searches:
            return []
        answer = None if self._one_by_one else self._post("/_msearch", _lines_of(searches))
        if answer is None or answer.status in _REFUSED:
            self._one_by_one = True
            return [self._search(index, body) for index, body in searches]
        parsed = self._taken(answer, "POST /_msearch")
        found = parsed.get("responses") if isinstance(parsed, dict) else None
        if found is None or len(found) != len(searches):
            raise self._unavailable("not a valid response to several searches", "")
        for (index, _), each in zip(searches, found, strict=True):
            if each.get("status") in (401, 403):
                raise self._unavailable(f"the search in {index} was refused ({each['status']})", "")
        return [None if "error" in each else each for each in found]

    def _search(self, index: str, body: Mapping[str, Any]) -> Any:
        path = f"/{quote(index, safe='')}/_search"
        answer = self._post(path, dict(body))
        return None if answer.status in (400, 404, 405) else self._taken(answer, f"POST {path}")

    def _writes(self, indexes: Iterable[str]) -> dict[str, int]:
        """How many writes each index took since it was opened; nothing of a closed one, or where nobody counts."""
        found = {}
        for path in _paths("/", sorted(indexes)):
            stats = self._ask(f"{path}/_stats/indexing?ignore_unavailable=true&filter_path={_INDEXING}") or {}
            for index, each in stats.get("indices", {}).items():
                its = each["primaries"]["indexing"]
                found[index] = its["index_total"] + its["delete_total"]
        return found

    def ignored(self, index: str) -> IgnoredValues | None:
        """What an index or alias does not search by; None when that is not known."""
        return ignored_values(self.client, self._patience, index)

    def _ask(self, path: str, *, partly: bool = False) -> Any:
        """The answer's JSON, None when there is no such thing (or no such request, as on serverless).

        `partly`: with 404, the answer is what there is of several things.
        """
        answer = self._request("GET", path)
        if answer.status == 404 and partly:
            return answer.json()
        if answer.status in (400, 404, 405):
            return None
        return self._taken(answer, f"GET {path.partition('?')[0][:_SHOWN]}")

    def _post(self, path: str, body: bytes | dict[str, Any]) -> Response:
        return self._request("POST", path, body)

    def _request(self, method: str, path: str, body: bytes | dict[str, Any] | None = None) -> Response:
        try:
            return self.client.request(method, path, body)
        except Unreachable as error:
            raise self._unavailable(str(error), error.todo) from None

    def _taken(self, answer: Response, what: str) -> Any:
        """The JSON of an answer that is no refusal."""
        if not answer.ok:
            verdict = judge_request(answer, what)
            todo = TODO_OF_WAIT[verdict.reason] if isinstance(verdict, Wait) else ""
            raise self._unavailable(str(verdict[1]), todo)
        return answer.json()

    def stored(self, ids: Iterable[str]) -> dict[str, Stored]:
        """The state documents that there are, with their sequence numbers. Raises SettingsError for a newer form."""
        return self._store.get(ids)

    def why_no_writes(self) -> str:
        """Why penstock's state takes no writes at present, empty where it does, or where one may not ask."""
        return self._store.why_no_writes()

    def _unavailable(self, detail: str, todo: str) -> SinkUnavailable:
        return SinkUnavailable(f"No usable response from {self.client.url}: {detail}.", todo)


def searches_for_counts(indexes: Mapping[str, Sequence[str]]) -> list[Search]:
    """The searches that count the documents of what stands behind each alias."""
    return [(name, _COUNT) for name in sorted({sorted(its)[-1] for its in indexes.values() if its})]


def _lines_of(searches: Sequence[Search]) -> bytes:
    lines = ((orjson.dumps({"index": index}), orjson.dumps(body)) for index, body in searches)
    return b"".join(b"%b\n%b\n" % each for each in lines)


def _total(answer: Any) -> int | None:
    """How many documents a search has found, None where not all shards have answered."""
    if answer is None or answer["timed_out"] or answer["_shards"]["failed"]:
        return None
    return int(answer["hits"]["total"]["value"])


def _paths(start: str, names: Iterable[str]) -> Iterator[str]:
    """Paths with all the names, none of them too long for a request's first line (4 KB by default)."""
    path, others = start, iter(names)
    for name in map(partial(quote, safe=""), others):
        if len(path) + len(name) > _PATH_CHARACTERS and path != start:
            yield path
            path = start
        path += name if path == start else f",{name}"
    if path != start:
        yield path


class Inspection:
    """What a command reads that only looks: each thing once, when it is first asked for. Close it.

    Nothing is joined to a pipeline for it. Raises SettingsError, SinkUnavailable.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def index(self) -> IndexView:
        """The index, over a connection of its own."""
        return IndexView(sink_client(self.settings), self.settings.own_aliases)

    @cached_property
    def records(self) -> Mapping[str, CollectionRecord]:
        """The records of the declared collections, by read alias."""
        return self.index.records(self.settings.aliases)

    @cached_property
    def names(self) -> Mapping[Namespace, Namespace]:
        """By its declared name, the one by which the source knows each collection now."""
        return present_names(self.settings, self.records)

    @cached_property
    def records_where_known(self) -> Mapping[str, CollectionRecord]:
        """The same records for what needs no index otherwise: none where it cannot be asked."""
        try:
            require_server(self.index.client)
            records = self.records
        except (SettingsError, SinkUnavailable) as error:
            log.warning("cannot check which collections have been served, or renamed", reason=str(error))
            records = {}
        return records

    def names_where_known(self) -> Mapping[Namespace, Namespace]:
        """The names at the source, for what needs no index otherwise: the declared ones where it cannot be asked."""
        follows = any(each.follows for each in self.settings.collections)
        return present_names(self.settings, self.records_where_known if follows else {})

    def close(self) -> None:
        """Close the connection, where one was opened."""
        if "index" in self.__dict__:
            self.index.client.close()
