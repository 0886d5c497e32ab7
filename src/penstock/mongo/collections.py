"""What the source's databases and collections hold, and single documents by their ids."""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from pymongo.collection import Collection
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference

from penstock.model import BsonDocument, Namespace
from penstock.mongo.codec import CODEC
from penstock.mongo.connection import RAW, SourceClient, cluster_time, time_of
from penstock.mongo.error_table import Fault, MajorityBehind, fault_of

T = TypeVar("T")

MAJORITY = ReadConcern("majority")
_SYSTEM_DATABASES = frozenset({"admin", "local", "config"})
_TEMPORARY = re.compile(r"tmp\.(agg_out|mr)\.|tmp[0-9a-zA-Z]{5}\.(renameCollection|convertToCapped\.)")
"""What `$out`, map-reduce and the commands that copy a collection fill, before they rename it."""

_IDS_AT_ONCE = 1000
_LAG_S = 0.5
"""So long a majority read is waited for in silence: it lags by some milliseconds, but by seconds after a failover."""

_FIRST_ELEMENT = 4
"""Where the type of a raw document's first element stands: behind the document's size."""


class Documents(NamedTuple):
    """Documents read by their ids, and the version that they carry: taken from the primary before they were read."""

    version: int
    documents: list[BsonDocument]


def collection(client: SourceClient, namespace: Namespace) -> Collection[BsonDocument]:
    """Answer the collection for reads of what the majority has, from the primary."""
    return client.get_database(namespace.db).get_collection(
        namespace.coll, codec_options=CODEC, read_preference=ReadPreference.PRIMARY, read_concern=MAJORITY
    )


def databases(client: SourceClient) -> list[str]:
    """Names of the databases that hold collections of users."""
    return sorted(set(client.list_database_names()) - _SYSTEM_DATABASES)


def namespaces(client: SourceClient, db: str) -> list[Namespace]:
    """Names of the collections that can be followed: no views, nothing of the server's own, nothing temporary."""
    try:
        found = list(client.get_database(db).list_collections(filter={"type": "collection"}))
    except OperationFailure as error:
        if fault_of(error) is not Fault.NOT_ALLOWED:
            raise
        found = [{"name": name} for name, kind in kinds(client, db).items() if kind == "collection"]
    return sorted(Namespace(db, each["name"]) for each in found if _is_lasting(each))


def _is_lasting(described: Mapping[str, Any]) -> bool:
    """Whether a collection is a user's: not the server's, and none that lives for the time of one command."""
    name: str = described["name"]
    is_temporary = described.get("options", {}).get("temp") or _TEMPORARY.match(name)
    return not (is_temporary or name.startswith("system."))


def _if_allowed(ask: Callable[[], T], otherwise: T) -> T:
    """Ask the source; return `otherwise` where the user lacks the right. Raises PyMongoError."""
    try:
        return ask()
    except OperationFailure as error:
        if fault_of(error) is Fault.NOT_ALLOWED:
            return otherwise
        raise


def kinds(client: SourceClient, db: str, colls: Sequence[str] | None = None) -> dict[str, str]:
    """By name what there is (of `colls`): `collection`, `view` or `timeseries`; only what the user has rights on.

    Asked so that no right to list is needed, where the server knows that way of asking.
    """
    among = {"name": {"$in": list(colls)}} if colls is not None else {}
    database = client.get_database(db)
    try:
        found = list(database.list_collections(filter=among, nameOnly=True, authorizedCollections=True))
    except OperationFailure as error:
        if fault_of(error) is not Fault.REFUSED:
            raise
        found = list(database.list_collections(filter=among))
    return {each["name"]: each.get("type", "collection") for each in found}


def kind_of(client: SourceClient, namespace: Namespace) -> str | None:
    """What kind of collection has the name, None where there is none. Without the right to see it: a collection."""
    found = _if_allowed(lambda: kinds(client, namespace.db, [namespace.coll]), {namespace.coll: "collection"})
    return found.get(namespace.coll)


def exists(client: SourceClient, namespace: Namespace) -> bool:
    """Whether there is such a collection, and not a view: nothing of a view can be followed."""
    return kind_of(client, namespace) == "collection"


def present(client: SourceClient, db: str, colls: Sequence[str]) -> set[str]:
    """Those of the names that are collections now; all of them where the user may not see which there are."""
    found = _if_allowed(lambda: kinds(client, db, colls), dict.fromkeys(colls, "collection"))
    return {name for name, kind in found.items() if kind == "collection"}


