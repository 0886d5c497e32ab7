"""Requests outside the bulk path (indexes, state, searches), repeated while the cluster only means "wait"."""

from typing import Any

from penstock.errors import SinkUnavailable
from penstock.opensearch.http.client import Client, Response, Unreachable
from penstock.opensearch.http.error_table import judge_request, lost
from penstock.opensearch.http.waiting import RetryForever, Wait


def ask(
    client: Client,
    patience: RetryForever,
    method: str,
    path: str,
    body: bytes | dict[str, Any] | None = None,
    *,
    most_bytes: int | None = None,
) -> Response:
    """Send a request until the cluster accepts it; return what it refuses to the caller, which knows what it means.

    Only for requests that may be carried out twice. Raises Stopped, SinkUnavailable, ResponseTooLarge.
    """
    with patience.attempts() as attempts:
        while True:
            try:
                answer = client.request(method, path, body, most_bytes=most_bytes)
            except Unreachable as error:
                attempts.wait(lost(str(error), unclear=error.unclear))
                continue
            if answer.ok or answer.status in (404, 409):
                return answer
            verdict = judge_request(answer, f"{method} {path}")
            if isinstance(verdict, Wait):
                attempts.wait(verdict)
            elif answer.status == 400 or answer.status >= 500:
                return answer
            else:
                raise SinkUnavailable(f"{method} {path} was refused ({verdict.status}: {verdict.reason}).")


def error_of(answer: Response) -> tuple[str, str]:
    """Return the type and the reason of a refused request, empty if there is none."""
    parsed = answer.json()
    error = parsed.get("error") if isinstance(parsed, dict) else None
    if not isinstance(error, dict):
        return "", str(error or "")
    reason = str(error.get("reason", ""))
    cause = error.get("caused_by")
    if isinstance(cause, dict) and cause.get("reason"):
        reason = f"{reason}: {cause['reason']}"
    return str(error.get("type", "")), reason


_MAJORS = ("2", "3")

_OF_COMPATIBILITY = "7.10.2"
"""What OpenSearch says with `compatibility.override_main_response_version`, whatever it is."""


def require_server(client: Client) -> str:
    """Return the version of the OpenSearch at the address. Raises SinkUnavailable if there is none that is supported.

    The version is empty for OpenSearch Serverless, which does not report it.
    """
    try:
        answer = client.request("GET", "/")
    except Unreachable as error:
        raise SinkUnavailable(f"No response from OpenSearch at {client.url}: {error}.", error.todo) from error
    if answer.status == 404 and client.is_serverless:
        return ""
    parsed = answer.json()
    version = parsed.get("version") if isinstance(parsed, dict) else None
    if answer.ok and isinstance(version, dict):
        return _supported(version, client.url)
    verdict = judge_request(answer, f"GET {client.url}")
    if isinstance(verdict, Wait):
        raise SinkUnavailable(
            f"OpenSearch at {client.url} is not ready ({answer.status}: {verdict.detail}).", "Try again later."
        )
    raise SinkUnavailable(
        f"{client.url} does not answer like OpenSearch ({answer.status}: {verdict.reason}).",
        "If the server requires TLS, use https:// in [sink] url; else correct the address.",
    )


def _supported(version: dict[str, Any], url: str) -> str:
    number, product = str(version.get("number", "")), version.get("distribution", "elasticsearch")
    is_supported = number.partition(".")[0] in _MAJORS or number == _OF_COMPATIBILITY
    if product != "opensearch" or not is_supported:
        name = "OpenSearch" if product == "opensearch" else str(product).capitalize()
        raise SinkUnavailable(f"{name} {number} at {url} is not supported.", "Use OpenSearch 2 or 3.")
    return number
