"""From a stored document to the body that is indexed: select, the user's function, rename, conflicts, encode.

The order is the one that the settings suggest: `include` and `exclude` choose the fields of the source, the function
sees those under the source's names, `rename` gives the names in the index, and `conflicts` uses those names.
"""

from collections.abc import Sequence
from copy import deepcopy
from hashlib import sha256
from typing import Any

import orjson
from bson import ObjectId

from penstock.documents import field_paths
from penstock.documents.conflicts import give_shape, shapes
from penstock.documents.document_id import HASHED, are_short, document_id, id_json
from penstock.documents.encode import FORM, encode, encode_all, one_by_one
from penstock.documents.field_names import RESERVED
from penstock.documents.user_function import UserFunction, import_function, place_of, source_of
from penstock.errors import DocumentError, SettingsError
from penstock.model import Body
from penstock.settings import CollectionSettings


class Transform:
    """Turns the documents of one collection into bodies; may be called from several threads.

    Raises SettingsError if a new name is reserved or the function cannot be imported.
    """

    fingerprint: str
    """Stable hash of everything that shapes the documents: the settings, the function's module, penstock's formats."""

    def __init__(self, settings: CollectionSettings) -> None:
        _check_names(settings)
        self._include = field_paths.tree(settings.include)
        self._exclude = field_paths.tree(settings.exclude)
        self._moves = field_paths.moves(settings.rename)
        self._name = settings.function
        self._function = (
            import_function(settings.function, f"collection {settings.namespace}") if settings.function else None
        )
        self._shapes = shapes(settings.conflicts)
        self._is_plain = not (self._include or self._exclude or self._moves or self._function or self._shapes)
        self.fingerprint = _fingerprint(settings, self._function)

    def __call__(self, document: dict[str, Any]) -> bytes | None:
        """Return the body for the stored document, or None if the function left it out.

        The document is consumed: its `_id` is removed, and the function may have changed it. Raises DocumentError.
        """
        if self._is_plain:
            identity = document.pop("_id", None)
            return encode(document, None if identity.__class__ is ObjectId else _long_id(identity))
        identity = document.get("_id")
        shaped = self._shape(document)
        if shaped is None:
            return None
        shaped.pop("_id", None)
        return encode(shaped, _long_id(identity))

    def bodies(self, documents: Sequence[dict[str, Any]]) -> list[Body]:
        """Return what a call returns or raises for each document; faster for many."""
        if self._is_plain and are_short([each.get("_id") for each in documents]):
            for each in documents:
                each.pop("_id", None)
            return encode_all(documents)
        return one_by_one(self, documents)

    def _shape(self, document: dict[str, Any]) -> dict[str, Any] | None:
        selected = field_paths.select(document, {"_id": {}, **self._include}) if self._include else document
        field_paths.drop(selected, self._exclude)
        if self._function is not None:
            returned = self._call(self._function, selected)
            if returned is None:
                return None
            selected = returned
        if self._moves:
            field_paths.rename(selected, self._moves)
        for path, form in self._shapes:
            give_shape(selected, path, form)
        return selected

    def _call(self, function: UserFunction, document: dict[str, Any]) -> dict[str, Any] | None:
        identity = document.get("_id")
        kept = deepcopy(identity) if isinstance(identity, dict | list) else identity
        try:
            returned = function(document)
        except (Exception, SystemExit) as error:
            raise DocumentError(f"function {self._name} raised {type(error).__name__} {place_of(error)}") from error
        if returned is not None and not isinstance(returned, dict):
            raise DocumentError(
                f"function {self._name} returned {type(returned).__name__}; it must return a document or None"
            )
        if returned is not None and "_id" in returned and not _is_same(returned["_id"], kept):
            raise DocumentError(
                f"function {self._name} gave the document another _id; a document keeps the _id of the source, so store"
                " that value in another field"
            )
        return returned


def _is_same(given: Any, identity: Any) -> bool:
    """Whether it is the same `_id`; 1, 1.0 and True are different ones."""
    return given is identity or (type(given) is type(identity) and bool(given == identity))


def _long_id(identity: Any) -> str | None:
    return id_json(identity) if document_id(identity).startswith(HASHED) else None


def _check_names(settings: CollectionSettings) -> None:
    problems = [
        f"collection {settings.namespace}: rename: no field can be named `{path}`, because OpenSearch or penstock"
        " reserves that name; choose another"
        for path in settings.rename.values()
        if path.split(".")[0] in RESERVED
    ]
    if problems:
        raise SettingsError(*problems)


def _fingerprint(settings: CollectionSettings, function: UserFunction | None) -> str:
    rules = settings.model_dump(include={"include", "exclude", "rename", "function"})
    shape = {"form": FORM, "rules": rules, "source": source_of(function)}
    conflicts = {path: policy for path, policy in settings.conflicts.items() if policy != "dead-letter"}
    if conflicts:
        shape["conflicts"] = conflicts
    return sha256(orjson.dumps(shape, option=orjson.OPT_SORT_KEYS)).hexdigest()
