"""The four seams between the core and the outside; each has a real adapter and one in memory (`penstock.memory`).

The same contract tests run on both. Whatever waits inside these calls (a lost connection, an overloaded cluster)
waits by itself, says so in the log and in the metrics, and raises `Stopped` when the process is to stop; so a caller
sees only final answers.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from penstock.model import Batch, Letter, Outcome, Position, SourceTransform, Write


class Source(Protocol):
    """Gives changes after a position: a change stream, or the load of one collection."""

    def batches(self, after: Position | None, transform: SourceTransform) -> Iterator[Batch]:
        """Yield what the source answers, as it comes; an idle stream yields empty batches about once a second.

        A stream goes on for ever, a load ends. `None` means: from the start (a load), from now (a stream).
        The source applies the transform to its documents a few at a time, right after it has decoded them: what they
        hold is in the processor's cache then, and need not be kept. Transient faults are waited for and resumed
        inside. Raises PositionLost, SourceUnavailable.
        """

    def close(self) -> None:
        """Free the cursor; `batches` ends. May be called from another thread, and twice."""


class Sink(Protocol):
    """Takes writes, answers one outcome per write."""

    def write(self, writes: Sequence[Write], *, send_before: float | None = None) -> list[Outcome]:
        """Send the writes, wait for what only means "wait", and answer the outcomes in the order of the writes.

        `send_before` (time.monotonic) is for what was read outside the stream: nothing is sent after that moment, nor
        after a wait. It waits until writes are taken, and raises ReadAgain. Without it a write is repeated until its
        outcome is known, which is harmless because versions decide. Several threads may call this at once. Raises
        SinkUnavailable.
        """


class DeadLetters(Protocol):
    """Keeps what can never be indexed."""

    def store(self, letters: Sequence[Letter]) -> None:
        """Keep the letters, or raise SystemicFault: a letter that is itself refused must stop the pipeline."""


class Checkpoints(Protocol):
    """Keeps the position up to which everything is safe, for one pipeline."""

    def load(self) -> Position | None:
        """Answer the saved position, None when there is none yet."""

    def save(self, position: Position) -> None:
        """Save the position under the lease; raises LeaseLost when another worker holds it."""
