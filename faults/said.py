"""Responses that something between the worker and OpenSearch gives in its place."""

from testkit.sink_access import Asked, Said

OVERLOADED = Said(
    429, b'{"error":{"type":"circuit_breaking_exception","reason":"[parent] Data too large"},"status":429}'
)
AWAY = Said(503, b"<html>upstream is away</html>")
TOO_LARGE = Said(413, b'{"Message":"Request size exceeded 10485760 bytes"}')


def is_bulk(asked: Asked) -> bool:
    """Whether it writes documents, not penstock's own state."""
    return "/_bulk" in asked.path and "penstock-" not in asked.path
