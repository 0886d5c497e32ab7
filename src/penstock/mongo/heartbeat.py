"""The heartbeat: one small document, written again from time to time, so that an idle stream's position moves."""

from datetime import UTC, datetime

from penstock.model import Namespace
from penstock.mongo.connection import SourceClient

_ID = "penstock"


def beat(client: SourceClient, namespace: Namespace) -> None:
    """Write the document again. Raises PyMongoError."""
    now = {"$set": {"at": datetime.now(UTC)}}
    client.get_database(namespace.db).get_collection(namespace.coll).update_one({"_id": _ID}, now, upsert=True)


def may_beat(client: SourceClient, namespace: Namespace) -> None:
    """Raise PyMongoError without the right to write it; changes nothing."""
    nothing = {"_id": "penstock-check"}
    client.get_database(namespace.db).get_collection(namespace.coll).update_one(nothing, {"$set": {"at": None}})
