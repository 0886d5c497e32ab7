"""The way past an event above 16 MB: its keys come alone, its document is looked up."""

from typing import Any

import bson
from bson.errors import InvalidBSON
from pymongo.errors import OperationFailure

from penstock.documents.document_id import can_be_asked_for
from penstock.model import BsonDocument, Namespace, version_of
from penstock.mongo.codec import CODEC
from penstock.mongo.collections import collection, reached_time
from penstock.mongo.connection import RAW, SourceClient
from penstock.mongo.cursor import CursorReply, Undecodable
from penstock.mongo.error_table import Fault, fault_of
from penstock.mongo.watch import Watch

_LARGE_BYTES = 4 * 1024 * 1024
"""An event above 16 MB holds a document, and maybe what was changed in it; this leaves room for doubt."""


def looked_up(client: SourceClient, reply: CursorReply, watch: Watch) -> tuple[list[BsonDocument], int, bool]:
    """The events of a reply that came without documents, with the documents as they are at present, or since the event.

    Answers the bytes that were read too, and whether one of the documents may have been too large.
    """
    size = reply.size
    large = False
    events = reply.events
    for event in events:
        if event["operationType"] in ("insert", "update", "replace"):
            version = version_of(event["clusterTime"].time, event["clusterTime"].inc)
            namespace = Namespace(watch.db, watch.present(event["ns"]["coll"], version))
            reached_time(client, namespace, version)
            event["fullDocument"], bytes_read = _look_up(client, namespace, event["documentKey"]["_id"])
            size += bytes_read
            large = large or bytes_read > _LARGE_BYTES
    return events, size, large


def _look_up(client: SourceClient, namespace: Namespace, source_id: Any) -> tuple[Any, int]:
    if not can_be_asked_for(source_id):
        return Undecodable("the document cannot be looked up: its _id is not UTF-8"), _LARGE_BYTES + 1
    try:
        found = collection(client, namespace).with_options(codec_options=RAW).find_one({"_id": source_id})
        if found is None:
            return None, 0
        return bson.decode(found.raw, CODEC), len(found.raw)
    except InvalidBSON as error:
        return Undecodable(f"the document cannot be decoded: {error}"), 0
    except OperationFailure as error:
        if fault_of(error) is not Fault.TOO_LARGE:
            raise
        return Undecodable(
            f"the document cannot be read: {error.details and error.details.get('errmsg')}"
        ), _LARGE_BYTES + 1
