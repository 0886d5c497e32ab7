"""The records of topics that others fill: a connector, or a program of one's own.

OthersRecords   reads them
starts          where a term begins: where the group is, or at the start of the topic
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from penstock.delivery.lookup import looked_up, newest_last
from penstock.delivery.topics.keys import IdKinds
from penstock.delivery.topics.understanding import Understanding
from penstock.errors import PenstockError, PositionLost
from penstock.kafka.member import Term
from penstock.kafka.positions import Place, Places, by_topic, places_of, token_of
from penstock.kafka.records import Record
from penstock.kafka.topic_facts import TopicFacts
from penstock.model import Change, Namespace, Position, version_of
from penstock.mongo.lookup import sample_ids
from penstock.opensearch.state.group_start import GroupStart
from penstock.settings import TopicSettings
from penstock.wiring import Adapters

_SAMPLED = 100
_START_OF_THE_TOPIC = Place(-2)
"""librdkafka's OFFSET_BEGINNING."""

_TODO = (
    "Changes may be lost. Give [log] group another name to read the topics from their start, then run `penstock load"
    " --again`"
)


def starts(term: Term, group: GroupStart, facts: TopicFacts) -> Places:
    """Return where a term begins, and keep it; notes the ids of its topics in it. Raises PositionLost, Stopped.

    The brokers forget where a group was once it had no member for `offsets.retention.minutes`, a week by default. Then
    nothing is committed, as for a group that is new: what was kept tells the two apart.
    """
    term.topic_ids = ids = facts.ids(sorted({each.topic for each in term.committed}))
    first = facts.first_offsets(each for each, committed in term.committed.items() if committed is None)
    kept = group.read()
    for partition, committed in term.committed.items():
        topic = kept.get(partition.topic)
        known_id = committed.topic_id if committed else topic.id if topic else ""
        if known_id not in ("", ids[partition.topic]):
            raise PositionLost(
                f"Group {term.member.group}: the topic {partition.topic} was deleted and made again.", f"{_TODO}."
            )
        before = topic.offsets.get(partition.number) if topic else None
        if committed is None and before is not None and before < first[partition]:
            raise PositionLost(
                f"Group {term.member.group}: the brokers have forgotten where it was in the topic {partition.topic},"
                f" partition {partition.number}, which no longer holds what came next.",
                f"{_TODO}; and make offsets.retention.minutes of the brokers, and the retention of the topics, longer"
                " than the processes may be away.",
            )
    was_at = {each: its.place.offset if its else first[each] for each, its in term.committed.items()}
    group.note(ids, by_topic(was_at))
    return {each: its.place if its else _START_OF_THE_TOPIC for each, its in term.committed.items()}


def note_end(term: Term, group: GroupStart) -> None:
    """Keep what a term has committed last: nearer to what the topics still hold than where it began."""
    if term.saved:
        reached = {each: place.offset for each, place in places_of(term.saved.token).items() if place.offset >= 0}
        with suppress(PenstockError):  # it has ended, maybe by an error of its own
            group.note(term.topic_ids, by_topic(reached))


@dataclass
class OthersRecords:
    """Reads the topics that others fill. Implements `Reader`; asks which types of `_id` the collection has."""

    topics: Sequence[TopicSettings]
    namespace: Namespace
    present: Namespace
    adapters: Adapters
    _kinds: IdKinds = field(init=False)
    _understanding: Understanding = field(init=False)

    def __post_init__(self) -> None:
        self._kinds = frozenset(map(type, self.adapters.ask(sample_ids, self.present, _SAMPLED)))
        self._understanding = Understanding(self.topics, self.namespace)

    def after(self, record: Record, before: Place) -> Place:  # noqa: ARG002 (of the protocol)
        """Such records say nothing of the ones before."""
        return Place(record.offset + 1)

    def is_one_time(self, before: Record, after: Record) -> bool:  # noqa: ARG002 (of the protocol)
        """Their times are known once they are understood."""
        return False

    def changes(self, records: Sequence[Record]) -> list[Change]:
        """See `Reader`. Raises TopicRefused too, for a topic whose records give no ids."""
        return newest_last(looked_up(self._understanding.changes(records, self._kinds), self.adapters))

    def position(self, places: Places, changes: Sequence[Change], records: Sequence[Record]) -> Position:
        """Its time is that of the newest change."""
        versions = [change.version for change in changes if change.version]
        times = [version_of(each.timestamp_ms // 1000, 0) for each in records]
        return Position(token_of(places), max(versions or times or [0]))
