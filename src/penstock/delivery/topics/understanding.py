"""The records of a collection's topics as changes, each topic by its form."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from bson import Binary, Decimal128, ObjectId

from penstock.delivery.topics.change_events import changes_of_events
from penstock.delivery.topics.keys import IdKinds, changes_of_keys
from penstock.errors import SettingsError
from penstock.kafka.records import Record
from penstock.model import Change, Namespace
from penstock.settings import TopicSettings

EVERY_KIND: Final[IdKinds] = frozenset({ObjectId, datetime, Binary, bytes, Decimal128})
"""The types of `_id` that a text or a number may stand for: for those who cannot ask which the collection has."""

_MOST_NOT_UNDERSTOOD = 20
"""After this number of records of a topic, of which none was understood, the form is wrong, not the records."""


class TopicRefused(SettingsError):
    """The settings do not say what the records of a topic are, or say it wrongly."""


@dataclass
class Understanding:
    """Understands the records of one collection; remembers whether any of a topic was understood."""

    topics: Sequence[TopicSettings]
    namespace: Namespace
    _understood: set[str] = field(default_factory=set)
    _not_understood: dict[str, int] = field(default_factory=dict)

    def changes(self, records: Sequence[Record], kinds: IdKinds) -> list[Change]:
        """Return the changes that the records stand for. Raises TopicRefused when nothing of a topic is understood."""
        changes: list[Change] = []
        for topic in self.topics:
            found = changes_of_records(topic, records, self.namespace, kinds)
            self._require_understood(topic, found)
            changes += found
        return changes

    def _require_understood(self, topic: TopicSettings, changes: Sequence[Change]) -> None:
        """Single records become dead letters."""
        if topic.topic in self._understood or not changes:
            return
        wrong = [each for each in changes if each.kind == "unreadable"]
        if len(wrong) < len(changes):
            self._understood.add(topic.topic)
            return
        self._not_understood[topic.topic] = self._not_understood.get(topic.topic, 0) + len(wrong)
        if self._not_understood[topic.topic] >= _MOST_NOT_UNDERSTOOD:
            raise TopicRefused(
                f'[[topics]] {topic.topic}: none of its records is understood as form = "{topic.form}". The first one'
                f" of these: {wrong[0].reason}. Correct form, or how the topic is filled."
            )


def changes_of_records(
    topic: TopicSettings, records: Sequence[Record], namespace: Namespace, kinds: IdKinds
) -> list[Change]:
    """Return the changes of those of the records that are of one topic."""
    its = [each for each in records if each.topic == topic.topic]
    if topic.form == "keys":
        return changes_of_keys(its, namespace)
    return changes_of_events(its, namespace, kinds)
