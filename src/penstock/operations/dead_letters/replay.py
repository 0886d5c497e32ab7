"""Replays dead letters: the present state of each document is read from the source and written.

    superseded   the index holds the letter's state or a later one: the letter is removed, nothing is written
    read         the present state, with the cluster time from before it was read, goes the way of every change
    removed      exactly the letter that was replayed: where the document was refused again, a newer one has its place

Safe while workers run: versions decide in the index, sequence numbers in the letters.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import structlog

from penstock.connections import sink_client, source_connection
from penstock.delivery.apply import Applier
from penstock.delivery.databases import FedPlan, databases
from penstock.errors import IndexUnreadable, SettingsError, SystemicFault
from penstock.model import Change, Counts, Position
from penstock.mongo.connection import cluster_time
from penstock.observe.metrics import Metrics
from penstock.opensearch.dead_letters.letter import StoredLetter
from penstock.opensearch.dead_letters.search import LetterFilter, LetterSearch
from penstock.operations.dead_letters.listing import declared
from penstock.planner import FedGeneration
from penstock.settings import Settings
from penstock.wiring import Adapters, Wiring
from penstock.worker.recovery.source_rewind import require_same_source

log = structlog.get_logger(__name__)


@dataclass
class ReplayedLetters:
    """What a replay did.

    `refused`: they are kept, in a newer form. `left`: their collection is not there at present, their index cannot be
    read, or their `_id` cannot be asked for.
    """

    letters: int = 0
    superseded: int = 0
    done: int = 0
    refused: int = 0
    left: int = 0


def replay_letters(
    settings: Settings,
    wanted: LetterFilter,
    *,
    stop: threading.Event,
    on_page: Callable[[ReplayedLetters], None] = lambda _: None,
) -> ReplayedLetters:
    """Replay the letters of declared collections until all were tried once, or `stop` is set.

    Raises SettingsError, SourceUnavailable, SinkUnavailable, SystemicFault, Stopped; what was not done stays then.
    """
    replayed = ReplayedLetters()
    if unknown := sorted(set(wanted.namespaces) - set(declared(settings))):
        raise SettingsError(
            f"{', '.join(map(str, unknown))} is not a declared collection, so its index and transform are unknown: add"
            " a [[collections]] table for it, or drop its dead letters."
        )
    with (
        source_connection(settings.source, stop=stop) as connection,
        closing(sink_client(settings, stop=stop)) as client,
    ):
        wiring = Wiring(settings, connection, client, Metrics(), if_closed=False)
        kept = LetterSearch(client, wiring.patience(stop), only=settings.own_aliases)
        for database in databases(wiring).values():
            for fed in database.fed(stop):
                replaying = _LetterReplay(fed, wiring.adapters(fed.plan, stop), kept, stop, replayed)
                for collection in fed.plan.collections:
                    if wanted.namespaces and collection.namespace not in wanted.namespaces:
                        continue
                    with closing(kept.pages(replace(wanted, namespaces=(collection.namespace,)))) as pages:
                        for page in pages:
                            if stop.is_set():
                                return replayed
                            its = [each for each in page if database.takes(collection, fed, each.alias)]
                            replaying.replay(collection, its)
                            on_page(replayed)
    return replayed


@dataclass
class _LetterReplay:
    fed: FedPlan
    adapters: Adapters
    kept: LetterSearch
    stop: threading.Event
    replayed: ReplayedLetters

    def replay(self, collection: FedGeneration, page: Sequence[StoredLetter]) -> None:
        """Replay letters of one generation of a collection; they stay where its index cannot be read."""
        try:
            self._replay(collection, page)
        except IndexUnreadable as error:
            log.warning("dead letters stay", collection=str(collection.namespace), reason=str(error))
            self.replayed.letters += len(page)
            self.replayed.left += len(page)

    def _replay(self, collection: FedGeneration, page: Sequence[StoredLetter]) -> None:
        superseded = self.kept.superseded(page)
        current = [each for each in page if each.letter_id not in superseded and each.can_be_read]
        old = [each for each in page if each.letter_id in superseded]
        counts = self._apply(collection, current) if current else Counts()
        if counts.control:
            log.warning("the collection does not exist, its dead letters stay", collection=str(collection.namespace))
            current = []
        refused = len(self.kept.remove(current))
        self.replayed.letters += len(page)
        self.replayed.superseded += len(old) - len(self.kept.remove(old))
        self.replayed.done += len(current) - refused
        self.replayed.refused += refused
        self.replayed.left += len(page) - len(old) - len(current)

    def _apply(self, collection: FedGeneration, letters: Sequence[StoredLetter]) -> Counts:
        newest, namespace = max(each.version for each in letters), collection.namespace
        if self.adapters.ask(cluster_time) < newest:
            require_same_source(self.adapters)
            raise SystemicFault(
                f"A dead letter of {namespace} is ahead of the source's cluster time, so the source was restored, or"
                " this is a different one. Correct [source] uri, or load again with `penstock load --again`."
            )
        changes = [Change(namespace, "unresolved", each.version, each.source_id) for each in letters]
        fed = self.fed
        applying = Applier(fed.plan, self.adapters, fed.generations, dead_letter_limit=len(letters))
        return applying.apply(changes, Position("", newest), self.stop)
