"""The envelope of a DocumentDB event source mapping -> changes.

    {"eventSourceArn": ..., "events": [{"event": {...}}, ...], "eventSource": "aws:docdb"}

The events are extended JSON (`penstock.delivery.stream_events`).
"""

from collections.abc import Sequence
from typing import Any

from penstock.delivery.stream_events import StreamEvent, readable, time_of
from penstock.model import Change, Namespace, version_of
from penstock.mongo.events import WholeEvents


class NotAnEnvelope(ValueError):
    """The function was called by something other than an event source mapping."""


def events_of(envelope: Any) -> list[StreamEvent]:
    """Return the events as received. Raises NotAnEnvelope."""
    try:
        events = [each["event"] for each in envelope["events"]]
    except (TypeError, KeyError):
        events = None
    if events is None or not all(isinstance(event, dict) for event in events):
        raise NotAnEnvelope(
            "This is not an event of a DocumentDB event source mapping: it has no `events`. Only its mapping should"
            " call the sync function."
        )
    return events


def whole_changes_of(events: Sequence[StreamEvent], colls: Sequence[Namespace]) -> list[Change]:
    """Return the changes, in order, with whole events in BSON, for a reaction to the collections `colls`."""
    return WholeEvents(colls[0].db).changes(list(readable(events, colls)))


def token_of(events: Sequence[StreamEvent]) -> str:
    """Return the resume token of the last event, for the record; empty if there is none."""
    try:
        return str(events[-1]["_id"]["_data"])
    except (IndexError, KeyError, TypeError):
        return ""


def latest_time(events: Sequence[StreamEvent]) -> int:
    """Return the greatest cluster time, as a version; 0 if there is none."""
    return max((version_of(time.time, time.inc) for time in map(time_of, events) if time), default=0)
