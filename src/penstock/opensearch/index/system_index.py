"""penstock's own small indexes (state, dead letters), each behind an alias so that writes can require it."""

from typing import Any

from penstock.errors import SettingsError
from penstock.opensearch.http.client import Client
from penstock.opensearch.http.requests import ask, error_of
from penstock.opensearch.http.waiting import RetryForever

_SETTINGS = {
    "index.number_of_shards": 1,
    "index.auto_expand_replicas": "0-1",
    "index.translog.durability": "request",
}


def ensure_system_index(client: Client, patience: RetryForever, alias: str, body: dict[str, Any]) -> None:
    """Create the index `<alias>-v1` behind the alias, unless it exists. Raises SettingsError."""
    whole = {**body, "settings": {**_SETTINGS, **body.get("settings", {})}, "aliases": {alias: {}}}
    answer = ask(client, patience, "PUT", f"/{alias}-v1", whole)
    if answer.ok:
        return
    kind, reason = error_of(answer)
    if kind != "resource_already_exists_exception":
        raise SettingsError(f"OpenSearch refused to create penstock's own index {alias}-v1: {kind}: {reason}.")
