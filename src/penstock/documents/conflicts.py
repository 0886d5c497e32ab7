"""Gives one shape to fields that are an object in some documents and a plain value in others, by `conflicts`.

    text          an object becomes the text of its extended JSON; a plain value stays
    flat_object   a plain value becomes an object: {"value": 5}; an object stays

Each element of an array is treated separately. `leave-out` happens at the index: `penstock.documents.omitted`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from bson import DBRef, Timestamp

from penstock.documents import field_paths
from penstock.documents.rewrite import whole_as_text
from penstock.errors import DocumentError
from penstock.settings import ConflictPolicy


def shapes(policies: Mapping[str, ConflictPolicy]) -> list[tuple[str, Callable[[Any], Any]]]:
    """Return the paths that get one shape, each with the function that shapes a value."""
    return [(path, _FORMS[policy]) for path, policy in policies.items() if policy in _FORMS]


def give_shape(document: dict[str, Any], path: str, form: Callable[[Any], Any]) -> None:
    """Give the field its shape, in place. Raises DocumentError if a value cannot have it."""
    try:
        field_paths.reshape(document, path, form)
    except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise DocumentError(f"the field `{path}` cannot be turned into text: {type(error).__name__}") from error


def _text(value: Any) -> Any:
    return whole_as_text(value) if _is_document(value) else value


def _flat_object(value: Any) -> Any:
    return value if value is None or _is_document(value) else {"value": value}


def _is_document(value: Any) -> bool:
    return isinstance(value, dict | DBRef | Timestamp)  # the last two become objects in JSON


_FORMS: dict[str, Callable[[Any], Any]] = {"text": _text, "flat_object": _flat_object}
