"""Dotted paths in documents: select, drop, rename and reshape fields, also within arrays of documents.

`items.sku` is the field `sku` of the document `items`, or of every document in the array `items`. What is selected or
dropped may also have a name with dots, `{"items.sku": 1}`, which the index takes for the same path.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from penstock.errors import DocumentError
from penstock.model import BsonDocument

PathTree = dict[str, Any]
"""Paths as nested names; a name without further names means the whole field."""

_ABSENT = object()


def tree(paths: Iterable[str]) -> PathTree:
    """Return the paths as a tree; `a.b` adds nothing if `a` means the whole field."""
    root: PathTree = {}
    for path in sorted(paths, key=lambda path: path.count(".")):
        _grow(root, path.split("."))
    return root


def select(document: BsonDocument, paths: PathTree) -> BsonDocument:
    """Return a document with only the named fields, in its own order, without array elements that have none of them."""
    selected = {}
    for name, value in document.items():
        inner = paths.get(name)
        if inner is None and "." in name:
            inner = _within(paths, name)
        if inner is not None:
            chosen = _select_within(value, inner) if inner else value
            if chosen is not _ABSENT:
                selected[name] = chosen
    return selected


def drop(document: BsonDocument, paths: PathTree) -> None:
    """Remove the named fields from the document, in place."""
    for name, inner in paths.items():
        if not inner:
            document.pop(name, None)
        else:
            for within in _documents(document.get(name)):
                drop(within, inner)
    if not paths or "." not in "".join(document):
        return
    for name in [each for each in document if "." in each]:
        found = _within(paths, name)
        if found:
            for within in _documents(document[name]):
                drop(within, found)
        elif found is not None:
            del document[name]


class Move(NamedTuple):
    """A field's old and new path, and both as names within the parents that they share."""

    old: str
    new: str
    parents: list[str]
    source: list[str]
    target: list[str]


def moves(names: Mapping[str, str]) -> list[Move]:
    """Return what `rename` does for new paths by old ones, a field within another one that moves, too, first."""
    made = []
    for old, new in names.items():
        source, target = old.split("."), new.split(".")
        shared = 0
        while shared < min(len(source), len(target)) - 1 and source[shared] == target[shared]:
            shared += 1
        made.append(Move(old, new, source[:shared], source[shared:], target[shared:]))
    return sorted(made, key=lambda move: move.old.count("."), reverse=True)


def rename(document: BsonDocument, moves: Iterable[Move]) -> None:
    """Move fields to other names or paths, in place; values from an array of documents become an array there.

    All are taken before any is put back: the old names are the source's, so two fields may change places. Raises
    DocumentError if there is already a field, so that no value is lost.
    """
    taken = [
        (within, move, value)
        for move in moves
        for within in _at(document, move.parents)
        if (value := _take(within, move.source)) is not _ABSENT
    ]
    for within, move, value in sorted(taken, key=lambda each: each[1].new.count(".")):  # outer fields first
        if not _put(within, move.target, value):
            raise DocumentError(f"rename of `{move.old}` to `{move.new}`: the document already has a field there")


def reshape(document: BsonDocument, path: str, form: Callable[[Any], Any]) -> None:
    """Replace the field's value, or each element if it is an array, by its new form, in place."""
    *parents, last = path.split(".")
    for within in _at(document, parents):
        if last in within:
            within[last] = _each(within[last], form)


def _each(value: Any, form: Callable[[Any], Any]) -> Any:
    return [_each(inner, form) for inner in value] if isinstance(value, list | tuple) else form(value)


def _within(paths: PathTree, name: str) -> PathTree | None:
    """Return the paths within a field whose name has dots: none of them for the whole field, None if it has no path."""
    for piece in name.split("."):
        if piece not in paths:
            return None
        paths = paths[piece]
        if not paths:
            return paths
    return paths


def _grow(branch: PathTree, names: list[str]) -> None:
    for name in names:
        if name in branch and not branch[name]:
            return
        branch = branch.setdefault(name, {})


def _select_within(value: Any, paths: PathTree) -> Any:
    if isinstance(value, dict):
        return select(value, paths)
    if isinstance(value, list):
        chosen = (_select_within(inner, paths) for inner in value)
        return [inner for inner in chosen if inner is not _ABSENT]
    return _ABSENT


def _documents(value: Any) -> Iterator[BsonDocument]:
    if isinstance(value, dict):
        yield value
    elif isinstance(value, list):
        for inner in value:
            yield from _documents(inner)


def _at(document: BsonDocument, names: list[str]) -> Iterator[BsonDocument]:
    if not names:
        yield document
        return
    for within in _documents(document.get(names[0])):
        yield from _at(within, names[1:])


def _take(document: BsonDocument, names: list[str]) -> Any:
    first, *rest = names
    if not rest:
        return document.pop(first, _ABSENT)
    value = document.get(first)
    taken = [found for within in _documents(value) if (found := _take(within, rest)) is not _ABSENT]
    if not taken:
        return _ABSENT
    return taken if isinstance(value, list) else taken[0]


def _put(document: BsonDocument, names: list[str], value: Any) -> bool:
    *parents, last = names
    for name in parents:
        document = document.setdefault(name, {})
        if not isinstance(document, dict):
            return False
    if last in document:
        return False
    document[last] = value
    return True
