"""How many records of its partitions a member has still to bring into the index, by what the client says of itself.

https://github.com/confluentinc/librdkafka/blob/master/STATISTICS.md
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.kafka.positions import Partition
from penstock.kafka.records import Record


@dataclass
class Behind:
    """Notes what was delivered and what is committed; one thread does that."""

    _committed: dict[Partition, int] = field(default_factory=dict)
    _delivered: dict[Partition, int] = field(default_factory=dict)

    def begins(self, committed: Mapping[Partition, int]) -> None:
        """Note where the group stands, where it has committed something."""
        self._committed, self._delivered = dict(committed), {}

    def opens(self, offsets: Mapping[Partition, int]) -> None:
        """Note where reading begins; what is before that is no matter of a group that has committed nothing."""
        self._committed = {**offsets, **self._committed}

    def delivers(self, records: Iterable[Record]) -> None:
        """Note records that were given to the term."""
        for each in records:
            self._delivered[Partition(each.topic, each.partition)] = each.offset + 1

    def commits(self, offsets: Mapping[Partition, int]) -> None:
        """Note what the group has accepted."""
        self._committed |= offsets

    def of(self, statistics: Mapping[str, Any], partitions: Iterable[Partition]) -> dict[Partition, int | None]:
        """Return how many offsets each partition has after what is committed; None where it is not known yet.

        The end of a transaction takes an offset that no record has, so what was fetched to the end and committed is 0.
        """
        topics = statistics.get("topics", {})
        found: dict[Partition, int | None] = {}
        for each in partitions:
            known = topics.get(each.topic, {}).get("partitions", {}).get(str(each.number))
            found[each] = self._of_partition(each, known) if known and known["ls_offset"] >= 0 else None
        return found

    def _of_partition(self, partition: Partition, known: Mapping[str, Any]) -> int:
        end, safe = int(known["ls_offset"]), max(self._committed.get(partition, 0), int(known["lo_offset"]), 0)
        is_fetched = known["next_offset"] >= end and known["fetchq_cnt"] == 0
        return 0 if is_fetched and self._delivered.get(partition, 0) <= safe else max(0, end - safe)
