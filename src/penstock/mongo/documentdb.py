"""What is DocumentDB's own: its engines, and that change streams must be enabled.

A stream that was never enabled may open and yield nothing.
"""

from collections.abc import Set

from penstock.model import Namespace
from penstock.mongo.connection import SourceClient

FOR_LAMBDA = ("4.0", "5.0")
"""The engines that Lambda's event source mapping reads; it refuses others when it is created."""

WORKER_ONLY = "a worker (`penstock run`) follows it, Lambda's event source mapping refuses it"

EnabledStreams = Set[tuple[str, str]]


def enabling_rules(client: SourceClient) -> EnabledStreams:
    """What is enabled, as (database, collection); an empty name stands for all. Raises PyMongoError."""
    rules = client.admin.aggregate([{"$listChangeStreams": 1}])
    return {(rule.get("database", ""), rule.get("collection", "")) for rule in rules}


def is_enabled(rules: EnabledStreams, namespace: Namespace) -> bool:
    """Whether a collection's stream is enabled; without a collection: that of its whole database."""
    return not rules.isdisjoint({("", ""), (namespace.db, ""), (namespace.db, namespace.coll)})


def enabling(namespace: Namespace) -> str:
    """What to do about one that is not."""
    command = f'{{modifyChangeStreams: 1, database: "{namespace.db}", collection: "{namespace.coll}", enable: true}}'
    return f"run db.adminCommand({command})"
