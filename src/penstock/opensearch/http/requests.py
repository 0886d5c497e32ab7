"""Requests outside the bulk path (indexes, state, searches), repeated while the cluster only means "wait"."""

from typing import Any

from penstock.errors import SinkUnavailable
from penstock.opensearch.http.client import Client, Response, Unreachable
from penstock.opensearch.http.error_table import judge_request, lost
from penstock.opensearch.http.waiting import RetryForever, Wait


def ask(
    client: Client, patience: RetryForever, method: str, path: str, body: bytes | dict[str, Any] | None = None
) -> Response:
    """Send a request until the cluster accepts it; return a 4xx to the caller, which knows what it means.

    Only for requests that may be carried out twice. Raises Stopped, SinkUnavailable.
    """
    with patience.attempts() as attempts:
        while True:
            try:
                answer = client.request(method, path, body)
            except Unreachable as error:
                attempts.wait(lost(str(error), unclear=error.unclear))
                continue
            if answer.ok or answer.status in (404, 409):
                return answer
            verdict = judge_request(answer, f"{method} {path}")
            if isinstance(verdict, Wait):
                attempts.wait(verdict)
            elif answer.status == 400:
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


def require_server(client: Client) -> str:
    """Return the version of the OpenSearch at the address. Raises SinkUnavailable if there is none.

    The version is empty for OpenSearch Serverless, which does not report it.
    """
    try:
        answer = client.request("GET", "/")
    except Unreachable as error:
        raise SinkUnavailable(
            f"No response from OpenSearch at {client.url}: {error}. Start it, or correct [sink] url."
        ) from error
    if answer.status == 404 and client.is_serverless:
        return ""
    parsed = answer.json()
    version = parsed.get("version") if isinstance(parsed, dict) else None
    if answer.ok and isinstance(version, dict):
        return str(version.get("number", ""))
    verdict = judge_request(answer, f"GET {client.url}")
    detail = verdict.detail if isinstance(verdict, Wait) else verdict.reason
    raise SinkUnavailable(f"OpenSearch at {client.url} is not ready ({answer.status}: {detail}). Try again later.")
