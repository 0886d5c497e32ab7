"""Reads a sample of a collection and proposes the mapping of its index."""

import threading
from contextlib import closing

import orjson
from pymongo.errors import PyMongoError

from penstock.connections import source_connection
from penstock.documents.transform import Transform
from penstock.errors import DocumentError, SettingsError, Stopped
from penstock.model import Change, Namespace
from penstock.mongo.error_table import unavailable
from penstock.mongo.lookup import sample
from penstock.operations.inspect.views import Inspection
from penstock.operations.suggest.profile import Profile
from penstock.operations.suggest.proposal import Proposal, propose
from penstock.settings import CollectionSettings, Settings
from penstock.worker.progress import Progress


def suggest(
    settings: Settings, collection: CollectionSettings, *, size: int, progress: Progress, stop: threading.Event
) -> tuple[Profile, Proposal]:
    """Propose a mapping from a sample of documents. Raises SettingsError, SourceUnavailable, Stopped."""
    transform, profile = Transform(collection), Profile()
    with closing(Inspection(settings)) as seen:
        namespace = seen.names_where_known()[Namespace.named(collection.namespace)]
    progress.started(collection.namespace, size)
    with source_connection(settings.source) as connection:
        try:
            for changes in sample(connection.client, namespace, size):
                if stop.is_set():
                    raise Stopped(f"stopped before the sample of {namespace} was read")
                for change in changes:
                    _take(change, transform, profile)
                progress.advanced(collection.namespace, len(changes))
        except PyMongoError as error:
            raise unavailable(error, f"a sample of {namespace}") from error
    progress.finished(collection.namespace)
    if not profile.documents:
        raise SettingsError(f"{namespace} has no documents, so no mapping can be proposed. Store some first.")
    return profile, propose(profile, collection)


def _take(change: Change, transform: Transform, profile: Profile) -> None:
    """Take what the index would get; what it would not get has no fields."""
    if change.document is None:
        return
    try:
        body = transform(change.document)
    except DocumentError:
        return
    if body is not None:
        profile.add(orjson.loads(body))
