"""What keeps a collection from being followed: `run` and `check` ask here, so that they say the same."""

import difflib
from typing import NamedTuple

from pymongo.errors import PyMongoError

from penstock.model import Namespace
from penstock.mongo.collections import collection, kind_of, namespaces
from penstock.mongo.connection import SourceClient, is_documentdb
from penstock.mongo.documentdb import EnabledStreams, enabling, enabling_rules, is_enabled
from penstock.mongo.error_table import Fault, fault_of, unavailable

_WITHOUT_STREAM = {
    "view": ("is a view and has no change stream", "name the collection behind it"),
    "timeseries": ("is a time-series collection and has no change stream", "leave it out"),
}


class Obstacle(NamedTuple):
    """Why a collection cannot be served, and what to do. `passes`: nothing is wrong, it only has to be waited for."""

    cause: str
    todo: str
    passes: bool = False
    is_absence: bool = False
    """Whether there is no such collection at present, or something else has its name."""


def obstacle_to(client: SourceClient, namespace: Namespace) -> Obstacle | None:
    """What keeps the collection from being followed at present. Raises PyMongoError for a source that is away."""
    kind = kind_of(client, namespace)
    if kind is None:
        return Obstacle("does not exist yet", _how_to_come(client, namespace), passes=True, is_absence=True)
    if kind != "collection":
        cause, todo = _WITHOUT_STREAM.get(kind, (f"is a {kind} and has no change stream", "leave it out"))
        return Obstacle(cause, todo, is_absence=True)
    try:
        collection(client, namespace).find_one({}, {"_id": 1})
    except PyMongoError as error:
        if fault_of(error) in (Fault.TRANSIENT, Fault.LOGIN):
            raise
        refused = unavailable(error, f"a read of {namespace}")
        return Obstacle(refused.cause, refused.todo)
    return not_enabled(client, namespace)


def not_enabled(client: SourceClient, namespace: Namespace) -> Obstacle | None:
    """Whether DocumentDB sends the changes; it may open a stream that was never enabled, and yield nothing.

    Without a collection: those of the whole database, also of collections that are made later. No obstacle where the
    list of what is enabled may not be read. Raises PyMongoError.
    """
    if not is_documentdb(client):
        return None
    try:
        rules = enabling_rules(client)
    except PyMongoError as error:
        if fault_of(error) is Fault.TRANSIENT:
            raise
        return None
    return missing_rule(rules, namespace)


def missing_rule(rules: EnabledStreams, namespace: Namespace) -> Obstacle | None:
    """Whether the rules of DocumentDB enable no stream of a collection; without one, of its whole database."""
    if is_enabled(rules, namespace):
        return None
    of = "" if namespace.coll else ", which a pattern needs for the collections that are created later"
    return Obstacle(f"change streams are not enabled for it{of}", enabling(namespace))


def _how_to_come(client: SourceClient, namespace: Namespace) -> str:
    try:
        there = [str(each) for each in namespaces(client, namespace.db)]
    except PyMongoError:
        there = []
    near = difflib.get_close_matches(str(namespace), there, n=1)
    return f"did you mean {near[0]}?" if near else "create it, or correct `namespace`"
