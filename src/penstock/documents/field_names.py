"""Replaces field names that OpenSearch refuses by names that it accepts.

To OpenSearch, a name with dots is a path: `a.b` is the field `b` of the object `a`. The rules (docs/bson.md):

1. A piece between dots that is empty or blank becomes `_`.
2. A top-level name whose first piece is reserved gets a leading `_`.
3. A name longer than 512 bytes is cut and ends with `~` and a part of its hash.
4. Dots become `_` if another name of the same document is the start of the path (both `a` and `a.b`), or if the path is
   deeper than the limit.
5. A changed name that is already taken, by a name or the start of a path in the document or by a reserved name, loses
   its dots and gets more leading `_`.
"""

from collections.abc import Iterable
from hashlib import sha256

from penstock.settings import RESERVED_FIELD

MAX_DEPTH = 20
"""OpenSearch's `index.mapping.depth.limit`: the maximum number of names in a path, and of arrays within arrays."""

MAX_BYTES = 512
"""Far below OpenSearch's 50,000 for a name, so that it still accepts a path of 20 names."""

RESERVED = frozenset(
    {
        RESERVED_FIELD,
        # metadata fields, refused in a document: of OpenSearch 3, of its size plugin, of older versions
        *("_id", "_index", "_source", "_routing", "_field_names", "_ignored", "_version", "_seq_no"),
        *("_nested_path", "_feature", "_data_stream_timestamp", "_size", "_type", "_tier"),
        # accepted, but with another meaning, a conflict, or a shard that fails at the next delete
        *("_doc_count", "_primary_term", "_tombstone", "__soft_deletes", "_recovery_source", "_soft_deletes"),
    }
)

_MAX_LEARNED = 20_000

CLEAN_ANYWHERE: set[str] = set()
CLEAN_AT_TOP: set[str] = set()
"""Names seen so far that OpenSearch accepts as they are, so that the usual case is a set look-up. None has dots."""


def learn(names: Iterable[object], *, top: bool) -> bool:
    """Whether OpenSearch accepts these names of a document as they are; remembers the accepted ones."""
    known = CLEAN_AT_TOP if top else CLEAN_ANYWHERE
    if known.issuperset(names):
        return True
    if len(known) > _MAX_LEARNED:
        known.clear()
    for name in names:
        if not isinstance(name, str) or "." in name or name != as_text(name) or name != _repair(name, top=top):
            return False
        known.add(name)
    return True


def map_names(names: Iterable[object], *, level: int) -> list[str]:
    """Return names that OpenSearch accepts, in the same order, all different.

    `level` is the number of names in their paths, 1 at the top of a document.
    """
    texts = [as_text(name) for name in names]
    repaired = [_repair(text, top=level == 1) for text in texts]
    present = set(repaired)
    mapped = [_without_dots(name) if _is_no_path(name, present, level) else name for name in repaired]
    taken = {new for old, new in zip(texts, mapped, strict=True) if old == new}
    heads = {new.partition(".")[0] for new in mapped if "." in new}
    for place, (old, new) in enumerate(zip(texts, mapped, strict=True)):
        if old != new:
            mapped[place] = _free_name(new, taken, heads) if new in taken or new in heads else new
            taken.add(mapped[place])
    return mapped


def as_text(name: object) -> str:
    """Return the name as valid Unicode: a lone surrogate becomes U+FFFD."""
    text = name if isinstance(name, str) else str(name)
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _repair(name: str, *, top: bool) -> str:
    octets = name.encode()
    if len(octets) > MAX_BYTES:
        return f"{_without_dots(octets[: MAX_BYTES - 17].decode('utf-8', 'ignore'))}~{sha256(octets).hexdigest()[:16]}"
    pieces = ["_" if _is_blank(piece) else piece for piece in name.split(".")]
    while top and pieces[0] in RESERVED:
        pieces[0] = f"_{pieces[0]}"
    return ".".join(pieces)


def _is_blank(piece: str) -> bool:
    return all(letter <= " " or letter.isspace() for letter in piece)


def _is_no_path(name: str, present: set[str], level: int) -> bool:
    """Whether the dots of a name cannot stay: the path is too deep, or starts with another name."""
    if "." not in name:
        return False
    pieces = name.split(".")
    too_deep = level + len(pieces) - 1 > MAX_DEPTH
    return too_deep or any(".".join(pieces[:count]) in present for count in range(1, len(pieces)))


def _without_dots(name: str) -> str:
    return name.replace(".", "_")


def _free_name(name: str, taken: set[str], heads: set[str]) -> str:
    free = _without_dots(name)
    while free in taken or free in heads or free in RESERVED:
        free = f"_{free}"
    return free
