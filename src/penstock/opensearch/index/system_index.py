"""penstock's own small indexes (state, dead letters), each behind an alias so that writes can require it.

They are hidden: a search over all indexes does not see them, and an index template for all names does not apply.
"""

from typing import Any

from penstock.errors import SettingsError
from penstock.opensearch.http.client import Client
from penstock.opensearch.http.requests import ask, error_of
from penstock.opensearch.http.waiting import RetryForever
from penstock.opensearch.index.mapping import explicit, pipelines_in
from penstock.opensearch.index.templates import templates_for

_SETTINGS = {
    "index.number_of_shards": 1,
    "index.auto_expand_replicas": "0-1",
    "index.translog.durability": "request",
    "index.hidden": True,
}


def ensure_system_index(client: Client, patience: RetryForever, alias: str, body: dict[str, Any]) -> None:
    """Create the index `<alias>-v1` behind the alias, unless it exists; no ingest pipeline changes what it holds.

    Raises SettingsError.
    """
    index = f"{alias}-v1"
    whole = {**explicit({**body, "settings": _SETTINGS}), "aliases": {alias: {"is_hidden": True}}}
    answer = ask(client, patience, "PUT", f"/{index}", whole)
    if answer.ok:
        return
    kind, reason = error_of(answer)
    if kind != "resource_already_exists_exception":
        applied = templates_for(client, index)
        raise SettingsError(
            f"OpenSearch refused to create penstock's own index {index}: {kind}: {reason}.{applied.hint(index)}"
        )
    _leave_pipelines(client, patience, index)


def _leave_pipelines(client: Client, patience: RetryForever, index: str) -> None:
    """Take off the ingest pipelines that a template gave to an index of an earlier version."""
    described = ask(client, patience, "GET", f"/{index}/_settings?flat_settings=true").json()
    settings = described.get(index, {}).get("settings", {}) if isinstance(described, dict) else {}
    if found := pipelines_in(settings):
        ask(client, patience, "PUT", f"/{index}/_settings", dict.fromkeys(found, "_none"))
