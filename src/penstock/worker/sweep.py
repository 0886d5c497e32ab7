"""Sweep: delete from a generation what its collection no longer holds, while both are in use.

The version of the deletes is a cluster time taken before the source was asked, so a document that came after that
keeps its newer state: its delete is refused by the version.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import structlog

from penstock.documents.document_id import FOREIGN, can_be_asked_for, document_id
from penstock.errors import ReadAgain, SystemicFault
from penstock.model import Refusal, Write
from penstock.ports import Sink

log = structlog.get_logger(__name__)


class IndexedId(NamedTuple):
    """A document of the index: its document id, and the `_id` that it stands for, FOREIGN for none."""

    id: str
    source_id: Any


class SourceIds(NamedTuple):
    """Which of the asked `_id`s the source holds, and a cluster time from before it was asked."""

    version: int
    source_ids: Sequence[Any]


def sweep(
    pages: Iterable[Sequence[IndexedId]],
    held: Callable[[Sequence[Any]], SourceIds],
    sink: Sink,
    *,
    alias: str,
    send_within_s: float,
) -> int:
    """Delete what `held` does not know, page by page. Return how many deletes were sent.

    What it cannot be asked for stays; what can be no document of any source goes. When the deletes of a page had to
    wait, it is asked about the page again. Raises Stopped, SinkUnavailable, SystemicFault.
    """
    deleted = 0
    for page in pages:
        judged = [each for each in page if each.source_id is FOREIGN or can_be_asked_for(each.source_id)]
        while (sent := _sweep_page(judged, held, sink, alias, send_within_s)) is None:
            pass
        deleted += sent
    return deleted


def _sweep_page(
    page: Sequence[IndexedId],
    held: Callable[[Sequence[Any]], SourceIds],
    sink: Sink,
    alias: str,
    send_within_s: float,
) -> int | None:
    """Return how many deletes were sent; None: the page is to be asked about again."""
    asked_at = time.monotonic()
    answer = held([each.source_id for each in page if each.source_id is not FOREIGN])
    there = {document_id(each) for each in answer.source_ids}
    writes = [Write(alias, each.id, answer.version, None) for each in page if each.id not in there]
    try:
        _delete(sink, writes, send_before=asked_at + send_within_s)
    except ReadAgain as reason:
        log.info("asking the source about these documents again", index=alias, reason=str(reason))
        return None
    return len(writes)


def empty(pages: Iterable[Sequence[IndexedId]], sink: Sink, *, alias: str, version: int) -> int:
    """Delete every document up to a version: what the index held when its collection was dropped. Return how many."""
    deleted = 0
    for page in pages:
        _delete(sink, [Write(alias, each.id, version, None) for each in page], send_before=None)
        deleted += len(page)
    return deleted


def _delete(sink: Sink, writes: Sequence[Write], *, send_before: float | None) -> None:
    outcomes = sink.write(writes, send_before=send_before)
    for write, outcome in zip(writes, outcomes, strict=True):
        if isinstance(outcome, Refusal):
            raise SystemicFault(f"The index refused to delete {write.id} ({outcome.status}: {outcome.reason}).")