def is_capped(client: SourceClient, namespace: Namespace) -> bool:
    """Whether the collection drops its oldest documents by itself; False where the user may not see it."""
    return any(each.get("options", {}).get("capped") for each in _described(client, namespace.db, [namespace.coll]))


def identities(client: SourceClient, db: str, colls: Sequence[str]) -> dict[str, str]:
    """The collections that exist, each with an identity that changes when it is dropped and made again.

    Only MongoDB tells such an identity; elsewhere it is empty. None exist for a user who may not list them.
    """
    return {each["name"]: _uuid(each.get("info", {}).get("uuid", "")) for each in _described(client, db, colls)}


def _described(client: SourceClient, db: str, colls: Sequence[str]) -> list[Mapping[str, Any]]:
    """What the server says of those that exist; nothing for a user who may not list them."""

    def ask() -> list[Mapping[str, Any]]:
        return list(client.get_database(db).list_collections(filter={"name": {"$in": list(colls)}}))

    return _if_allowed(ask, [])


def _uuid(answered: Any) -> str:
    """The driver gives a UUID, or its octets, as the connection string says."""
    return str(UUID(bytes=bytes(answered)) if isinstance(answered, bytes) else answered)


def estimated_count(client: SourceClient, namespace: Namespace) -> int:
    """How many documents there are, by the server's own count, which is quick and may be a little wrong."""
    return client.get_database(namespace.db).get_collection(namespace.coll).estimated_document_count()


def types_of_ends(client: SourceClient, namespace: Namespace) -> tuple[int | None, int | None]:
    """The BSON types of the lowest and of the highest `_id`; None where there is no document."""
    lowest, highest = (_type_of_end(client, namespace, direction) for direction in (1, -1))
    return lowest, highest


def _type_of_end(client: SourceClient, namespace: Namespace, direction: int) -> int | None:
    """Asked raw: such an `_id` need not be one that can be decoded."""
    raw = collection(client, namespace).with_options(codec_options=RAW)
    found = raw.find_one({}, {"_id": 1}, sort=[("_id", direction)])
    return None if found is None else found.raw[_FIRST_ELEMENT]


def committed_time(client: SourceClient, namespace: Namespace) -> int:
    """A cluster time that every later majority read on the primary has at least reached.

    It is the version of what is read next. The operation time of a majority read is the commit point it has seen; the
    primary's own time may be ahead of it, and a document read then would claim to be newer than it is.
    """
    reply = client.get_database(namespace.db).command(
        {
            "find": namespace.coll,
            "filter": {"_id": {"$exists": True}},
            "projection": {"_id": 1},
            "limit": 1,
            "singleBatch": True,
            "readConcern": {"level": "majority"},
        }
    )
    return time_of(reply) or cluster_time(client)


def reached_time(client: SourceClient, namespace: Namespace, version: int) -> int:
    """Return a committed time, as `committed_time` does, once majority reads show everything up to this version.

    What is acknowledged, or was seen before a failover, may be ahead of them for a while. Nothing is waited for that is
    beyond the end of the primary's own log: the source was restored then, and no read will show it. Raises
    MajorityBehind when it takes long: ask again.
    """
    patience = time.monotonic() + _LAG_S
    while (committed := committed_time(client, namespace)) < version:
        version = min(version, cluster_time(client))
        if time.monotonic() > patience:
            raise MajorityBehind(f"reads of {namespace} with read concern majority do not show the latest writes yet")
        time.sleep(_LAG_S / 100)
    return committed


def find_by_ids(client: SourceClient, namespace: Namespace, ids: Iterable[Any]) -> list[Any]:
    """Those of the ids that the collection holds now, as they are stored."""
    found: list[Any] = []
    for chunk in chunks(ids, _IDS_AT_ONCE):
        answer = collection(client, namespace).find({"_id": {"$in": chunk}}, {"_id": 1})
        found += [each["_id"] for each in answer]
    return found


def read_documents(client: SourceClient, namespace: Namespace, ids: Iterable[Any]) -> Documents:
    """Read documents by their ids; those that are gone are not among them."""
    version = committed_time(client, namespace)
    documents: list[BsonDocument] = []
    for chunk in chunks(ids, _IDS_AT_ONCE):
        documents += collection(client, namespace).find({"_id": {"$in": chunk}})
    return Documents(version, documents)


def chunks(rows: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the rows, `size` at a time; the last ones may be fewer."""
    rest = iter(rows)
    while chunk := list(islice(rest, size)):
        yield chunk
