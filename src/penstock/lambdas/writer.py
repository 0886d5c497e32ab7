"""The function `writer`: POST /demo-data stores one document or several.

The body is a JSON object or a non-empty array of at most 1000 objects, with extended JSON for values that JSON does not
have: {"$oid": ...}, {"$date": ...}, {"$numberDecimal": ...}. The response is 201 and {"ids": [...]}, in the order of
the request and in relaxed extended JSON: {"$oid": "..."} for an ObjectId, the plain value for a string or a number.

The documents are stored in order, each acknowledged by the majority. The first one that is refused ends the request:
those before it stay stored, and the response says how many there are.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from bson.json_util import RELAXED_JSON_OPTIONS
from bson.json_util import dumps as extended_json
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS, RawBSONDocument
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, OperationFailure
from pymongo.write_concern import WriteConcern

from penstock.lambdas.clients import collection, source
from penstock.lambdas.documents import NewDocument, documents_of
from penstock.lambdas.http import ApiReply, ApiRequest, BadRequest, Proxied, answer
from penstock.model import Namespace
from penstock.mongo.connection import SourceClient
from penstock.mongo.error_table import Fault, fault_of
from penstock.mongo.retrying import ask

_AWAY = (
    "The cluster did not answer in time. Some of the documents may be stored. Try again; to avoid storing a document"
    " twice, give each one an _id."
)
_DUPLICATE = 11000


def handler(event: Any, context: Any) -> Proxied:
    """Handle a request of API Gateway."""
    return answer(event, context, method="POST", handle=_store, away=_AWAY)


def _store(request: ApiRequest, stop: threading.Event) -> ApiReply:
    if request.parameters:
        raise BadRequest(f"This request takes no parameters, but has: {', '.join(sorted(request.parameters))}.")
    documents = documents_of(request.body)
    ask(source(), stop, _Insertion(Namespace.named(collection().namespace), documents))
    ids = extended_json([each.id for each in documents], json_options=RELAXED_JSON_OPTIONS)
    return ApiReply(201, b'{"ids": %b}' % ids.encode())


class _Insertion:
    """Stores documents in order; called again after a lost connection, it continues with those not yet stored."""

    def __init__(self, namespace: Namespace, documents: Sequence[NewDocument]) -> None:
        self._namespace = namespace
        self._documents = documents
        self._stored = 0
        self._asked = False

    def __call__(self, client: SourceClient) -> None:
        """Store what is left. Raises BadRequest, PyMongoError."""
        again, self._asked = self._asked, True
        database = client.get_database(self._namespace.db)
        into: Collection[Any] = database.get_collection(self._namespace.coll, write_concern=WriteConcern("majority"))
        while self._stored < len(self._documents):
            try:
                into.insert_many([each.raw for each in self._documents[self._stored :]])
            except BulkWriteError as error:
                self._judge(error.details, into, again=again)
            else:
                self._stored = len(self._documents)

    def _judge(self, details: Mapping[str, Any], into: Collection[Any], *, again: bool) -> None:
        """Skip a document that an earlier attempt has stored; raise for any other refusal."""
        refusal = next(iter(details["writeErrors"]), None)
        if refusal is None:
            unconfirmed = details["writeConcernErrors"][0]
            raise OperationFailure(unconfirmed.get("errmsg", "not acknowledged"), unconfirmed.get("code"))
        self._stored += refusal["index"]
        document = self._documents[self._stored]
        failure = OperationFailure(refusal.get("errmsg", "refused"), refusal["code"])
        if refusal["code"] == _DUPLICATE:
            found = _find(into, document)
            if not (again and found is not None and found.raw == document.raw.raw):
                raise BadRequest(self._refused(document, _taken(document, found, failure)))
            self._stored += 1
        elif fault_of(failure) in (Fault.REFUSED, Fault.TOO_LARGE):
            raise BadRequest(self._refused(document, _cause_of(failure)))
        else:
            raise failure

    def _refused(self, document: NewDocument, reason: str) -> str:
        stored, count = self._stored, len(self._documents)
        rest = f" {stored} before it {'is' if stored == 1 else 'are'} stored, {count - stored - 1} after it are not."
        return f"The cluster refuses {document.place}: {reason}.{rest if count > 1 else ''}"


def _find(into: Collection[Any], document: NewDocument) -> RawBSONDocument | None:
    raw = into.with_options(codec_options=DEFAULT_RAW_BSON_OPTIONS)
    found: RawBSONDocument | None = raw.find_one({"_id": {"$eq": document.id}})
    return found


def _taken(document: NewDocument, found: RawBSONDocument | None, failure: OperationFailure) -> str:
    if found is None:
        return f"a unique index already contains its value ({_cause_of(failure)})"
    return f"its _id {extended_json(document.id, json_options=RELAXED_JSON_OPTIONS)} is taken"


def _cause_of(failure: OperationFailure) -> str:
    return " ".join(str(failure).split(", full error:")[0].split())[:300].rstrip(".")
