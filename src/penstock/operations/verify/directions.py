"""The two directions of a verify: what the source holds against the index, and what the index holds against the source.

Each yields pages that were looked at once: what is equal is counted, all else is a suspect, to be looked at again.
"""

import threading
import time
from collections.abc import Collection, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

from penstock.documents.document_id import FOREIGN, can_be_asked_for, document_id, source_id_of
from penstock.errors import Stopped
from penstock.model import Batch, Position
from penstock.mongo.collections import find_by_ids
from penstock.mongo.lookup import sample_ids
from penstock.opensearch.read.by_ids import IndexedDocument
from penstock.opensearch.read.point_in_time import ScanPlace, walk
from penstock.opensearch.read.scan import Entry, sample
from penstock.operations.verify.findings import VerifyFinding, VerifyTally
from penstock.operations.verify.ledger import VerifiedPage
from penstock.operations.verify.look import (
    DocumentLooks,
    ExpectedDocument,
    Side,
    expected_of,
    judged,
)
from penstock.operations.verify.named import named_documents
from penstock.operations.verify.suspects import Suspect

PAGE = 1000


class CheckedPage(NamedTuple):
    """A page that was gone through, and its suspects."""

    page: VerifiedPage
    suspects: list[Suspect]


class _Asked(NamedTuple):
    """A page of the source whose documents the index is asked for."""

    batch: Batch
    wanted: dict[str, tuple[Any, ExpectedDocument]]
    indexed: "Future[dict[str, IndexedDocument]]"


@dataclass
class Directions:
    """Goes through one generation; suspects have `wait_s` until they are judged."""

    looking: DocumentLooks
    stop: threading.Event
    wait_s: float
    rate: float | None

    def source(self, place: Any) -> Generator[CheckedPage]:
        """Every document of the source, by ranges of `_id`; the next page is read while the index answers."""
        adapters, collection = self.looking.adapters, self.looking.collection
        load = adapters.documents(collection, self.stop, self.rate)
        after = Position(place["token"], place["time"]) if place else None
        with (
            ThreadPoolExecutor(1, "penstock-verify") as pool,
            closing(load.batches(after, self.looking.transform)) as batches,
        ):
            before: _Asked | None = None
            for batch in batches:
                wanted = {document_id(each.id): (each.id, expected_of(each)) for each in batch.changes}
                asked = _Asked(batch, wanted, pool.submit(self.looking.indexed, list(wanted)))
                if before:
                    yield self._compared(before)
                before = asked
            if before:
                yield self._compared(before)

    def index(self, place: Any) -> Generator[CheckedPage]:
        """Every document of the index, as it was at the beginning. Raises PlaceLost."""
        adapters = self.looking.adapters
        start = ScanPlace(place["pit"], place["after"]) if place else None
        for entries, after in walk(adapters.client, adapters.patience, self.looking.index, start, page=PAGE):
            began = time.monotonic()
            yield self._not_held(entries, after._asdict() if after else None)
            self._keep_to_the_rate(len(entries), began)

    def sample_of_source(self, size: int) -> CheckedPage:
        """The sample of the source: documents by chance."""
        adapters, collection = self.looking.adapters, self.looking.collection
        source_ids = {document_id(each): each for each in adapters.ask(sample_ids, collection.source, size)}
        page = VerifiedPage(None, VerifyTally(documents=len(source_ids)))
        until = time.monotonic() + self.wait_s
        return CheckedPage(
            page, [Suspect(text_id, source_id, "source", page, until) for text_id, source_id in source_ids.items()]
        )

    def sample_of_index(self, size: int) -> CheckedPage:
        """The sample of the index: documents by chance."""
        adapters = self.looking.adapters
        return self._not_held(sample(adapters.client, adapters.patience, self.looking.index, size), None)

    def named(self, ids: Sequence[str]) -> tuple[CheckedPage, CheckedPage]:
        """Documents by their ids: those that the source holds, and those that only the index may hold.

        Raises SettingsError.
        """
        source_ids = named_documents(ids, self.looking.indexed)
        looks = self.looking.at(source_ids)
        gone = {key for key, look in looks.items() if look.wanted.state == "gone"}
        until = time.monotonic() + self.wait_s

        def page(side: Side, keys: Collection[str]) -> CheckedPage:
            page = VerifiedPage(None, VerifyTally(documents=len(keys)))
            return CheckedPage(page, [Suspect(key, source_ids[key], side, page, until) for key in keys])

        return page("source", [key for key in source_ids if key not in gone]), page("index", sorted(gone))

    def _compared(self, asked: _Asked) -> CheckedPage:
        indexed, tally = asked.indexed.result(), VerifyTally(documents=len(asked.wanted))
        position = asked.batch.position
        page = VerifiedPage({"token": position.token, "time": position.time}, tally)
        until = time.monotonic() + self.wait_s
        suspects = []
        for text_id, (source_id, wanted) in asked.wanted.items():
            found = indexed.get(text_id)
            verdict = judged(wanted, found, "source", self.looking.not_compared)
            if verdict.kind == "equal":
                tally.equal += 1
            elif verdict.kind == "left out":
                tally.note(VerifyFinding("left out", text_id))
            else:
                version = found.version if found else 0
                suspects.append(Suspect(text_id, source_id, "source", page, until, version, len(wanted.body)))
        return CheckedPage(page, suspects)

    def _not_held(self, entries: Sequence[Entry], place: Any) -> CheckedPage:
        """A page of the index; its suspects are the documents that the source does not hold."""
        all_ids = {each.id: source_id_of(each.id, each.id_json) for each in entries}
        source_ids = {text: each for text, each in all_ids.items() if each is FOREIGN or can_be_asked_for(each)}
        asked = [each for each in source_ids.values() if each is not FOREIGN]
        namespace = self.looking.collection.source
        held = {document_id(each) for each in self.looking.adapters.ask(find_by_ids, namespace, asked)}
        page, until = VerifiedPage(place, VerifyTally(documents=len(entries))), time.monotonic() + self.wait_s
        suspects = [
            Suspect(each.id, source_ids[each.id], "index", page, until, each.version)
            for each in entries
            if each.id in source_ids and each.id not in held
        ]
        return CheckedPage(page, suspects)

    def _keep_to_the_rate(self, count: int, since: float) -> None:
        if self.rate:
            self.stop.wait(max(0.0, count / self.rate - (time.monotonic() - since)))
        if self.stop.is_set():
            raise Stopped("stopped before verify was done")
