"""Writes as the lines of a bulk request.

Versions decide at the index (`external_gte`). Ids never stand in a URL, and never without `require_alias`: a missing
index is never created by a write.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple
from urllib.parse import quote

import orjson

from penstock.documents.document_id import MAX_ID_BYTES
from penstock.model import Outcome, Refusal, Write, WriteColumns

_MAX_VERSION: Final = (1 << 63) - 1
_AROUND_BYTES: Final = 120
"""At most what stands in the lines of one write without its index name, id and body."""

_ACTION = b'{"%b":{%b"_id":%%b,"version":%%d,"version_type":"external_gte","require_alias":true}}\n'
_LINE_BREAK = ord("\n")
_GUARD_LINES = b'{"update":{%b"_id":"penstock-guard","require_alias":true}}\n{"doc":{}}\n'
"""A bulk request of deletes with external versions creates a missing index, `require_alias` or not. An update of a
document that is not there changes nothing, and its `require_alias` holds for the whole request."""


class Form(NamedTuple):
    """How requests for some aliases are made: their path, and how a line names an alias. `_index` stays away where the
    path names the only one, as the rights of many users demand.
    """

    path: str
    names: dict[str, bytes]


def form_of(aliases: set[str]) -> Form:
    """The form of the requests for these aliases."""
    if len(aliases) == 1:
        return Form(f"/{quote(next(iter(aliases)), safe='')}/_bulk", dict.fromkeys(aliases, b""))
    return Form("/_bulk", {alias: b'"_index":%b,' % orjson.dumps(alias) for alias in aliases})


def ids_of(writes: Sequence[Write], places: Sequence[int]) -> list[bytes]:
    """The ids of the writes at these places, as JSON."""
    return [orjson.dumps(writes[place].id) for place in places]


def lines_of(writes: Sequence[Write], places: Sequence[int], ids: Sequence[bytes], form: Form) -> bytes:
    """The lines of the writes at these places; `ids` are those of `ids_of`."""
    index, delete = _actions(b"index", form), _actions(b"delete", form)
    pieces: list[bytes] = []
    for id_json, (alias, _, version, body) in zip(ids, map(writes.__getitem__, places), strict=True):
        if body is None:
            pieces.append(delete[alias] % (id_json, version))
        else:
            line = body if _LINE_BREAK not in body else _one_line(body)
            pieces += (index[alias] % (id_json, version), line, b"\n")
    return b"".join(pieces)


def _actions(operation: bytes, form: Form) -> dict[str, bytes]:
    """The action line for each alias, which lacks the id and the version."""
    return {alias: _ACTION % (operation, name.replace(b"%", b"%%")) for alias, name in form.names.items()}


def guards_of(writes: Sequence[Write], places: Sequence[int], form: Form) -> list[bytes]:
    """The lines that keep a request from creating a missing index: one for each alias that has only deletes."""
    chosen = [writes[place] for place in places]
    deleted = {write.alias for write in chosen if write.body is None}
    if deleted:
        deleted -= {write.alias for write in chosen if write.body is not None}
    return [_GUARD_LINES % form.names[alias] for alias in sorted(deleted)]


def probe_of(form: Form) -> bytes:
    """The lines that write nothing and are refused where a write would be: one guard for each alias."""
    return b"".join(_GUARD_LINES % name for name in form.names.values())


def requests_of(
    writes: Sequence[Write], places: Sequence[int], *, max_bytes: int, max_writes: int
) -> Iterator[Sequence[int]]:
    """Cut the places into those of one request each, bounded by bytes and count."""
    start, size = 0, 0
    if 0 < len(places) <= max_writes and _upper_bound_bytes(writes) <= max_bytes:  # the usual case, in one go
        yield places
        return
    for count, (alias, text_id, _, body) in enumerate(map(writes.__getitem__, places)):
        added = _AROUND_BYTES + len(alias) + len(text_id) + (len(body) if body is not None else 0)
        if count > start and (size + added > max_bytes or count - start >= max_writes):
            yield places[start:count]
            start, size = count, 0
        size += added
    if len(places) > start:
        yield places[start:]


def _upper_bound_bytes(writes: Sequence[Write]) -> int:
    """Return more bytes than the lines of these writes have."""
    columns = WriteColumns.of(writes)
    around = _AROUND_BYTES + MAX_ID_BYTES + max(map(len, set(columns.aliases)))
    return around * len(writes) + sum(map(len, filter(None, columns.bodies)))


def refusals(writes: Sequence[Write]) -> list[Outcome | None]:
    """Return for each write why OpenSearch would refuse a whole request for it; None for nearly all."""
    columns = WriteColumns.of(writes)
    sizes = set(map(len, columns.ids))
    is_short = min(sizes) > 0 and max(sizes) <= MAX_ID_BYTES and "".join(columns.ids).isascii()
    if is_short and min(columns.versions) >= 0 and max(columns.versions) <= _MAX_VERSION:
        return [None] * len(writes)
    return list(map(_unsendable, writes))


def _unsendable(write: Write) -> Refusal | None:
    """Why OpenSearch would refuse a whole request for this write, if it would."""
    if not 0 <= write.version <= _MAX_VERSION:
        return Refusal(400, f"the version {write.version} is not between 0 and 2**63 - 1")
    if not write.id:
        return Refusal(400, "the id is empty")
    if write.id.isascii() and len(write.id) <= MAX_ID_BYTES:
        return None
    try:
        size = len(write.id.encode())
    except UnicodeEncodeError:
        return Refusal(400, "the id is not valid Unicode")
    return Refusal(400, f"the id has {size} bytes, OpenSearch allows {MAX_ID_BYTES}") if size > MAX_ID_BYTES else None


def _one_line(body: bytes) -> bytes:
    """The same JSON on one line: a line break can only stand between its tokens, and would end the bulk line."""
    return body.replace(b"\n", b" ")
