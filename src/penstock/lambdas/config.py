"""The function `config`: POST /config creates the collection and turns its change stream on; so does the deployment.

The body is empty or {"enable": true}, which may be repeated any number of times, or {"enable": false}. The answer says
what was found, what was done, and from which time on (Unix seconds) a mapping misses nothing.

On DocumentDB, change streams are off until modifyChangeStreams turns them on. An event source mapping is reported to
look for the entry of exactly its own scope: one for the whole database does not count. On MongoDB they are always on.
"""

import threading
from typing import Any, NamedTuple

import orjson
from pymongo.errors import OperationFailure

from penstock.errors import SourceUnavailable, Stopped
from penstock.lambdas.clients import collection, settings, source
from penstock.lambdas.deadline import in_time
from penstock.lambdas.documents import parsed_json
from penstock.lambdas.http import ApiReply, ApiRequest, BadRequest, Proxied, answer
from penstock.model import Namespace, seconds_of
from penstock.mongo.collections import exists
from penstock.mongo.connection import SourceClient, cluster_time
from penstock.mongo.retrying import ask

_AWAY = "The cluster did not answer in time; the request may be partly done. Try again: repeating it does no harm."
_NO_SUCH_COMMAND = frozenset({59, 40324})
"""MongoDB's error codes for modifyChangeStreams, and for the stage $listChangeStreams."""

_NAMESPACE_EXISTS = 48
_DEPLOYMENT_AT_MOST_S = 840.0


class FoundStream(NamedTuple):
    """The state in which the collection was found. `switched`: whether its change stream can be turned on and off."""

    collection: bool
    change_stream: bool
    switched: bool


def handler(event: Any, context: Any) -> Any:
    """Handle a request of API Gateway, or an event of a CloudFormation custom resource (provider framework)."""
    if isinstance(event, dict) and "RequestType" in event:
        return _deploy(event, context)
    return _answer(event, context)


def _answer(event: Any, context: Any) -> Proxied:
    return answer(event, context, method="POST", handle=_configure, away=_AWAY)


def _configure(request: ApiRequest, stop: threading.Event) -> ApiReply:
    if request.parameters:
        raise BadRequest(f"This request takes no parameters, but has: {', '.join(sorted(request.parameters))}.")
    namespace = Namespace.named(collection().namespace)
    enable = _asked(request.body)
    turning = _Turning(namespace, on=enable)
    time = ask(source(), stop, turning)
    found = turning.found_at_first
    said: dict[str, Any] = {
        "database": namespace.db,
        "collection": namespace.coll,
        "found": {"collection": found.collection, "change_stream": found.change_stream},
        "did": turning.did(),
    }
    if enable:
        said["enabled_at"] = seconds_of(time)
    if not found.switched:
        said["note"] = "This source is not DocumentDB: change streams are always on and cannot be turned off."
    return ApiReply(200, orjson.dumps(said))


def _asked(body: bytes) -> bool:
    parsed = parsed_json(body) if body.strip() else {}
    if not isinstance(parsed, dict):
        raise BadRequest('The body must be empty, {"enable": true} or {"enable": false}.')
    if unknown := sorted(set(parsed) - {"enable"}):
        raise BadRequest(f"Unknown: {', '.join(unknown)}; the body may only contain `enable`.")
    enable = parsed.get("enable", True)
    if not isinstance(enable, bool):
        raise BadRequest("`enable` must be true or false.")
    return enable


def _deploy(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Turn the change stream on at create and update. Raises PenstockError, which fails the deployment."""
    if event["RequestType"] == "Delete":
        # The change stream stays on: another reader may use it, and the collection's data outlives a stack's update.
        return {"PhysicalResourceId": event["PhysicalResourceId"]}
    asked = event["ResourceProperties"]
    namespace = Namespace(asked["Database"], asked["Collection"])
    settings()
    try:
        turning = _Turning(namespace, on=True)
        time = in_time(context, lambda stop: ask(source(), stop, turning), at_most_s=_DEPLOYMENT_AT_MOST_S)
    except Stopped as error:
        raise SourceUnavailable(
            f"The cluster did not answer in time, so it is unknown whether the change stream of {namespace} is on.",
            "Check that an instance of the cluster runs and that the function's network reaches it, then deploy again.",
        ) from error
    return {"PhysicalResourceId": str(namespace), "Data": {"EnabledAt": seconds_of(time)}}


class _Turning:
    """Turns the change stream of a collection on or off; may be called again after a lost connection.

    Without a collection's name it is that of all collections of the database, now and later.
    """

    def __init__(self, namespace: Namespace, *, on: bool) -> None:
        self._namespace = namespace
        self._on = on
        self._looks: list[FoundStream] = []

    def __call__(self, client: SourceClient) -> int:
        """Do what is left to do, then return the cluster's time (a version)."""
        found = _look(client, self._namespace)
        self._looks.append(found)
        if self._on and not found.collection:
            _create(client, self._namespace)
        if found.switched and found.change_stream is not self._on:
            _modify(client, self._namespace, enable=self._on)
        return _time(client)

    @property
    def found_at_first(self) -> FoundStream:
        """Its state before anything was done."""
        return self._looks[0]

    def did(self) -> list[str]:
        """What has been done, in all attempts."""
        found, did = self.found_at_first, []
        if self._on and not found.collection:
            did.append("created the collection")
        if found.switched and found.change_stream is not self._on:
            did.append("enabled the change stream" if self._on else "disabled the change stream")
        return did


def _time(client: SourceClient) -> int:
    """Return the cluster's time. A stream that starts at its whole second misses nothing that came later."""
    time = cluster_time(client)
    if not time:
        raise SourceUnavailable(
            "The source reports no cluster time, so there is no position to start reading from.",
            "Use a replica set: a standalone MongoDB server has no change streams.",
        )
    return time


def _look(client: SourceClient, namespace: Namespace) -> FoundStream:
    there = not namespace.coll or exists(client, namespace)
    try:
        entries = list(client.admin.aggregate([{"$listChangeStreams": 1}]))
    except OperationFailure as error:
        if error.code not in _NO_SUCH_COMMAND:
            raise
        return FoundStream(there, change_stream=True, switched=False)
    scopes = {(entry.get("database"), entry.get("collection")) for entry in entries}
    return FoundStream(there, change_stream=tuple(namespace) in scopes, switched=True)


def _create(client: SourceClient, namespace: Namespace) -> None:
    try:
        client.get_database(namespace.db).create_collection(namespace.coll, check_exists=False)
    except OperationFailure as error:
        if error.code != _NAMESPACE_EXISTS:  # another has just done so
            raise


def _modify(client: SourceClient, namespace: Namespace, *, enable: bool) -> None:
    client.admin.command("modifyChangeStreams", 1, database=namespace.db, collection=namespace.coll, enable=enable)
