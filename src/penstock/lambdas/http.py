"""Reads API Gateway's requests (REST proxy, format 1.0) and makes its responses; only here, errors become responses.

    what a handler raises                            the response
    BadRequest                                       400, or its own status, with the reason
    Stopped, or a SourceUnavailable without an       503: the server is unavailable; the caller may try again
      answer of the cluster (its secret)
    any other PenstockError                          500: settings or permissions must change; the log says which

The response to an error never quotes internal details, which go to the log. Anything else that is raised is a defect:
Lambda counts it, logs its traceback, and API Gateway answers 502.
"""

import threading
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import orjson
import structlog
from pymongo.errors import PyMongoError

from penstock.errors import PenstockError, SettingsError, SourceUnavailable, Stopped
from penstock.lambdas.clients import settings
from penstock.lambdas.deadline import in_time

log = structlog.get_logger(__name__)

AT_MOST_S: Final = 24.0
"""API Gateway waits 29 s, including a cold start."""

_REFUSED = "A setting or permission of this deployment is wrong; the function's log says which."


class BadRequest(Exception):
    """The request cannot be carried out as it is; the message is the response."""

    def __init__(self, reason: str, status: int = 400) -> None:
        self.status = status
        super().__init__(reason)


class ApiRequest(NamedTuple):
    """A request. `path` is the caller's, with the stage; parameters are decoded, and each was given once."""

    path: str
    parameters: Mapping[str, str]
    body: bytes


class ApiReply(NamedTuple):
    """A response; `body` is JSON."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


Proxied: TypeAlias = dict[str, Any]
"""A response in API Gateway's format."""


def answer(
    event: Any,
    context: Any,
    *,
    method: str,
    handle: Callable[[ApiRequest, threading.Event], ApiReply],
    away: str,
) -> Proxied:
    """Handle a request with `handle`, which ends soon after its event is set.

    `away` is the message if a server is unavailable.
    """
    with structlog.contextvars.bound_contextvars(request_id=context.aws_request_id):
        try:
            request = read(event, method)
            settings()
            return _proxied(in_time(context, lambda stop: handle(request, stop), at_most_s=AT_MOST_S))
        except BadRequest as error:
            return _message(error.status, str(error))
        except PenstockError as error:
            return _failure(error, away)


def read(event: Any, method: str) -> ApiRequest:
    """Read a proxy event. Raises BadRequest."""
    if not isinstance(event, dict) or not isinstance(event.get("httpMethod"), str):
        raise BadRequest(
            "This function handles proxy requests of an API Gateway REST API (format 1.0); the event has no httpMethod."
        )
    if event["httpMethod"] != method:
        raise BadRequest(f"{event['httpMethod']} is not allowed here; use {method}.", status=405)
    path = str((event.get("requestContext") or {}).get("path") or event.get("path") or "/")
    return ApiRequest(path, _parameters(event), _body(event))


def message(text: str) -> bytes:
    """Return the JSON of a response that is one sentence."""
    return orjson.dumps({"message": text})


def _parameters(event: Mapping[str, Any]) -> dict[str, str]:
    several = event.get("multiValueQueryStringParameters") or {}
    if twice := sorted(name for name, values in several.items() if len(values) > 1):
        raise BadRequest(f"Given more than once: {', '.join(twice)}.")
    return {**(event.get("queryStringParameters") or {}), **{name: values[0] for name, values in several.items()}}


def _body(event: Mapping[str, Any]) -> bytes:
    text = event.get("body") or ""
    try:
        return b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode()
    except ValueError:  # of base64, or a half of a character
        raise BadRequest("The body cannot be decoded.") from None


def _failure(error: PenstockError, away: str) -> Proxied:
    if isinstance(error, Stopped) or (
        isinstance(error, SourceUnavailable) and not isinstance(error.__cause__, PyMongoError)
    ):
        log.warning("a server is unavailable", reason=str(error))
        return _message(503, away, {"retry-after": "5"})
    problem = "the settings cannot be used" if isinstance(error, SettingsError) else "the request was refused"
    log.error(problem, reason=str(error))
    return _message(500, _REFUSED)


def _message(status: int, text: str, headers: Mapping[str, str] | None = None) -> Proxied:
    return _proxied(ApiReply(status, message(text), headers or {}))


def _proxied(reply: ApiReply) -> Proxied:
    return {
        "statusCode": reply.status,
        "headers": {"content-type": "application/json", **reply.headers},
        "body": reply.body.decode(),
        "isBase64Encoded": False,
    }
