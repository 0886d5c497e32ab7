"""Acts as an application: inserts, updates, replaces, deletes, several writes at one cluster time, ids that return."""

import random
import threading
from collections.abc import Callable
from typing import Any

from bson import Int64, ObjectId
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError, OperationFailure

_EACH = 80
_RATE = 150
_WITHIN_S = 60
_NO_COLLECTION = 263
"""A transaction makes no collection; a fault has dropped it."""


def ids(chance: random.Random) -> list[Any]:
    """Return the ids, few enough that deleted ones come back again and again."""
    numbers = range(_EACH)
    return [
        *numbers,
        *(Int64(10**12 + each) for each in numbers),
        *(f"text {each}" for each in numbers),
        *(ObjectId(chance.randbytes(12)) for _ in numbers),
        *({"tenant": each % 3, "number": each} for each in numbers),
    ]


class Writer:
    """Edits a collection until it is stopped; `changes` counts all events it caused, `edits` counts edits by kind."""

    def __init__(self, collection: Collection[dict[str, Any]], chance: random.Random) -> None:
        self.changes = 0
        self._collection = collection
        self._chance = chance
        self._ids = ids(chance)
        self._stop = threading.Event()
        self._failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._kinds: tuple[Callable[..., int], ...] = (
            self._insert, self._insert, self._update, self._replace, self._delete, self._at_one_time
        )  # fmt: skip
        self.edits = {_name(each): 0 for each in self._kinds}

    def fill(self) -> None:
        self._collection.insert_many([self.document(each) for each in self._ids])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop, and raise the error that occurred, if any."""
        self.abandon()
        assert not self._thread.is_alive(), "the writer hangs"
        if self._failed:
            raise self._failed[0]

    def abandon(self) -> None:
        """Stop, and ignore errors."""
        self._stop.set()
        if self._thread.ident:
            self._thread.join(_WITHIN_S)

    def document(self, key: Any) -> dict[str, Any]:
        """Return a new state; `key` distinguishes two documents with one id from two ids."""
        return {"_id": key, "key": repr(key), "text": f"{self._chance.random()}", "n": self._chance.randrange(1000)}

    def _write(self) -> None:
        try:
            self._edit_in_every_way()
            while not self._stop.wait(self._chance.expovariate(_RATE)):
                self._edit()
        except BaseException as error:  # noqa: BLE001 - raised by `stop`, in the caller's thread
            self._failed.append(error)

    def _edit_in_every_way(self) -> None:
        """Make each kind of edit once, in an order in which each finds what it needs."""
        key = self._chance.choice(self._ids)
        for kind in (self._delete, self._insert, self._update, self._replace, self._at_one_time):
            self._make(kind, key)

    def _edit(self) -> None:
        self._make(self._chance.choice(self._kinds), self._chance.choice(self._ids))

    def _make(self, kind: Callable[..., int], key: Any) -> None:
        made = kind(key)
        self.changes += made
        self.edits[_name(kind)] += bool(made)

    def _insert(self, key: Any, session: ClientSession | None = None) -> int:
        try:
            self._collection.insert_one(self.document(key), session=session)
        except DuplicateKeyError:
            return 0
        return 1

    def _update(self, key: Any, session: ClientSession | None = None) -> int:
        change = {"$inc": {"edits": 1}, "$set": {"text": f"{self._chance.random()}"}}
        return int(self._collection.update_one({"_id": key}, change, session=session).modified_count)

    def _replace(self, key: Any, session: ClientSession | None = None) -> int:
        return int(self._collection.replace_one({"_id": key}, self.document(key), session=session).modified_count)

    def _delete(self, key: Any, session: ClientSession | None = None) -> int:
        return int(self._collection.delete_one({"_id": key}, session=session).deleted_count)

    def _at_one_time(self, key: Any) -> int:
        """A transaction that changes one document several times, deletes it and makes it again."""
        steps = [self._update, self._replace, self._delete, *[self._recreate] * self._chance.randrange(2)]
        self._chance.shuffle(steps)

        def writes(session: ClientSession) -> int:
            return sum(step(key, session) for step in steps)

        with self._collection.database.client.start_session() as session:
            try:
                return session.with_transaction(writes)
            except OperationFailure as error:
                if error.code != _NO_COLLECTION:
                    raise
                return 0

    def _recreate(self, key: Any, session: ClientSession) -> int:
        """Insert where nothing is; a duplicate would end the transaction."""
        gone = self._collection.find_one({"_id": key}, session=session) is None
        return self._insert(key, session) if gone else 0


def _name(kind: Callable[..., int]) -> str:
    return kind.__name__.strip("_")
