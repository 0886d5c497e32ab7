"""What answers at the address: asked once at the start, where nothing is waited for."""

from penstock.errors import SinkUnavailable
from penstock.opensearch.client import Client, Unreachable
from penstock.opensearch.error_table import judge_request
from penstock.opensearch.waiting import Wait


def require_server(client: Client) -> str:
    """Answer the version of the OpenSearch at the address; raises SinkUnavailable when there is none.

    OpenSearch Serverless does not tell its version: the answer is empty then.
    """
    try:
        answer = client.request("GET", "/")
    except Unreachable as error:
        raise SinkUnavailable(
            f"No answer from OpenSearch at {client.url}: {error}. Start it, or correct [sink] url."
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
