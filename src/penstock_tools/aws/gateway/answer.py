"""How API Gateway turns a function's answer into an HTTP response: 502 if the answer does not have the right form."""

import base64
import binascii
import json
from dataclasses import dataclass, field
from typing import Any

_KEYS = {"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"}
_OURS = {"connection", "content-length", "date", "server", "transfer-encoding"}


class MalformedAnswer(Exception):
    """The function's answer does not have the form that a proxy integration requires; the message says why."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response without what the server itself adds."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""


def message(status: int, text: str, error_type: str | None = None) -> HttpResponse:
    """Return one of API Gateway's own responses."""
    headers = [("Content-Type", "application/json")]
    if error_type is not None:
        headers.append(("x-amzn-ErrorType", error_type))
    return HttpResponse(status, headers, json.dumps({"message": text}).encode())


def http_response(payload: bytes) -> HttpResponse:
    """Turn the answer of a function into a response, or raise MalformedAnswer."""
    try:
        answer = _mapping(json.loads(payload), "the answer")
    except ValueError as error:
        raise MalformedAnswer(f"it is not valid JSON: {error}") from error
    unknown = answer.keys() - _KEYS
    if unknown:
        raise MalformedAnswer(f"it has unknown keys: {', '.join(sorted(unknown))}")
    return HttpResponse(_status(answer.get("statusCode")), _headers(answer), _body(answer))


def _mapping(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedAnswer(f"{name} is not an object")
    return value


def _status(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 100 <= value <= 599:
        raise MalformedAnswer("statusCode is not an HTTP status")
    return value


def _headers(answer: dict[str, Any]) -> list[tuple[str, str]]:
    many = _mapping(answer.get("multiValueHeaders") or {}, "multiValueHeaders")
    if not all(isinstance(values, list) for values in many.values()):
        raise MalformedAnswer("a value of multiValueHeaders is not an array")
    pairs = [(name, value) for name, values in many.items() for value in values]
    one = _mapping(answer.get("headers") or {}, "headers")
    pairs += [pair for pair in one.items() if pair not in pairs]
    headers = [(name, _header_value(name, value)) for name, value in pairs if name.lower() not in _OURS]
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", "application/json"))
    return headers


def _header_value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float) or "\n" in str(value) or "\r" in str(value):
        raise MalformedAnswer(f"the value of the header {name} cannot be sent over HTTP")
    return str(value)


def _body(answer: dict[str, Any]) -> bytes:
    body = answer.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise MalformedAnswer("body is not a string")
    if not answer.get("isBase64Encoded"):
        return body.encode(errors="replace")
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise MalformedAnswer(f"body is not base64: {error}") from error
