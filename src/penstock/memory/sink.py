"""Sink, checkpoints and dead letters in memory, for tests and for trying a transform; they keep the ports' promises."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence

import orjson

from penstock.documents.document_id import MAX_ID_BYTES
from penstock.errors import LeaseLost, ReadAgain
from penstock.model import SUPERSEDED, WRITTEN, Letter, Namespace, Outcome, Position, Refusal, Write


class MemorySink:
    """Follows OpenSearch's rules of `external_gte`, tombstones included (it never forgets one).

    `refuse` may answer a reason why a write is refused for good, None when it is taken.
    """

    def __init__(self, refuse: Callable[[Write], str | None] = lambda _: None) -> None:
        self._refuse = refuse
        self._lock = threading.Lock()
        self._states: dict[str, dict[str, tuple[int, bytes | None]]] = {}

    def write(self, writes: Sequence[Write], *, send_before: float | None = None) -> list[Outcome]:
        """See `penstock.ports.Sink`."""
        if send_before is not None and time.monotonic() >= send_before:
            raise ReadAgain("the documents were read too long ago to be sent")
        with self._lock:
            return [self._write(write) for write in writes]

    def documents(self, alias: str) -> dict[str, bytes]:
        """The bodies that an alias holds, by id."""
        with self._lock:
            states = self._states.get(alias, {})
            return {text_id: body for text_id, (_, body) in states.items() if body is not None}

    def versions(self, alias: str) -> dict[str, int]:
        """The versions of the documents that an alias holds, by id."""
        with self._lock:
            states = self._states.get(alias, {})
            return {text_id: version for text_id, (version, body) in states.items() if body is not None}

    def _write(self, write: Write) -> Outcome:
        reason = _unsendable(write) or self._refuse(write)
        if reason is not None:
            return Refusal(400, reason)
        states = self._states.setdefault(write.alias, {})
        present = states.get(write.id)
        if present is not None and present[0] > write.version:
            return SUPERSEDED
        states[write.id] = (write.version, write.body)
        return WRITTEN


class MemoryDeadLetters:
    """Keeps the newest letter of each document."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._letters: dict[tuple[str, str], Letter] = {}

    @property
    def letters(self) -> list[Letter]:
        """What was stored, in the order in which the documents first failed."""
        with self._lock:
            return list(self._letters.values())

    def store(self, letters: Sequence[Letter]) -> None:
        """See `penstock.ports.DeadLetters`."""
        with self._lock:
            for letter in letters:
                present = self._letters.get((letter.alias, letter.id))
                if present is None or present.version <= letter.version:
                    self._letters[letter.alias, letter.id] = letter

    def clear(self, alias: str, *, before: int | None = None) -> int:
        """Remove the letters of a generation, or those of a version below `before`; answers how many."""
        with self._lock:
            those = (at for at in self._letters if at[0] == alias)
            old = [at for at in those if before is None or self._letters[at].version < before]
            for at in old:
                del self._letters[at]
            return len(old)

    def count(self, namespaces: Iterable[Namespace]) -> dict[Namespace, int]:
        """How many letters each collection has."""
        with self._lock:
            return {each: sum(letter.namespace == each for letter in self._letters.values()) for each in namespaces}


class MemoryCheckpoints:
    """Keeps the position of one pipeline; `taken_over` gives the next worker's, under which saves of this one fail."""

    def __init__(self) -> None:
        self._position: Position | None = None
        self._next: MemoryCheckpoints | None = None

    def load(self) -> Position | None:
        """See `penstock.ports.Checkpoints`."""
        return self._position

    def save(self, position: Position) -> None:
        """See `penstock.ports.Checkpoints`."""
        if self._next is not None:
            raise LeaseLost("the lease was taken over by another worker")
        self._position = position

    def taken_over(self) -> "MemoryCheckpoints":
        """Take the lease over, as another worker would."""
        self._next = MemoryCheckpoints()
        self._next._position = self._position
        return self._next


def _unsendable(write: Write) -> str | None:
    if not 0 <= write.version < 1 << 63:
        return f"the version {write.version} is not between 0 and 2**63 - 1"
    try:
        size = len(write.id.encode())
    except UnicodeEncodeError:
        return "the id is not valid Unicode"
    if not 0 < size <= MAX_ID_BYTES:
        return f"the id has {size} bytes, 1 to {MAX_ID_BYTES} are allowed"
    if write.body is None:
        return None
    try:
        parsed = orjson.loads(write.body)
    except orjson.JSONDecodeError as error:
        return f"the body is not JSON: {error}"
    return None if isinstance(parsed, dict) else "the body is not a JSON object"
