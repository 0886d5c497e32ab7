"""Where a consumer group was in topics that others fill, when a term last began or ended in order.

The group's own offsets are with the brokers, which forget them. This tells a group that is forgotten from a new one.
"""

from collections.abc import Mapping
from typing import NamedTuple

from penstock.opensearch.state.ids import group_id
from penstock.opensearch.state.store import StateDocument, StateStore


class TopicStart(NamedTuple):
    """The id of a topic, and the offset in each partition that was ever this group's."""

    id: str
    offsets: Mapping[int, int]


class GroupStart:
    """Several members may use it at once."""

    def __init__(self, store: StateStore, group: str) -> None:
        self._store = store
        self._group = group

    def read(self) -> dict[str, TopicStart]:
        """Return what is kept, by topic. Raises SettingsError for a newer format, Stopped."""
        stored = self._store.get([group_id(self._group)]).get(group_id(self._group))
        topics = stored.document["topics"] if stored else {}
        return {
            topic: TopicStart(its["id"], {int(number): offset for number, offset in its["offsets"].items()})
            for topic, its in topics.items()
        }

    def note(self, ids: Mapping[str, str], offsets: Mapping[str, Mapping[int, int]]) -> None:
        """Keep where a term begins or ends; what is known of other partitions stays."""

        def with_them(stored: StateDocument | None) -> StateDocument:
            topics = dict(stored["topics"]) if stored else {}
            for topic, its in offsets.items():
                before = topics.get(topic, {}).get("offsets", {})
                now = {str(number): offset for number, offset in its.items()}
                topics[topic] = {"id": ids[topic], "offsets": {**before, **now}}
            return {"kind": "group", "name": self._group, "topics": topics}

        self._store.change(group_id(self._group), with_them)
