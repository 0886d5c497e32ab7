"""The verify of one generation: both directions, while others write and the stream is followed."""

import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Literal

import structlog

from penstock.errors import Stopped
from penstock.mongo.collections import estimated_count, exists
from penstock.opensearch.index.indexes import Generation
from penstock.opensearch.read.ignored import ignored_values
from penstock.opensearch.read.scan import PlaceLost, count
from penstock.opensearch.state.verify_state import VerifyState
from penstock.operations.verify.directions import CheckedPage, Directions
from penstock.operations.verify.findings import Verified, VerifyFinding, VerifyTally
from penstock.operations.verify.judging import Judging
from penstock.operations.verify.ledger import Ledger
from penstock.operations.verify.look import CollectionGone, DocumentLooks
from penstock.operations.verify.repair import Repairing
from penstock.operations.verify.suspects import HELD, Suspects
from penstock.planner import FedGeneration
from penstock.wiring import Adapters
from penstock.worker.progress import NoProgress, Progress, peak_memory_bytes

log = structlog.get_logger(__name__)

_SAVE_EVERY_S = 5.0


@dataclass(frozen=True)
class VerifyOptions:
    """How to verify: whether differences are repaired, how long one may take to settle, documents a second at most.

    `sample`: only this number of documents by chance, each way. `documents`: only these, by their document ids.
    `restart`: an interrupted verify is forgotten.
    """

    repair: bool = False
    wait_s: float = 30.0
    rate: float | None = None
    sample: int | None = None
    documents: tuple[str, ...] = ()
    restart: bool = False


@dataclass(frozen=True)
class VerifyListener:
    """Hears of the progress, and of each finding but what the transform left out."""

    progress: Progress = field(default_factory=NoProgress)
    on_finding: Callable[[VerifyFinding], None] = lambda _: None


def verify(
    adapters: Adapters,
    collection: FedGeneration,
    generation: Generation,
    how: VerifyOptions,
    *,
    stop: threading.Event,
    telling: VerifyListener | None = None,
) -> Verified:
    """Compare a collection with a generation of it, and repair the generation where that is asked for.

    It needs no lease. When asked to stop, it saves how far it has come and raises Stopped; the next one goes on there.
    Raises SourceUnavailable, SinkUnavailable, SystemicFault, and LeaseLost when another verify has begun.
    """
    verifying = _Verifying(adapters, collection, generation, how, stop, telling or VerifyListener())
    try:
        if how.documents:
            return verifying.named(how.documents)
        return verifying.sample(how.sample) if how.sample else verifying.whole()
    except CollectionGone:
        return Verified(str(collection.namespace), generation.index, VerifyTally(), dropped=True)


