"""The envelope of a Kafka event source mapping (Amazon MSK, or a cluster of one's own) -> records of topics.

    {"eventSource": "aws:kafka", "eventSourceArn": ..., "bootstrapServers": ...,
     "records": {"TOPIC-PARTITION": [{"topic": ..., "partition": 0, "offset": 15, "timestamp": 1545084650987,
                                      "timestampType": "CREATE_TIME", "key": BASE64, "value": BASE64,
                                      "headers": [{"NAME": [104, 101, ...]}]}]}}

A cluster of one's own has `SelfManagedKafka` and no ARN (https://docs.aws.amazon.com/lambda/latest/dg/with-msk.html,
https://docs.aws.amazon.com/lambda/latest/dg/with-kafka.html). A key or a value that is null is left out, or is
null.
"""

import base64
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from penstock.delivery.lookup import not_ahead
from penstock.delivery.topics.understanding import EVERY_KIND, TopicRefused, Understanding, changes_of_records
from penstock.kafka.positions import Partition, Place, token_of
from penstock.kafka.records import Record
from penstock.lambdas.clients import settings, source
from penstock.lambdas.events import NotAnEnvelope
from penstock.lambdas.parts import Brought
from penstock.model import Change, Namespace, Position, version_of
from penstock.mongo.connection import cluster_time
from penstock.mongo.lookup import sample_ids
from penstock.mongo.retrying import ask

_SAMPLED = 100


def is_of_topics(envelope: Any) -> bool:
    """Whether an envelope is one of a Kafka mapping."""
    return isinstance(envelope, Mapping) and "records" in envelope


def records_of(envelope: Mapping[str, Any]) -> list[Record]:
    """Return the records, those of each partition in order. Raises NotAnEnvelope."""
    try:
        return [_record(each) for its in envelope["records"].values() for each in its]
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise NotAnEnvelope(
            f"This is not an event of a Kafka event source mapping: its records cannot be read"
            f" ({type(error).__name__}). Only its mapping should call the sync function, and without a schema registry."
        ) from error


def records_brought(envelope: Mapping[str, Any]) -> Brought:
    """Return the records by the collections that the settings name for their topics. Raises NotAnEnvelope."""
    records = records_of(envelope)
    declared = [Namespace.named(each.namespace) for each in settings().collections]
    of_topic = {topic.topic: each for each in declared for topic in settings().topics_of(str(each))}
    by_collection: dict[Namespace, list[Record]] = {}
    for record in records:
        if record.topic in of_topic:
            by_collection.setdefault(of_topic[record.topic], []).append(record)
    unnamed = sorted({each.topic for each in records} - of_topic.keys())
    return Brought([_Records(*each) for each in by_collection.items()], _position_of(records), _refused(unnamed))


class _Records(NamedTuple):
    """Records of the topics of one collection; of several partitions, so no order holds among them."""

    collection: Namespace
    records: Sequence[Record]
    in_order: bool = False

    def changes(self, stop: threading.Event, /) -> Sequence[Change]:
        understanding, kinds = _understanding(self.collection), frozenset[type]()
        if any(each.form == "change-events" for each in understanding.topics):
            kinds = frozenset(map(type, ask(source(), stop, sample_ids, self.collection, _SAMPLED)))
        changes = understanding.changes(self.records, kinds)
        return not_ahead(changes, lambda: ask(source(), stop, cluster_time))

    def changes_to_park(self) -> Sequence[Change]:
        topics = settings().topics_of(str(self.collection))
        return [
            change
            for topic in topics
            for change in changes_of_records(topic, self.records, self.collection, EVERY_KIND)
        ]


@cache
def _understanding(collection: Namespace) -> Understanding:
    return Understanding(settings().topics_of(str(collection)), collection)


def _refused(topics: Sequence[str]) -> TopicRefused | None:
    if not topics:
        return None
    return TopicRefused(
        f"[[topics]]: no table names {', '.join(topics)} for one of the [[collections]], and an event source mapping"
        " brings its records; add a table, or delete the mapping. The topic keeps the records until then."
    )


def _position_of(records: Sequence[Record]) -> Position:
    """Return where the records end, for the log and the lag."""
    offsets: dict[Partition, int] = {}
    for each in records:
        partition = Partition(each.topic, each.partition)
        offsets[partition] = max(offsets.get(partition, 0), each.offset + 1)
    newest_ms = max((each.timestamp_ms for each in records), default=0)
    places = {each: Place(offset) for each, offset in offsets.items()}
    return Position(token_of(places), version_of(max(0, newest_ms) // 1000, 0))


def _record(held: Mapping[str, Any]) -> Record:
    return Record(
        str(held["topic"]),
        int(held["partition"]),
        int(held["offset"]),
        _bytes(held.get("key")),
        _bytes(held.get("value")),
        int(held.get("timestamp") or 0),
        [
            (name, bytes(each & 0xFF for each in value))
            for pair in held.get("headers") or ()
            for name, value in pair.items()
        ],
    )


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text, validate=True)
