"""Changes that others brought, their documents looked up where they have none, and put in the order of versions."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from penstock.documents.document_id import document_id
from penstock.model import CONTROL, Change, Namespace
from penstock.mongo.connection import cluster_time
from penstock.wiring import Adapters


def looked_up(changes: Sequence[Change], adapters: Adapters) -> list[Change]:
    """Return the same changes, the `unresolved` ones looked up. Raises SourceUnavailable, Stopped.

    Those without a version are read at the present time or later. Of a document that is to be looked up several times
    only the last change is; the others become deletes, which the pipeline folds into it. See `not_ahead` for drops.
    """
    last = {_document(each): place for place, each in enumerate(changes) if each.kind == "unresolved"}
    if not last:
        return not_ahead(changes, lambda: adapters.ask(cluster_time))
    now = adapters.ask(cluster_time)  # whatever was in the change stream before the record, a read shows then
    changes = not_ahead(changes, lambda: now)

    def asked(place: int, change: Change) -> Change:
        if change.kind != "unresolved":
            return change
        if last[_document(change)] != place:
            return change._replace(kind="delete")
        return change._replace(version=change.version or now)

    found = adapters.states([asked(*each) for each in enumerate(changes)])
    return [
        change._replace(kind="gone")  # with its collection, which deletes nothing
        if change.kind == "unresolved" and found[last[_document(change)]].kind == "gone"
        else found[place]
        for place, change in enumerate(changes)
    ]


def not_ahead(changes: Sequence[Change], ask_now: Callable[[], int]) -> list[Change]:
    """Return the same changes, no drop later than the present cluster time, which is asked for where there is a drop.

    Some bear the time of a connector's clock, and what is read after a drop must not count as older.
    """
    if all(each.kind != "drop" for each in changes) or not (now := ask_now()):
        return list(changes)
    return [each._replace(version=min(each.version, now)) if each.kind == "drop" else each for each in changes]


def newest_last(changes: Sequence[Change]) -> list[Change]:
    """Return the same changes; those of one document in the order of their versions.

    A connector that starts again repeats what it had sent: then an older state follows a newer one.
    """
    if all(before.version <= after.version for before, after in pairwise(changes)):
        return list(changes)
    places: dict[tuple[Namespace, str], list[int]] = {}
    for place, each in enumerate(changes):
        if each.kind not in CONTROL:
            places.setdefault(_document(each), []).append(place)
    ordered = list(changes)
    for its in places.values():
        for place, each in zip(its, sorted((changes[one] for one in its), key=_version), strict=True):
            ordered[place] = each
    return ordered


def _document(change: Change) -> tuple[Namespace, str]:
    return change.namespace, document_id(change.id)


def _version(change: Change) -> int:
    return change.version
