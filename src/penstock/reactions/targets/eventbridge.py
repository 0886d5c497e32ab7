"""An Amazon EventBridge bus, by PutEvents: up to 10 entries and 256 KB in a request, each with its own result.

The entry's source and detail-type are the event's source and type, for rules to match; its detail is the whole event.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from penstock.aws.session import service
from penstock.reactions.event import Event
from penstock.reactions.target import Accepted, Answer, Refused, TryAgain
from penstock.settings import ReactionSettings

ENTRIES_AT_ONCE: Final = 10
REQUEST_BYTES: Final = 256 * 1024
_TIME_BYTES = 14
"""What a time counts for; the rest counts with its bytes of UTF-8."""

_OF_AN_ENTRY = frozenset({"ValidationException", "InvalidArgument", "MalformedDetail"})
"""Errors that the same entry would have again."""

_REGION = re.compile(r"arn:[^:]+:events:([^:]+):")


class EventBridgeTarget:
    """Puts events on one bus."""

    at_once = ENTRIES_AT_ONCE

    def __init__(self, settings: ReactionSettings) -> None:
        self.bus = str(settings.bus)
        region = _REGION.match(self.bus)
        self.client = service("events", region=settings.region or (region[1] if region else None))

    def send(self, events: Sequence[Event]) -> list[Answer]:
        """Put the events, in as many requests as their sizes need."""
        return [answer for request in _requests(events) for answer in self._put(request)]

    def problem(self) -> str:
        """Ask for the bus, which needs events:DescribeEventBus."""
        try:
            self.client.describe_event_bus(Name=self.bus)
        except ClientError as error:
            return f"the bus {self.bus} cannot be described: {error.response['Error']['Code']}"
        except BotoCoreError as error:
            return f"EventBridge gives no answer ({type(error).__name__})"
        return ""

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def _put(self, events: Sequence[Event]) -> list[Answer]:
        if size_of(events[0]) > REQUEST_BYTES:  # it is alone then
            size = f"{size_of(events[0]):,} bytes"
            return [Refused(f"{size}, more than the {REQUEST_BYTES:,} that EventBridge takes", for_good=True)]
        try:
            entries = self.client.put_events(Entries=list(map(self._entry, events)))["Entries"]
        except ClientError as error:
            code = str(error.response["Error"]["Code"])
            if code not in _OF_AN_ENTRY:
                return [TryAgain(f"the bus {self.bus} cannot be put to: {code}")] * len(events)
            if len(events) > 1:  # one of them spoils the request
                return [answer for each in events for answer in self._put([each])]
            return [Refused(f"EventBridge refused the entry: {code}")]
        except BotoCoreError as error:
            return [TryAgain(f"EventBridge gave no answer ({type(error).__name__})")] * len(events)
        return list(map(_judge, entries))

    def _entry(self, event: Event) -> dict[str, Any]:
        return {
            "EventBusName": self.bus,
            "Source": event.source,
            "DetailType": event.type,
            "Time": datetime.fromisoformat(event.time),
            "Detail": event.body.decode(),
        }


def size_of(event: Event) -> int:
    """Return how many bytes an event's entry counts for."""
    return _TIME_BYTES + len(event.source.encode()) + len(event.type.encode()) + len(event.body)


def _requests(events: Sequence[Event]) -> Iterator[list[Event]]:
    """Divide events among requests; one that is too large has its own."""
    request: list[Event] = []
    for event in events:
        if request and (len(request) == ENTRIES_AT_ONCE or sum(map(size_of, [*request, event])) > REQUEST_BYTES):
            yield request
            request = []
        request.append(event)
    if request:
        yield request


def _judge(result: dict[str, Any]) -> Answer:
    code = result.get("ErrorCode")
    if not code:
        return Accepted()
    if code in _OF_AN_ENTRY:
        return Refused(f"EventBridge refused the entry: {code}")
    return TryAgain(f"EventBridge: {code}")
