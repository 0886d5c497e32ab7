"""Whether the source is still the one whose changes the index holds, and did not go back in time.

check_source          at the start of a term: its identity, and its cluster time against the saved position
require_same_source   its identity alone, for what writes without a lease: repairs and replays
RewindGuard           while it runs: the index must hold no version above the source's cluster time
RewindWatch           the same, looked at by a thread of its own
"""

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from penstock.errors import SystemicFault
from penstock.model import SUPERSEDED, Outcome, Position, Write, seconds_of
from penstock.mongo.connection import cluster_time
from penstock.mongo.identity import SourceIdentity
from penstock.opensearch.index.indexes import Generation
from penstock.opensearch.read.by_ids import read_by_ids
from penstock.opensearch.state.pipeline_state import PipelineState
from penstock.planner import Plan
from penstock.ports import Sink
from penstock.wiring import Adapters

_LOOKED_AT = 100
"""The most superseded writes of one call that are looked at, spread over all of them."""


def check_source(plan: Plan, adapters: Adapters, state: PipelineState) -> SourceIdentity:
    """Refuse a source that is not the one whose changes the indexes hold, or that went back in time; return it."""
    source = require_same_source(adapters)
    position: Position | None = state.load()
    # One without a token is right before everything of its time, such as that after the last event of a stream.
    if position and position.time - (not position.token) > adapters.ask(cluster_time):
        raise SystemicFault(
            f"Pipeline {plan.name}: the saved position is ahead of the source's cluster time, so the source was"
            " restored, or this is a different one. Run `penstock load --again`, which also removes what is not there."
        )
    return source


def require_same_source(adapters: Adapters) -> SourceIdentity:
    """Return who answers. Raise SystemicFault when the position, or an index, is of another source.

    Comes before whatever is written because of what this source says, and what it does not hold.
    """
    now = adapters.source_identity()
    for what, before in adapters.known_sources().items():
        before.require_same(now, what)
    return now


@dataclass
class RewindGuard:
    """Looks at what superseded its writes: versions that the source cannot have reached would refuse every change.

    That is so after the source was restored, or when another tool wrote to the index. A `penstock.ports.Sink`.
    """

    sink: Sink
    adapters: Adapters
    generations: Iterable[Generation]

    def write(self, writes: Sequence[Write], *, send_before: float | None = None) -> list[Outcome]:
        """See `penstock.ports.Sink`; raises SystemicFault when the index is ahead of the source."""
        outcomes = self.sink.write(writes, send_before=send_before)
        if superseded := _some_superseded(writes, outcomes):
            self.look(superseded)
        return outcomes

    def look(self, superseded: Sequence[Write]) -> None:
        """Look at these documents. Raises SystemicFault, SourceUnavailable, Stopped.

        The source's time is asked last: it is at or after every version that it gave until then.
        """
        indexes = {each.write_alias: each.index for each in self.generations}
        by_index: dict[str, list[str]] = {}
        for each in superseded:
            by_index.setdefault(indexes[each.alias], []).append(each.id)
        highest = {index: self._highest(index, ids) for index, ids in by_index.items()}
        now = self.adapters.ask(cluster_time)
        for index, version in highest.items():
            if now and version > now:
                raise SystemicFault(
                    f"The index {index} holds documents of {_utc(version)}, but the source's cluster time is"
                    f" {_utc(now)}: the source was restored or replaced, or another tool wrote to the index. Older"
                    " versions cannot be written to it. Run `penstock reindex --force` for its collection to build a"
                    " new index from the source; then delete this one with --finish."
                )

    def _highest(self, index: str, ids: Sequence[str]) -> int:
        """The highest version among documents; 0 when none is there any more."""
        adapters = self.adapters
        found = read_by_ids(adapters.client, adapters.patience, index, ids, with_source=False)
        return max((each.version for each in found.values()), default=0)


@dataclass
class RewindWatch:
    """The same for the changes of a log, which are applied while the source is away: a thread of its own looks."""

    guard: RewindGuard
    every_s: float
    _noted: deque[Write] = field(default_factory=lambda: deque(maxlen=_LOOKED_AT))

    def write(self, writes: Sequence[Write], *, send_before: float | None = None) -> list[Outcome]:
        """See `penstock.ports.Sink`."""
        outcomes = self.guard.sink.write(writes, send_before=send_before)
        self._noted.extend(_some_superseded(writes, outcomes))
        return outcomes

    def keep_looking(self, stop: threading.Event) -> None:
        """Look at what was superseded, from time to time. Raises as `RewindGuard.look` does."""
        while not stop.wait(self.every_s):
            noted = [self._noted.popleft() for _ in range(len(self._noted))]
            if noted:
                self.guard.look(noted)


def _some_superseded(writes: Sequence[Write], outcomes: Sequence[Outcome]) -> list[Write]:
    """Return those that were superseded, spread over all of them if there are many."""
    if SUPERSEDED not in outcomes:
        return []
    superseded = [write for write, outcome in zip(writes, outcomes, strict=True) if outcome == SUPERSEDED]
    return superseded[:: 1 + len(superseded) // _LOOKED_AT]


def _utc(version: int) -> str:
    return datetime.fromtimestamp(seconds_of(version), UTC).isoformat()
