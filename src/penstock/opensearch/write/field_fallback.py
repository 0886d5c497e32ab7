"""A second attempt for documents that the index refused because of their fields; all others pass as they are.

    objection   what the refusal says: which field, and why                              (field_errors)
    mixed       a field that is new gets a mapping that takes every plain value, and the document comes again
    shapes      the document comes again: another request has decided meanwhile what the field is
    full        the index takes no new fields from now on, and the document comes again  (`when_full`)
    field       the document comes without the field, which it names                     (`conflicts`: leave-out)
    dropped     the document is deleted: the index's own pipeline does not want it       (`when_dropped`: delete)

What the settings say nothing of stays refused. Each attempt carries the version of the first, so the newest state of a
document wins, whichever attempt it was.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from penstock.documents.omitted import leave_out
from penstock.errors import SinkUnavailable
from penstock.model import WRITTEN, Outcome, Refusal, Write
from penstock.observe.metrics import Metrics
from penstock.opensearch.http.client import Client
from penstock.opensearch.http.waiting import RetryForever
from penstock.opensearch.index.field_limit import map_field, take_no_new_fields
from penstock.opensearch.index.mapping import TEXT
from penstock.opensearch.write.field_errors import FieldError, objection_in
from penstock.opensearch.write.field_errors import FieldErrorKind as Reason
from penstock.ports import Sink
from penstock.settings import CollectionSettings, ConflictPolicy

log = structlog.get_logger(__name__)

_ATTEMPTS = 50
"""A refusal names one field, and a document may have several that do not fit."""


@dataclass
class _Round:
    """The documents of one call that are still refused, by their places in it, and what was done for them."""

    writes: dict[int, Write]
    answered: set[tuple[int, FieldError]] = field(default_factory=set)
    changed: dict[tuple[str, FieldError], bool] = field(default_factory=dict)
    tally: Counter[tuple[str, Reason, str]] = field(default_factory=Counter)


class FieldFallback:
    """A `penstock.ports.Sink` before the sink; several threads may call it at once."""

    def __init__(
        self,
        sink: Sink,
        collections: Sequence[CollectionSettings],
        *,
        client: Client,
        patience: RetryForever,
        metrics: Metrics,
    ) -> None:
        self._sink = sink
        self._collections = {each.alias: each for each in collections}
        self._client = client
        self._patience = patience
        self._metrics = metrics
        self._logged: set[tuple[str, Reason, str]] = set()

    def write(self, writes: Sequence[Write], *, send_before: float | None = None) -> list[Outcome]:
        """See `penstock.ports.Sink`."""
        outcomes = self._sink.write(writes, send_before=send_before)
        if outcomes.count(WRITTEN) < len(outcomes):
            refused = {place: writes[place] for place, each in enumerate(outcomes) if isinstance(each, Refusal)}
            self._attempt_again(_Round(refused), outcomes, send_before)
        return outcomes

    def _attempt_again(self, this: _Round, outcomes: list[Outcome], send_before: float | None) -> None:
        for _ in range(_ATTEMPTS):
            again = {
                place: changed
                for place, write in this.writes.items()
                if (changed := self._retry_of(place, write, outcomes[place], this)) is not None
            }
            if not again:
                break
            answers = self._sink.write(list(again.values()), send_before=send_before)
            outcomes_again = dict(zip(again, answers, strict=True))
            for place, outcome in outcomes_again.items():
                outcomes[place] = outcome
            this.writes = {place: again[place] for place, each in outcomes_again.items() if isinstance(each, Refusal)}
        self._report(this.tally)

    def _retry_of(self, place: int, write: Write, outcome: Outcome, this: _Round) -> Write | None:
        """What to send instead of a refused write; None: it stays refused."""
        objection = objection_in(outcome.reason) if isinstance(outcome, Refusal) else None
        settings = self._collections.get(_collection_alias(write.alias))
        if objection is None or settings is None or write.body is None:
            return None
        if objection.kind == "dropped":
            if settings.when_dropped == "dead-letter":
                return None
            this.tally[write.alias, "dropped", ""] += 1
            return write._replace(body=None)
        if (place, objection) not in this.answered:
            this.answered.add((place, objection))
            if self._index_is_ready(write.alias, objection, settings, this):
                this.tally[write.alias, objection.kind, objection.field] += 1
                return write
        if objection.field and _policy(objection.field, settings) == "leave-out":
            return _without(write, write.body, objection.field, this)
        return None

    def _index_is_ready(self, alias: str, objection: FieldError, settings: CollectionSettings, this: _Round) -> bool:
        """Whether the document may come again as it is: the index was changed for it, once for all that object so."""
        if objection.kind == "field" or (objection.kind == "full" and settings.when_full == "dead-letter"):
            return False
        key = (alias, objection)
        if key not in this.changed:
            try:
                this.changed[key] = self._change_index(alias, objection, settings, this)
            except SinkUnavailable as error:  # writing documents may be allowed, changing mappings not
                log.warning("the mapping cannot be changed", index=alias, reason=str(error))
                this.changed[key] = objection.kind != "full"
        return this.changed[key]

    def _change_index(self, alias: str, objection: FieldError, settings: CollectionSettings, this: _Round) -> bool:
        if objection.kind == "shapes":
            return True
        if objection.kind == "full":
            return take_no_new_fields(self._client, self._patience, alias)
        refused = objection_in(map_field(self._client, self._patience, alias, objection.field, TEXT))
        return refused is None or refused.kind != "full" or self._index_is_ready(alias, refused, settings, this)

    def _report(self, tally: Counter[tuple[str, Reason, str]]) -> None:
        for what, documents in tally.items():
            alias, reason, name = what
            self._metrics.count("penstock_second_attempts_total", documents, reason=reason)
            loud = log.warning if reason in ("full", "field") else log.info
            tell = log.debug if what in self._logged else loud
            tell(_MESSAGES[reason], index=alias, field=name or None, documents=documents)
        self._logged |= tally.keys()


_MESSAGES: dict[Reason, str] = {
    "mixed": "a new field got values of two types at once: it was mapped as text, unless it had a mapping already",
    "shapes": "a new field got an object and a plain value at once; sending again",
    "full": "the index has as many fields as max_fields allows: new ones are not searchable",
    "field": "a field that the index refuses was left out of documents",
    "dropped": "an ingest pipeline of the index drops documents: they are deleted from it",
}


def _without(write: Write, body: bytes, name: str, this: _Round) -> Write | None:
    """The write without a field; where the refusal names a part of one (`f.keyword`), without the whole of it."""
    while name:
        shorter = leave_out(body, name)
        if shorter is not None:
            this.tally[write.alias, "field", name] += 1
            return write._replace(body=shorter)
        name = name.rpartition(".")[0]
    return None


def _policy(path: str, settings: CollectionSettings) -> ConflictPolicy:
    """What the settings say of the field, or of the nearest one that it lies within, or of all."""
    while path:
        if path in settings.conflicts:
            return settings.conflicts[path]
        path = path.rpartition(".")[0]
    return settings.conflicts.get("*", "dead-letter")


def _collection_alias(write_alias: str) -> str:
    """The alias that people search, of a generation's write alias: orders for orders-g1-write."""
    return write_alias.rpartition("-g")[0]
