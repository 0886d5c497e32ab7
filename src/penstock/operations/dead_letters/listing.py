"""The dead letters as people ask for them: looked at, judged by what index and source hold now, and dropped."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pymongo.errors import PyMongoError

from penstock.connections import sink_client, source_connection
from penstock.documents.document_id import document_id
from penstock.errors import IndexUnreadable, SourceUnavailable
from penstock.model import Namespace
from penstock.mongo.collections import exists, find_by_ids
from penstock.mongo.connection import SourceClient
from penstock.mongo.error_table import unavailable
from penstock.observe.metrics import Metrics
from penstock.opensearch.dead_letters.letter import StoredLetter
from penstock.opensearch.dead_letters.search import LetterFilter, LetterGroup, LetterSearch, LetterTally
from penstock.opensearch.http.waiting import RetryForever
from penstock.opensearch.index.indexes import index_of, write_alias_of
from penstock.opensearch.state.ids import reaction_id
from penstock.operations.inspect.views import Inspection
from penstock.settings import Settings

LetterState = Literal["open", "superseded", "deleted", "no collection", "unknown"]
"""Open: the document is still to be indexed. Superseded: the index holds its state of then, or a later one. Deleted:
the source does not hold it any more. No collection: nor its collection. Unknown: the source or the index does not
answer, or the source cannot be asked for such an `_id`."""


class JudgedLetter(NamedTuple):
    """A letter and what it is worth now."""

    letter: StoredLetter
    state: LetterState


@dataclass(frozen=True)
class Listing:
    """The newest letters, how many there are of which reason, and those of collections that are not declared here.

    `reactions` has how many events the targets of declared reactions have refused, where there are any.
    `source_problem` and `index_problem` say why states are not known.
    """

    letters: list[JudgedLetter]
    tally: LetterTally
    undeclared: dict[str, int]
    reactions: dict[str, int]
    source_problem: str = ""
    index_problem: str = ""


def declared(settings: Settings) -> tuple[Namespace, ...]:
    """The declared collections."""
    return tuple(Namespace.named(each.namespace) for each in settings.collections)


def list_letters(settings: Settings, wanted: LetterFilter, *, limit: int) -> Listing:
    """Look at the newest letters. Raises SettingsError, SinkUnavailable."""
    with closing(Inspection(settings)) as seen:
        kept = seen.index.letters
        letters, tally = kept.newest(wanted, limit)
        everywhere = kept.tally(LetterFilter()).collections
        ours = {str(each) for each in (*declared(settings), *wanted.namespaces)}
        undeclared = {name: count for name, count in everywhere.items() if name not in ours}
        reactions = _of_reactions(seen)
        judged, *problems = _judge(seen, letters)
    return Listing(judged, tally, undeclared, reactions, *problems)


def _of_reactions(seen: Inspection) -> dict[str, int]:
    names = {reaction_id(each.name, seen.settings.pipeline.name): each.name for each in seen.settings.reactions}
    if not names:
        return {}
    counts = seen.index.reaction_letters.counts_of(names)
    return {names[state_id]: count for state_id, count in counts.items() if count}


def groups(settings: Settings, wanted: LetterFilter) -> list[LetterGroup]:
    """How many letters there are by collection and reason. Raises SettingsError, SinkUnavailable."""
    with closing(Inspection(settings)) as seen:
        return seen.index.letters.groups(wanted)


def find_letter(settings: Settings, namespace: Namespace, text_id: str) -> JudgedLetter | None:
    """One letter, with its body; that of the index that people search first. Raises SettingsError, SinkUnavailable."""
    with closing(Inspection(settings)) as seen:
        found = seen.index.letter(namespace, text_id, _write_aliases(seen, namespace))
        return _judge(seen, [found])[0][0] if found else None


def _judge(seen: Inspection, letters: Sequence[StoredLetter]) -> tuple[list[JudgedLetter], str, str]:
    """The letters with their states, and why the source and an index were not asked, if they were not."""
    superseded, unreadable = _superseded(seen.index.letters, letters)
    try:
        gone, problem = _gone(seen, letters) if letters else {}, ""
    except SourceUnavailable as error:
        gone, problem = dict.fromkeys(((each.namespace, each.id) for each in letters), "unknown"), str(error)

    def state(letter: StoredLetter) -> LetterState:
        if letter.letter_id in superseded:
            return "superseded"
        return gone.get((letter.namespace, letter.id), "unknown" if letter.alias in unreadable else "open")

    judged = [JudgedLetter(each, state(each)) for each in letters]
    return judged, problem, "; ".join(dict.fromkeys(unreadable.values()))


def _superseded(kept: LetterSearch, letters: Sequence[StoredLetter]) -> tuple[set[str], dict[str, str]]:
    """The ids of those that are superseded, and the write aliases that cannot be read, with the reason."""
    superseded: set[str] = set()
    unreadable: dict[str, str] = {}
    for alias in dict.fromkeys(each.alias for each in letters):
        try:
            superseded |= kept.superseded([each for each in letters if each.alias == alias])
        except IndexUnreadable as error:
            unreadable[alias] = str(error)
    return superseded, unreadable


def _write_aliases(seen: Inspection, namespace: Namespace) -> list[str]:
    """Those of the collection's generations, the serving one first; of one that is not declared the first one's."""
    alias = next((each.alias for each in seen.settings.collections if each.namespace == str(namespace)), "")
    record = seen.records.get(alias)
    generations = sorted(record.generations, key=lambda each: each.role != "serving") if record else []
    return [each.write_alias for each in generations] or [write_alias_of(index_of(alias, 1))]


@contextmanager
def kept_letters(settings: Settings, stop: threading.Event) -> Iterator[LetterSearch]:
    """The letters, for work that waits for the cluster until `stop` is set."""
    with closing(sink_client(settings)) as client:
        yield LetterSearch(client, RetryForever(Metrics(), stop), only=settings.own_aliases)


def drop(
    kept: LetterSearch,
    wanted: LetterFilter,
    stop: threading.Event,
    *,
    on_page: Callable[[int], None] = lambda _: None,
) -> int:
    """Remove letters; answers how many. A newer letter of a document that is stored meanwhile stays."""
    dropped = 0
    with closing(kept.pages(wanted)) as pages:
        for page in pages:
            if stop.is_set():
                break
            dropped += len(page) - len(kept.remove(page))
            on_page(dropped)
    return dropped


def _gone(seen: Inspection, letters: Sequence[StoredLetter]) -> dict[tuple[Namespace, str], LetterState]:
    """Those documents that the source does not hold. Raises SourceUnavailable."""
    by_namespace: dict[Namespace, list[StoredLetter]] = defaultdict(list)
    for letter in letters:
        by_namespace[letter.namespace].append(letter)
    names = seen.names
    with source_connection(seen.settings.source) as connection:
        try:
            return {
                (namespace, text_id): state
                for namespace, its in by_namespace.items()
                for text_id, state in _gone_of(connection.client, names.get(namespace, namespace), its)
            }
        except PyMongoError as error:
            raise unavailable(error, "the list of collections") from error


def _gone_of(
    client: SourceClient, namespace: Namespace, letters: Sequence[StoredLetter]
) -> Iterator[tuple[str, LetterState]]:
    there = exists(client, namespace)
    asked = [letter for letter in letters if letter.can_be_read]
    held = {document_id(each) for each in find_by_ids(client, namespace, [each.source_id for each in asked])}
    for letter in letters:
        if not there:
            yield letter.id, "no collection"
        elif letter not in asked:
            yield letter.id, "unknown"
        elif letter.id not in held:
            yield letter.id, "deleted"
