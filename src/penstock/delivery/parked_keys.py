"""The keys of changes, as texts that can wait in a queue: which document, which version, no body.

The reader of the queue looks the documents up as they are then, so a text may wait as long as the queue keeps it. A
record of a topic that cannot be understood has its place and the reason with it, and becomes a dead letter then.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from bson.errors import BSONError

from penstock.delivery.stream_events import names_no_document
from penstock.documents.document_id import id_json, read_id_json
from penstock.errors import DocumentError
from penstock.model import CONTROL, Change, Namespace

FORM = 1


def texts_of(changes: Sequence[Change], *, most_bytes: int, with_reasons: bool = False) -> Iterator[str]:
    """Yield texts that hold the keys of all the changes in order, each document once, with its latest version.

    `unreadable` changes stay so where it is not known of which document they are: all of them `with_reasons`, else
    those whose event does not say it.
    """
    latest: dict[tuple[str, str], dict[str, Any]] = {}
    for place, change in enumerate(changes):
        if change.kind in CONTROL:
            latest["", str(place)] = _control(change)
        else:
            parked = _document(change, with_reason=with_reasons or names_no_document(change))
            latest.pop((parked["ns"], parked["id"]), None)
            latest[parked["ns"], parked["id"]] = parked
    part: list[bytes] = []
    size = 0
    for each in latest.values():
        line = orjson.dumps(each)
        if part and size + len(line) > most_bytes:
            yield _text(part)
            part, size = [], 0
        part.append(line)
        size += len(line) + 1
    if part:
        yield _text(part)


def changes_of(text: str) -> list[Change]:
    """Answer the changes of a text: control changes and `unreadable` ones as they were, documents as `unresolved`.

    Raises DocumentError for a text that is not of this form.
    """
    try:
        held = orjson.loads(text)
        if held["penstock"] != FORM:
            raise DocumentError(
                f"parked keys in the format {held['penstock']!r}; this version of penstock reads {FORM}"
            )
        return [_change(each) for each in held["parked"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, BSONError) as error:
        raise DocumentError("not a message of parked keys") from error


def _text(lines: Sequence[bytes]) -> str:
    return (b'{"penstock":%d,"parked":[%b]}' % (FORM, b",".join(lines))).decode()


def _document(change: Change, *, with_reason: bool) -> dict[str, Any]:
    why = {"unreadable": change.reason} if with_reason and change.kind == "unreadable" else {}
    return {"ns": str(change.namespace), "id": id_json(change.id), "v": change.version, **why}


def _control(change: Change) -> dict[str, Any]:
    to = {"to": str(change.to)} if change.to else {}
    return {"ns": str(change.namespace), "kind": change.kind, "v": change.version, **to}


def _change(held: dict[str, Any]) -> Change:
    namespace = Namespace.named(held["ns"])
    if "kind" in held:
        if held["kind"] not in CONTROL:
            raise ValueError(held["kind"])
        to = Namespace.named(held["to"]) if "to" in held else None
        return Change(namespace, held["kind"], int(held["v"]), to=to)
    key, version = read_id_json(held["id"]), int(held["v"])
    if "unreadable" in held:
        return Change(namespace, "unreadable", version, key, reason=str(held["unreadable"]))
    return Change(namespace, "unresolved", version, key)
