"""Who takes part in the consumer group of an index, and has which partitions, as the processes say themselves."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from penstock.opensearch.state.store import StateDocument


@dataclass(frozen=True)
class MemberStatus:
    """One process that takes part. `topics` has for each topic its partitions, and how many records each has to go.

    None is what is not known yet. Without partitions the process stands by.
    """

    worker: str
    host: str
    pid: int
    topics: Mapping[str, Mapping[str, int | None]]
    lag_s: float

    @property
    def partitions(self) -> int:
        """How many it has."""
        return sum(map(len, self.topics.values()))

    @property
    def behind(self) -> int | None:
        """How many records its partitions have to go; None where nothing is known of them."""
        return total(each for its in self.topics.values() for each in its.values())


def members_of(pipeline: str, workers: Iterable[StateDocument]) -> list[MemberStatus]:
    """Return the members of a pipeline's group, among the documents of the processes that are alive."""
    shares = [(each, share) for each in workers if (share := each.get("shares", {}).get(pipeline)) is not None]
    found = [
        MemberStatus(each["name"], each["host"], each["pid"], share["topics"], share["lag_s"]) for each, share in shares
    ]
    return sorted(found, key=lambda each: (each.host, each.pid))


def total(behind: Iterable[int | None]) -> int | None:
    """Return the sum of what is known; None where nothing is."""
    known = [each for each in behind if each is not None]
    return sum(known) if known else None


def state_of_group(members: Sequence[MemberStatus], *, has_index: bool) -> str:
    """The state of what a group feeds: live, standby (nobody has partitions), stopped, or waiting for its first one."""
    if any(each.partitions for each in members):
        return "live"
    if members:
        return "standby"
    return "stopped" if has_index else "waiting"
