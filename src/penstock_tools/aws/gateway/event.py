"""The event with which API Gateway passes an HTTP request to a function: the REST proxy event, format 1.0.

The keys are those of events captured on AWS. Empty maps are null, a repeated header or parameter has its last value in
the simple map and all of them in the other, and headers that only concern the connection are left out.
"""

import base64
import json
import secrets
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

ACCOUNT = "123456789012"

_OF_THE_CONNECTION = {"connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding"}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request as received; `path` is without the stage, the body is complete."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes
    source_ip: str
    protocol: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(frozen=True, slots=True)
class Api:
    """What every event says about the API."""

    stage: str
    port: int
    api_key: str | None
    api_id: str = "local"


def proxy_event(api: Api, request: HttpRequest) -> bytes:
    """Return the payload of the function's call."""
    headers = _forwarded(api, request)
    query = parse_qsl(request.query, keep_blank_values=True)
    body, is_base64 = _body(request.body)
    event = {
        "resource": request.path,
        "path": request.path,
        "httpMethod": request.method,
        "headers": dict(headers) or None,
        "multiValueHeaders": _all_values(headers),
        "queryStringParameters": dict(query) or None,
        "multiValueQueryStringParameters": _all_values(query),
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": _context(api, request, dict(headers)),
        "body": body,
        "isBase64Encoded": is_base64,
    }
    return json.dumps(event, ensure_ascii=False).encode(errors="replace")


def _forwarded(api: Api, request: HttpRequest) -> list[tuple[str, str]]:
    kept = [(name, value) for name, value in request.headers if name.lower() not in _OF_THE_CONNECTION]
    return [
        *kept,
        ("X-Amzn-Trace-Id", f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)}"),
        ("X-Forwarded-For", request.source_ip),
        ("X-Forwarded-Port", str(api.port)),
        ("X-Forwarded-Proto", "http"),
    ]


def _all_values(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]] | None:
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values or None


def _body(body: bytes) -> tuple[str | None, bool]:
    try:
        return body.decode() or None, False
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), True


def _context(api: Api, request: HttpRequest, headers: dict[str, str]) -> dict[str, Any]:
    now = datetime.now(UTC)
    folded = {name.lower(): value for name, value in headers.items()}
    domain = folded.get("host", "localhost")
    return {
        "resourceId": "local",
        "resourcePath": request.path,
        "httpMethod": request.method,
        "extendedRequestId": secrets.token_urlsafe(11) + "=",
        "requestTime": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "path": f"/{api.stage}{request.path}",
        "accountId": ACCOUNT,
        "protocol": request.protocol,
        "stage": api.stage,
        "domainPrefix": domain.split(".")[0],
        "requestTimeEpoch": int(now.timestamp() * 1000),
        "requestId": request.id,
        "identity": _identity(api, request, folded.get("user-agent")),
        "domainName": domain,
        "apiId": api.api_id,
    }


def _identity(api: Api, request: HttpRequest, user_agent: str | None) -> dict[str, str | None]:
    identity: dict[str, str | None] = {
        "cognitoIdentityPoolId": None,
        "accountId": None,
        "cognitoIdentityId": None,
        "caller": None,
        "sourceIp": request.source_ip,
        "principalOrgId": None,
        "accessKey": None,
        "cognitoAuthenticationType": None,
        "cognitoAuthenticationProvider": None,
        "userArn": None,
        "userAgent": user_agent,
        "user": None,
    }
    if api.api_key is not None:
        identity |= {"apiKey": api.api_key, "apiKeyId": "local"}
    return identity
