"""Environment variables by which AWS deployments give some settings."""

from collections.abc import Callable
from typing import Final, NamedTuple


class Alias(NamedTuple):
    """A variable and the setting it gives a value to; `made` turns the variable's value into the setting's."""

    variable: str
    section: str
    name: str
    made: Callable[[str], str] = str


def cluster_uri(endpoint: str) -> str:
    """Return the connection string of a DocumentDB cluster for its endpoint, `host` or `host:port`."""
    return f"mongodb://{_with_port(endpoint, 27017)}/?replicaSet=rs0&tls=true"


def domain_url(endpoint: str) -> str:
    """Return the address of an OpenSearch domain for its endpoint, `host` or `host:port`."""
    return f"https://{endpoint}"


def _with_port(endpoint: str, port: int) -> str:
    return endpoint if ":" in endpoint else f"{endpoint}:{port}"


ALIASES: Final = (
    Alias("DOCUMENT_DB_ENDPOINT", "source", "uri", cluster_uri),
    Alias("DOCUMENT_DB_SECRET", "source", "secret"),
    Alias("OPEN_SEARCH_DOMAIN_ENDPOINT", "sink", "url", domain_url),
)

SIGNED_BY: Final = "OPEN_SEARCH_DOMAIN_ENDPOINT"
"""A domain named by this variable takes signed requests, unless `auth` is set."""
