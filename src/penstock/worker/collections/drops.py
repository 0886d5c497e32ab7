"""What becomes of a collection's index when the collection is dropped or renamed, or is not there any more."""

from collections.abc import Iterable, Iterator, Sequence

import structlog

from penstock.documents.document_id import source_id_of
from penstock.errors import Stopped
from penstock.model import Change, Namespace
from penstock.opensearch.http.client import Client
from penstock.opensearch.http.waiting import RetryForever
from penstock.opensearch.read.scan import PlaceLost, scan
from penstock.opensearch.state.load_state import LoadState
from penstock.planner import FedGeneration
from penstock.ports import Sink
from penstock.runtime.backoff import Backoff
from penstock.worker.sweep import IndexedId, empty

log = structlog.get_logger(__name__)


def affects(change: Change, name: Namespace) -> bool:
    """Return whether a control change took the collection away, or put other documents into it."""
    if change.kind == "drop_database":
        return name.db == change.namespace.db
    return change.kind in ("drop", "rename") and name in (change.namespace, change.to)


def taken_away(
    collection: FedGeneration,
    change: Change,
    *,
    load: LoadState,
    documents: Iterable[Sequence[IndexedId]],
    sink: Sink,
    alias: str,
) -> None:
    """Apply the collection's policy: keep the index's documents until it is back, or for a while, or delete them."""
    if collection.settings.outlives_a_drop:
        stays_away(collection, load, since=change.version, by=change.kind)
        return
    deleted = empty(documents, sink, alias=alias, version=change.version)
    if collection.names.at(change.version) == change.to or load.phase != "live":
        load.enter("reconciling")
    name = str(collection.namespace)
    log.warning("collection gone, index emptied", collection=name, by=change.kind, documents=deleted)


def stays_away(collection: FedGeneration, load: LoadState, *, since: int, by: str) -> None:
    """Keep the documents for now; `since` is the cluster time from which the grace period counts."""
    settings = collection.settings
    load.enter("dropped", empty_at=None if settings.on_drop == "keep" else since + (settings.drop_grace_s << 32))
    grace = {} if settings.on_drop == "keep" else {"emptied_after_s": settings.drop_grace_s}
    log.warning("collection gone, documents kept", collection=str(collection.namespace), by=by, **grace)


def indexed(client: Client, patience: RetryForever, index: str) -> Iterator[list[IndexedId]]:
    """Yield the documents of an index, in pages; all of them again when the server has lost the place.

    Raises Stopped between two pages.
    """
    pause, whole = Backoff(patience.stop), False
    while not whole:
        try:
            for page in scan(client, patience, index):
                if patience.stop.is_set():
                    raise Stopped(f"stopped before all documents of {index} were read")
                yield [IndexedId(each.id, source_id_of(each.id, each.id_json)) for each in page]
            whole = True
        except PlaceLost as reason:
            log.info("reading the index from the start again", index=index, reason=str(reason))
            pause.wait()
