"""Calls of the functions' handlers: the events and the context that Lambda hands to them, and their settings."""

import json
from contextlib import contextmanager
from typing import Any

import pytest

from penstock.lambdas import clients

PATH = "/demo-data"


class Context:
    """As much of Lambda's context as the handlers use."""

    aws_request_id = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
    function_name = "change-streams-demo-test"

    def __init__(self, seconds: float = 30) -> None:
        self._seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(self._seconds * 1000)


def proxy_event(method: str, body: str | None = None, parameters: dict[str, str] | None = None, **more: Any) -> dict:
    """An event of an API Gateway REST API, format 1.0; maps are null where there is nothing."""
    return {
        "resource": PATH,
        "path": PATH,
        "httpMethod": method,
        "headers": None,
        "multiValueHeaders": None,
        "queryStringParameters": parameters,
        "multiValueQueryStringParameters": parameters and {name: [value] for name, value in parameters.items()},
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {"stage": "prod", "path": f"/prod{PATH}", "httpMethod": method},
        "body": body,
        "isBase64Encoded": False,
        **more,
    }


def parsed(answer: dict) -> tuple[int, Any]:
    """The status and the parsed body of an answer, whose form is API Gateway's."""
    assert set(answer) == {"statusCode", "headers", "body", "isBase64Encoded"}
    assert answer["isBase64Encoded"] is False
    assert answer["headers"]["content-type"] == "application/json"
    json.dumps(answer)
    return answer["statusCode"], json.loads(answer["body"])


@contextmanager
def function_settings(
    monkeypatch: pytest.MonkeyPatch, namespace: str, *, index: str = "unused", source: str = "", sink: str = ""
):
    """The environment of a function; what it keeps between invocations is forgotten before and after."""
    declared = [{"namespace": namespace, "index": index}]
    monkeypatch.setenv("PENSTOCK_COLLECTIONS", json.dumps(declared))
    for name, value in (("PENSTOCK_SOURCE_URI", source), ("PENSTOCK_SINK_URL", sink)):
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)
    forget()
    try:
        yield
        if source:
            clients.source().close()
        if sink:
            clients.sink().close()
    finally:
        forget()


def forget() -> None:
    """Forget the settings and the connections, as a new execution environment does."""
    for kept in (clients.settings, clients.source, clients.sink):
        kept.cache_clear()
