"""How a mapping reads a cluster: its own connection, one cursor, positions."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import ConfigurationError, OperationFailure

from penstock.model import Position, version_of
from penstock.mongo.connection import SourceClient, cluster_time
from penstock.mongo.cursor import ChangeCursor, CursorReply
from penstock.mongo.error_table import Fault, fault_of
from penstock.mongo.position import position_after, position_at, resume_option
from penstock_tools.aws.mapping.record import MappingRecord

WAIT_MS = 100
"""How long the server waits for an event; a window may end late by this much."""

_MOST_EVENTS = 1000
_OPTIONS: dict[str, Any] = {
    "appName": "lambda",
    "connectTimeoutMS": 5_000,
    "serverSelectionTimeoutMS": 3_000,
    "socketTimeoutMS": 60_000,
    "directConnection": True,
    "retryReads": False,
    "retryWrites": False,
}


@dataclass(frozen=True, slots=True)
class Cluster:
    """The host and port behind a cluster's ARN. Lambda itself reads no cluster without TLS or a user."""

    uri_host: str
    tls_ca_file: Path | None
    engine_version: str = "5.0.0"
    with_user: bool = True


class Reader:
    """The connection of one mapping and its cursor; must be closed. Its methods raise PyMongoError."""

    def __init__(self, cluster: Cluster, credentials: Mapping[str, str] | None, record: MappingRecord) -> None:
        self._client = _client(cluster, credentials)
        self._record = record
        self._cursor: ChangeCursor | None = None

    def open(self, position: Position | None) -> CursorReply:
        """Start after the position, or with the next event, and return what is available at once."""
        self._free_cursor()
        self._cursor = self._new_cursor()
        return self._cursor.open(self._pipeline(position))

    def next(self) -> CursorReply | None:
        """Return the next reply, possibly without events; None after an invalidate, which ends the stream."""
        if self._cursor is None or not self._cursor.alive:
            return None
        return self._cursor.next()

    def holds(self, position: Position) -> bool:
        """Whether a stream can still start at the position."""
        cursor = self._new_cursor()
        try:
            cursor.open(self._pipeline(position))
        except OperationFailure as error:
            if fault_of(error) is Fault.LOST:
                return False
            raise
        finally:
            cursor.close()
        return True

    def oldest(self, lost: int) -> Position:
        """Return the first position at which a stream can start if it cannot at `lost`: where the log begins."""
        refused, held = lost, cluster_time(self._client) + 1
        while held - refused > 1:
            middle = (refused + held) // 2
            if self.holds(position_at(middle)):
                held = middle
            else:
                refused = middle
        return position_at(held)

    def rules(self) -> set[tuple[str, str]]:
        """Return the databases and collections with enabled change streams; an empty name means all."""
        with self._client.admin.aggregate([{"$listChangeStreams": 1}]) as found:
            return {(rule["database"], rule["collection"]) for rule in found}

    def close(self) -> None:
        """Free the cursor and close the connection."""
        self._free_cursor()
        self._client.close()

    def _free_cursor(self) -> None:
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            cursor.close()

    def _new_cursor(self) -> ChangeCursor:
        record = self._record
        most = min(record.batch_size, _MOST_EVENTS)
        return ChangeCursor(self._client, record.db, record.coll, batch_size=most, wait_ms=WAIT_MS)

    def _pipeline(self, position: Position | None) -> list[dict[str, Any]]:
        stream = resume_option(position)
        if self._record.looks_up:
            stream["fullDocument"] = "updateLookup"
        return [{"$changeStream": stream}]


def starting_time(request: Mapping[str, Any], retention_s: int) -> int | None:
    """Return the cluster time at which a new mapping starts, None for LATEST. It includes events of that second."""
    position = request.get("StartingPosition", "LATEST")
    if position == "TRIM_HORIZON":
        return version_of(int(time.time()) - retention_s, 1)
    if position == "AT_TIMESTAMP":
        return version_of(int(request["StartingPositionTimestamp"]), 1)
    return None


def latest(reply: CursorReply) -> Position | None:
    """Return the position of a stream that was opened without one, before the events of its first reply."""
    if reply.events:
        return position_at(time_of_event(reply.events[0]))
    if reply.token:
        return position_after(reply.token, reply.time)
    return position_at(reply.time + 1) if reply.time else None


def after_event(event: Mapping[str, Any]) -> Position:
    """Return the position after an event. No stream resumes after an invalidate's token, so that position is a time."""
    time = time_of_event(event)
    return position_at(time + 1) if event["operationType"] == "invalidate" else position_after(event["_id"], time)


def time_of_event(event: Mapping[str, Any]) -> int:
    """The cluster time of an event."""
    time = event["clusterTime"]
    return version_of(time.time, time.inc)


def _client(cluster: Cluster, credentials: Mapping[str, str] | None) -> SourceClient:
    options = dict(_OPTIONS)
    if credentials is not None:
        options |= {"username": credentials["username"], "password": credentials["password"]}
    if cluster.tls_ca_file is not None:
        options |= {"tls": True, "tlsCAFile": str(cluster.tls_ca_file)}
    try:
        return MongoClient(f"mongodb://{cluster.uri_host}/", **options)
    except OSError as error:
        raise ConfigurationError(f"the CA bundle {cluster.tls_ca_file} cannot be used") from error