@dataclass
class _Verifying:
    adapters: Adapters
    collection: FedGeneration
    generation: Generation
    how: VerifyOptions
    stop: threading.Event
    telling: VerifyListener
    _phase: Literal["source", "index"] = "source"
    _source: Ledger = field(default_factory=Ledger)
    _index: Ledger = field(default_factory=Ledger)
    _seconds_before: float = 0.0
    _began: float = field(default_factory=time.monotonic)
    _saved_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        looking = DocumentLooks(self.adapters, self.collection, self.generation.index)
        alias, how = self.generation.write_alias, self.how
        repairing = Repairing(self.adapters, self.collection, alias) if how.repair else None
        self._directions = Directions(looking, self.stop, how.wait_s, how.rate)
        self._judging = Judging(looking, repairing, alias, how.wait_s, self.stop, self.telling.on_finding)
        self._name = str(self.collection.namespace)

    def sample(self, size: int) -> Verified:
        """Look at documents by chance."""
        self._require_collection()
        for passed, ledger in (
            (self._directions.sample_of_source, self._source),
            (self._directions.sample_of_index, self._index),
        ):
            self._take(passed(size), ledger)
            self._judging.settle(down_to=0)
            ledger.advance()
        return self._result()

    def named(self, ids: Sequence[str]) -> Verified:
        """Look at these documents alone. Raises SettingsError for an id that cannot be looked for."""
        self._require_collection()
        for passed, ledger in zip(self._directions.named(ids), (self._source, self._index), strict=True):
            self._take(passed, ledger)
            self._judging.settle(down_to=0)
            ledger.advance()
        return self._result()

    def whole(self) -> Verified:
        """Look at every document, from where an interrupted verify was on."""
        self._require_collection()
        state = self.adapters.verify_state(self.collection, self.generation.index)
        saved = state.open(self._basis(), restart=self.how.restart)
        if saved:
            self._go_on(saved)
        self.telling.progress.started(self._name, self._left())
        try:
            if self._phase == "source":
                self._pass(self._directions.source(self._source.place), self._source, state)
                self._phase = "index"
            self._pass_index(state)
        except Stopped:
            self._save(state)
            raise
        result = self._result()
        state.finish(_stored(result))
        self.telling.progress.finished(self._name)
        return result

    def _require_collection(self) -> None:
        """A collection that is not there has nothing to be compared with, unless its index is to be emptied."""
        if self.collection.settings.is_awaited and not self.adapters.ask(exists, self.collection.source):
            raise CollectionGone

    def _basis(self) -> dict[str, Any]:
        """What an interrupted verify must have in common with this one."""
        fingerprint = self.collection.transform.fingerprint
        basis = {"uuid": self.generation.uuid, "fingerprint": fingerprint, "repair": self.how.repair}
        names = self._directions.looking.not_compared.names
        return {**basis, "not_compared": list(names)} if names else basis

    def _go_on(self, saved: Mapping[str, Any]) -> None:
        place = saved["place"]
        self._phase, self._seconds_before = saved["phase"], saved["seconds"]
        in_source = self._phase == "source"
        self._source = Ledger(place if in_source else None, VerifyTally.of(saved["source"]))
        if not in_source and place:
            self._index = Ledger(place, VerifyTally.of(saved["index"]))
        for finding in (*self._source.tally.kept, *self._index.tally.kept):
            if finding.kind != "left out":
                self.telling.on_finding(finding)
        log.info("verify resumes", collection=self._name, after=self._source.tally.documents)

    def _left(self) -> int:
        """About how many documents are left to be gone through, on both sides."""
        source = self.adapters.ask(estimated_count, self.collection.source)
        index = count(self.adapters.client, self.adapters.patience, self.generation.index)
        return max(0, source + index - self._source.tally.documents - self._index.tally.documents)

    def _pass_index(self, state: VerifyState) -> None:
        """Go through the index; from the start again when the server has lost the place."""
        while True:
            try:
                self._pass(self._directions.index(self._index.place), self._index, state)
            except PlaceLost as reason:
                log.info("reading the index from the start again", collection=self._name, reason=str(reason))
                self._index, self._judging.suspects = Ledger(), Suspects()
            else:
                return

    def _pass(self, pages: Generator[CheckedPage], ledger: Ledger, state: VerifyState) -> None:
        with closing(pages):
            for passed in pages:
                self._take(passed, ledger)
                self._judging.settle(down_to=HELD)
                ledger.advance()
                if time.monotonic() - self._saved_at > _SAVE_EVERY_S:
                    self._save(state)
                self.telling.progress.advanced(self._name, passed.page.tally.documents)
        self._judging.settle(down_to=0)
        ledger.advance()

    def _take(self, passed: CheckedPage, ledger: Ledger) -> None:
        ledger.begin(passed.page)
        self._judging.take(passed)

    def _save(self, state: VerifyState) -> None:
        for ledger in (self._source, self._index):
            ledger.advance()
        state.save(
            {
                "phase": self._phase,
                "place": (self._source if self._phase == "source" else self._index).place,
                "source": self._source.tally.stored(),
                "index": self._index.tally.stored(),
                "seconds": self._seconds(),
            }
        )
        self._saved_at = time.monotonic()

    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._began

    def _result(self) -> Verified:
        tally = VerifyTally()
        tally.add(self._source.tally)
        tally.add(self._index.tally)
        in_index, tally.documents = self._index.tally.documents, self._source.tally.documents
        name, index, seconds = self._name, self.generation.index, self._seconds()
        ignored = ignored_values(self.adapters.client, self.adapters.patience, index, refreshed=True)
        return Verified(
            name,
            index,
            tally,
            in_index,
            seconds,
            peak_memory_bytes(),
            ignored=ignored,
            not_compared=self._directions.looking.not_compared.names,
        )


def _stored(result: Verified) -> dict[str, Any]:
    """What is kept of a result."""
    return {
        "equal": result.is_equal,
        "in_index": result.in_index,
        "seconds": round(result.seconds, 3),
        **result.tally.stored(),
    }
