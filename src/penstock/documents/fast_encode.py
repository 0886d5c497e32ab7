"""Checks the names and types in documents, one or many, to find how orjson can write them as they are."""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import chain
from math import isfinite
from operator import itemgetter
from typing import Any

from penstock.documents.bson_json import ATOMS, NATIVE, NUMBERS, OWN_DATES
from penstock.documents.field_names import CLEAN_ANYWHERE, MAX_DEPTH, learn


def options_of(document: dict[str, Any], clean: set[str], level: int, arrays: int) -> int | None:
    """Return the options with which orjson writes the document as it is, None if it has to be rewritten."""
    if not clean.issuperset(document) and not learn(document, top=level == 1):
        return None
    options = NATIVE
    for value in document.values():
        kind = value.__class__
        if kind in ATOMS:
            continue
        if kind is datetime:  # with milliseconds and no zone, orjson's form is penstock's
            if value.microsecond % 1000 or not value.microsecond or value.tzinfo:
                options = OWN_DATES
            continue
        found = _nested_options(value, kind, level, arrays)
        if found is None:
            return None
        options |= found
    return options


def _nested_options(value: Any, kind: type, level: int, arrays: int) -> int | None:
    if kind is float:
        return NATIVE if isfinite(value) else None
    if kind is dict and level < MAX_DEPTH:
        return options_of(value, CLEAN_ANYWHERE, level + 1, arrays)
    if kind is list and arrays < MAX_DEPTH:
        return NATIVE if ATOMS.issuperset(map(type, value)) else _array_options(value, level, arrays + 1)
    return None


def _array_options(values: Sequence[Any], level: int, arrays: int) -> int | None:
    if NUMBERS.issuperset(map(type, values)):
        return NATIVE if isfinite(sum(values)) else None
    options = NATIVE
    for value in values:
        kind = value.__class__
        if kind in ATOMS:
            continue
        found = OWN_DATES if kind is datetime else _nested_options(value, kind, level, arrays)
        if found is None:
            return None
        options |= found
    return options


def options_of_all(documents: Sequence[dict[str, Any]], clean: set[str], level: int, arrays: int) -> int | None:
    """Return the options with which orjson writes all these documents; None if each one has to be checked.

    The documents of a collection mostly have the same fields: then each field is checked once for all of them.
    """
    fields = _fields(documents)
    some = documents[:1] if fields else documents
    if not all(map(clean.issuperset, some)) and not all(learn(each, top=level == 1) for each in documents):
        return None
    options = NATIVE
    for values in fields or [list(chain.from_iterable(map(dict.values, documents)))]:
        found = _options_of_values(values, level, arrays)
        if found is None:
            return None
        options |= found
    return options


def _fields(documents: Sequence[dict[str, Any]]) -> Sequence[Sequence[Any]] | None:
    """Return the values of each field if all documents have the same fields, two or more; None if they differ."""
    if not documents or len(documents[0]) < 2 or set(map(len, documents)) != {len(documents[0])}:
        return None
    try:
        return list(zip(*map(itemgetter(*documents[0]), documents), strict=True))
    except KeyError:
        return None


def _options_of_values(values: Sequence[Any], level: int, arrays: int) -> int | None:
    options = NATIVE
    kinds = set(map(type, values))
    for kind in kinds - ATOMS:
        options_of = _OF_KIND.get(kind)
        some = values if len(kinds) == 1 else [each for each in values if each.__class__ is kind]
        found = options_of(some, level, arrays) if options_of else None
        if found is None:
            return None
        options |= found
    return options


def _options_of_floats(values: Sequence[float], _level: int, _arrays: int) -> int | None:
    return NATIVE if isfinite(sum(values)) else None


def _options_of_dates(values: Sequence[datetime], _level: int, _arrays: int) -> int | None:
    own = sum(value.microsecond % 1000 > 0 or not value.microsecond or value.tzinfo is not None for value in values)
    return NATIVE if not own else OWN_DATES if own == len(values) else None


def _options_of_documents(values: Sequence[dict[str, Any]], level: int, arrays: int) -> int | None:
    return options_of_all(values, CLEAN_ANYWHERE, level + 1, arrays) if level < MAX_DEPTH else None


def _options_of_arrays(values: Sequence[list[Any]], level: int, arrays: int) -> int | None:
    return _options_of_values(list(chain.from_iterable(values)), level, arrays + 1) if arrays < MAX_DEPTH else None


_OF_KIND: dict[type, Callable[[Sequence[Any], int, int], int | None]] = {
    float: _options_of_floats,
    datetime: _options_of_dates,
    dict: _options_of_documents,
    list: _options_of_arrays,
}
