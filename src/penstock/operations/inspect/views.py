"""What can be seen of source and index from outside, without a lease and without waiting.

A source that is away is no reason to say nothing: its part is then empty, with the reason.

Inspection   what a command that only looks reads of the index, once
IndexView    the looks at the index
see_source   a look at the source
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote

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
from penstock.opensearch.http.client import Client, Unreachable
from penstock.opensearch.http.error_table import judge_request
from penstock.opensearch.http.requests import require_server
from penstock.opensearch.http.waiting import TODO_OF_WAIT, FailFast, Wait
from penstock.opensearch.read.by_ids import IndexedDocument, read_by_ids
from penstock.opensearch.read.ignored import IgnoredValues, ignored_values
from penstock.opensearch.state.generations import CollectionRecord, record_of
from penstock.opensearch.state.ids import generations_id
from penstock.opensearch.state.pattern_state import UnservedState
from penstock.opensearch.state.store import StateStore
from penstock.planner import present_names
from penstock.settings import Settings, SourceSettings

log = structlog.get_logger(__name__)


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
        aliases = self._ask(f"/_alias/{quote(alias, safe='')}")
        if not aliases:
            return None
        name = sorted(aliases)[-1]
        count = self._ask(f"/{quote(name, safe='')}/_count") or {}
        stats = self._ask(f"/{quote(name, safe='')}/_stats/indexing") or {}
        indexing = stats.get("_all", {}).get("primaries", {}).get("indexing")
        writes = indexing["index_total"] + indexing["delete_total"] if indexing else None
        return IndexOverview(name, count.get("count"), writes, frozenset(aliases) - {name})

    def ignored(self, index: str) -> IgnoredValues | None:
        """What an index or alias does not search by; None when that is not known."""
        return ignored_values(self.client, self._patience, index)

    def _ask(self, path: str) -> Any:
        """The answer's JSON, None when there is no such thing (or no such request, as on serverless)."""
        try:
            answer = self.client.request("GET", path)
        except Unreachable as error:
            raise self._unavailable(str(error), error.todo) from None
        if answer.status in (400, 404, 405):
            return None
        if not answer.ok:
            verdict = judge_request(answer, f"GET {path}")
            todo = TODO_OF_WAIT[verdict.reason] if isinstance(verdict, Wait) else ""
            raise self._unavailable(str(verdict[1]), todo)
        return answer.json()

    def _unavailable(self, detail: str, todo: str) -> SinkUnavailable:
        return SinkUnavailable(f"No usable response from {self.client.url}: {detail}.", todo)


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
