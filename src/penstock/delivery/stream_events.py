"""Events of a change stream that others brought as extended JSON -> changes.

AWS documents the relaxed form for its event source mapping, MongoDB's connector for Apache Kafka writes strict, relaxed
and canonical ones; the older forms of dates and numbers are read too
(https://docs.aws.amazon.com/lambda/latest/dg/with-documentdb.html,
https://www.mongodb.com/docs/kafka-connector/current/).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import structlog
from bson.codec_options import DatetimeConversion
from bson.json_util import JSONOptions, object_hook
from bson.timestamp import Timestamp

from penstock.documents.document_id import UNREADABLE, document_id
from penstock.model import Change, Namespace
from penstock.mongo.cursor import Undecodable
from penstock.mongo.events import CONTROL_KINDS, STATES, EventReader

log = structlog.get_logger(__name__)

StreamEvent = dict[str, Any]

_JSON = JSONOptions(tz_aware=False, document_class=dict, datetime_conversion=DatetimeConversion.DATETIME_AUTO)
_NAMELESS = "the event does not say which document it is about"


def changes_of(events: Sequence[StreamEvent], colls: Sequence[Namespace]) -> dict[str, list[Change]]:
    """Return the changes, in order, by database; `colls` are the declared collections.

    An update without its document is `unresolved`. What cannot be read is `unreadable`.
    """
    by_db: dict[str, list[StreamEvent]] = {}
    for event in readable(events, colls):
        by_db.setdefault(event["ns"]["db"], []).append(event)
    return {
        db: EventReader(db, [coll for its_db, coll in colls if its_db == db], lambda _coll: "unresolved").changes(its)
        for db, its in by_db.items()
    }


def readable(events: Sequence[StreamEvent], colls: Sequence[Namespace]) -> Iterator[StreamEvent]:
    """Yield the events in BSON values, as a change stream gives them; those of unknown kinds are left out."""
    for event in events:
        operation = str(event.get("operationType"))
        if operation in STATES or operation == "delete":
            yield _document_event(event, colls)
        elif operation in CONTROL_KINDS:
            yield _control_event(event, colls)
        else:
            log.warning("event of an unknown kind ignored", operation=operation[:50])


def names_no_document(change: Change) -> bool:
    """Whether nobody can look for the document of a change, for its event does not say which one it is about."""
    return change.kind == "unreadable" and change.reason.startswith(_NAMELESS)


def _control_event(event: StreamEvent, colls: Sequence[Namespace]) -> StreamEvent:
    """Return the event with everything it needs; a rename to an unknown target counts as a drop."""
    ns = event.get("ns")
    read = {**event, "clusterTime": time_of(event) or Timestamp(0, 0), "ns": ns if _is_namespace(ns) else _first(colls)}
    if event["operationType"] == "rename" and not _is_namespace(event.get("to")):
        read["operationType"] = "drop"
    return read


def _document_event(event: StreamEvent, colls: Sequence[Namespace]) -> StreamEvent:
    """Return the event in BSON values; an unreadable one becomes an `Undecodable` document under some id."""
    time = time_of(event)
    namespace: Any = event.get("ns")
    problem = "" if time else "the event cannot be read: it has no clusterTime"
    try:
        key = value_of(event["documentKey"]["_id"])
        document_id(key).encode()
    except UNREADABLE as error:
        key, problem = _name_of(event), f"{_NAMELESS}: {type(error).__name__} in its key"
    if not _is_namespace(namespace) or "coll" not in namespace:
        namespace, key, problem = _first(colls), _name_of(event), f"{_NAMELESS}: its ns names no collection"
    read = {**event, "ns": namespace, "documentKey": {"_id": key}, "clusterTime": time or Timestamp(0, 0)}
    if problem:
        return {**read, "operationType": "update", "fullDocument": Undecodable(problem)}
    if isinstance(event.get("fullDocument"), dict):
        read["fullDocument"] = _document(event["fullDocument"])
    return read


def _document(held: dict[str, Any]) -> dict[str, Any] | Undecodable:
    try:
        return {name: value_of(value) for name, value in held.items()}
    except RecursionError:
        return Undecodable("the document is nested too deeply to be read")
    except UNREADABLE as error:
        return Undecodable(f"the document is not valid extended JSON: {type(error).__name__}")


def value_of(value: Any) -> Any:
    """Return a value of extended JSON in BSON. Raises UNREADABLE."""
    if value.__class__ is dict:
        read = {name: value_of(inner) for name, inner in value.items()}  # first, as `object_hook` needs them
        return object_hook(read, _JSON) if any(name.startswith("$") for name in read) else read
    if value.__class__ is list:
        return [value_of(inner) for inner in value]
    return value


def time_of(event: Mapping[str, Any]) -> Timestamp | None:
    """Return the cluster time of an event; None if it has none that can be read."""
    try:
        time = value_of(event["clusterTime"])
    except UNREADABLE:
        return None
    return time if isinstance(time, Timestamp) else None


def _name_of(event: StreamEvent) -> str:
    """Return some id for an event whose own id cannot be read."""
    try:
        return json.dumps(event.get("documentKey") or event.get("_id"), default=str)[:500]
    except RecursionError:
        return "nested too deep"


def _is_namespace(ns: Any) -> bool:
    """Whether it names a database, and optionally a collection."""
    return isinstance(ns, dict) and isinstance(ns.get("db"), str) and isinstance(ns.get("coll", ""), str)


def _first(colls: Sequence[Namespace]) -> dict[str, str]:
    return colls[0]._asdict()
