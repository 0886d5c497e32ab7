"""A record of a topic as a value: what forms read, from a consumer or a function call. Needs no driver."""

from collections.abc import Sequence
from typing import NamedTuple

Headers = Sequence[tuple[str, bytes | None]]


class Record(NamedTuple):
    """One record of a topic; `timestamp_ms` is 0 where it has none."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: Headers = ()

    @property
    def size(self) -> int:
        """The bytes of its value."""
        return len(self.value or b"")

    @property
    def place(self) -> str:
        """Where it is, in words."""
        return f"topic {self.topic}, partition {self.partition}, offset {self.offset}"
