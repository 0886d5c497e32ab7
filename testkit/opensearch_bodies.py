"""Provokes OpenSearch's refusals and writes down what it answers: `python testkit/opensearch_bodies.py`.

It starts a server of its own, since it changes settings of the whole cluster, and writes opensearch_bodies.json, which
the tests of the error table read.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import urllib3

RECORDED = Path(__file__).with_name("opensearch_bodies.json")

FIELDS = {
    "a_long": {"type": "long"},
    "an_integer": {"type": "integer"},
    "a_double": {"type": "double"},
    "a_boolean": {"type": "boolean"},
    "a_date": {"type": "date"},
    "a_date_in_days": {"type": "date", "format": "yyyy-MM-dd"},
    "an_ip": {"type": "ip"},
    "a_geo_point": {"type": "geo_point"},
    "a_geo_shape": {"type": "geo_shape"},
    "a_range": {"type": "integer_range"},
    "a_date_range": {"type": "date_range"},
    "a_binary": {"type": "binary"},
    "a_completion": {"type": "completion"},
    "a_keyword": {"type": "keyword"},
    "a_token_count": {"type": "token_count", "analyzer": "standard"},
    "an_object": {"type": "object"},
    "a_nested": {"type": "nested"},
    "a_closed_object": {"type": "object", "dynamic": "strict"},
}


class Server:
    """A few words to talk to OpenSearch with."""

    def __init__(self, url: str, prefix: str) -> None:
        self._http = urllib3.PoolManager()
        self._url = url
        self.prefix = prefix

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        if isinstance(body, list):
            body = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in body)
        elif body is not None:
            body = json.dumps(body)
        headers = {"content-type": "application/json"}
        answer = self._http.request(method, self._url + path, body=body, headers=headers, retries=False)
        return answer.status, json.loads(answer.data) if answer.data else None

    def index(self, name: str, body: dict[str, Any] | None = None) -> str:
        """Make an index with a write alias; answers the alias."""
        made = {"settings": {"number_of_replicas": 0}, **(body or {}), "aliases": {f"{self.prefix}{name}-write": {}}}
        status, answer = self.ask("PUT", f"/{self.prefix}{name}", made)
        assert status == 200, answer
        return f"{self.prefix}{name}-write"

    def settings(self, name: str, settings: dict[str, Any]) -> None:
        assert self.ask("PUT", f"/{self.prefix}{name}/_settings", settings)[0] == 200

    def bulk(self, alias: str, *lines: Any, more: str = "") -> tuple[int, Any]:
        return self.ask("POST", f"/{alias}/_bulk{more}", list(lines))

    def item(self, alias: str, *lines: Any, more: str = "") -> dict[str, Any]:
        """The status and the error of the first item."""
        status, answer = self.bulk(alias, *lines, more=more)
        assert status == 200, answer
        item = next(iter(answer["items"][0].values()))
        return {key: item[key] for key in ("status", "error") if key in item}


def action(kind: str = "index", text_id: str = "1", version: int = 10) -> dict[str, Any]:
    told = {"_id": text_id, "version": version, "version_type": "external_gte", "require_alias": True}
    return {kind: told}


def provoke_outcomes(server: Server) -> dict[str, Any]:
    alias = server.index("outcomes")
    return {
        "created": server.item(alias, action(), {}),
        "updated": server.item(alias, action(), {}),
        "older": server.item(alias, action(version=9), {}),
        "older delete": server.item(alias, action("delete", version=9)),
        "deleted": server.item(alias, action("delete", version=11)),
        "deleted what is absent": server.item(alias, action("delete", "2")),
    }


def provoke_waits(server: Server) -> dict[str, Any]:
    alias = server.index("waits")
    found = {}
    for block in ("read_only", "read_only_allow_delete", "write"):
        server.settings("waits", {f"index.blocks.{block}": True})
        found[f"block {block}"] = server.item(alias, action(), {})
        server.settings("waits", {f"index.blocks.{block}": None})
    server.ask("POST", f"/{server.prefix}waits/_close")
    found["closed"] = server.item(alias, action(), {})
    nowhere = {"index.routing.allocation.require._name": "nowhere", "index.number_of_replicas": 0}
    server.ask("PUT", f"/{server.prefix}away?wait_for_active_shards=0", {"settings": nowhere})
    server.ask("POST", "/_aliases", {"actions": [{"add": {"index": f"{server.prefix}away", "alias": "away-write"}}]})
    found["no primary"] = server.item("away-write", action(), {}, more="?timeout=10ms")
    return found


def provoke_taken_away(server: Server) -> dict[str, Any]:
    server.index("one")
    server.index("two")
    add = [{"add": {"index": f"{server.prefix}{name}", "alias": f"{server.prefix}both"}} for name in ("one", "two")]
    server.ask("POST", "/_aliases", {"actions": add})
    return {
        "missing alias": server.item(f"{server.prefix}nothing", action(), {}),
        "an index, not an alias": server.item(f"{server.prefix}one", action(), {}),
        "no write index": server.item(f"{server.prefix}both", action(), {}),
    }


VALUES: dict[str, Any] = {
    "a_long": "S",
    "an_integer": "S",
    "a_double": "S",
    "a_boolean": "S",
    "a_date": "S",
    "a_date_in_days": "S",
    "an_ip": "S",
    "a_geo_point": "S,S",
    "a_geo_shape": "S",
    "a_range": {"gte": "S"},
    "a_date_range": {"gte": "S"},
    "a_binary": {"S": "S"},
    "a_completion": {"input": [{"S": "S"}]},
    "a_keyword": "S" + "x" * 40_000,
    "a_token_count": {"S": "S"},
    "an_object": "S",
    "a_nested": "S",
    "a_closed_object": {"field": "S"},
}


def provoke_wrong_values(server: Server, secret: str) -> dict[str, Any]:
    """A value that does not fit, for each type of field; `secret` is in each of the values."""
    alias = server.index("wrong", {"mappings": {"properties": FIELDS}})
    filled = json.loads(json.dumps(VALUES).replace("S", json.dumps(secret)[1:-1]))
    return {f"{name}: a wrong value": server.item(alias, action(), {name: value}) for name, value in filled.items()}


def provoke_refusals(server: Server) -> dict[str, Any]:
    small = {"index.mapping.total_fields.limit": 2, "index.mapping.depth.limit": 3, "number_of_replicas": 0}
    alias = server.index("refusals", {"settings": small})
    strict = server.index("strict", {"mappings": {"dynamic": "strict"}})
    return {
        "too many fields": server.item(alias, action(), {"a": 1, "b": 1, "c": 1}),
        "too deep": server.item(alias, action(), {"a": {"b": {"c": {"d": 1}}}}),
        "unknown field": server.item(strict, action(), {"field": 1}),
        "empty field name": server.item(alias, action(), {"": 1}),
        "dotted field name": server.item(alias, action(), {"a..b": 1}),
        "metadata field": server.item(alias, action(), {"_id": "1"}),
        "cut JSON": server.item(alias, action(), '{"a":'),
        "no JSON": server.item(alias, action(), "secret"),
        "a list": server.item(alias, action(), "[1]"),
        "a field twice": server.item(alias, action(), '{"a":1,"a":2}'),
        "an empty id": server.item(alias, action(text_id=""), {}),
    }


def provoke_requests(server: Server) -> dict[str, Any]:
    alias = server.index("requests")
    found = {
        "id of 513 bytes": server.bulk(alias, action(text_id="1" * 513), {}),
        "negative version": server.bulk(alias, action(version=-1), {}),
        "no action line": server.bulk(alias, {"a": 1}),
        "unknown path": server.ask("POST", f"/{alias}/_bulb", {}),
        "wrong method": server.ask("DELETE", "/_bulk"),
    }
    return {name: {"status": status, "body": body} for name, (status, body) in found.items()}


def provoke_cluster(server: Server) -> dict[str, Any]:
    """What takes settings of the whole cluster, and so a server of one's own."""
    alias = server.index("cluster")
    found = {}
    causes = {
        "cluster read-only": ("cluster.blocks.read_only", True),
        "circuit breaker": ("network.breaker.inflight_requests.limit", "3kb"),
    }
    for name, (setting, value) in causes.items():
        server.ask("PUT", "/_cluster/settings", {"transient": {setting: value}})
        status, body = server.bulk(alias, action(), {"a": "x" * 4096})
        server.ask("PUT", "/_cluster/settings", {"transient": {setting: None}})
        found[name] = {"status": status, "body": body}
    return found


def record() -> None:
    from penstock_tools.servers.opensearch import local_opensearch

    with tempfile.TemporaryDirectory() as folder, local_opensearch(Path(folder)) as running:
        server = Server(running.url, "index-")
        version = server.ask("GET", "/")[1]["version"]["number"]
        recorded = {
            "recorded from": f"OpenSearch {version}",
            "items": {
                **provoke_outcomes(server),
                **provoke_waits(server),
                **provoke_taken_away(server),
                **provoke_wrong_values(server, "secret"),
                **provoke_refusals(server),
            },
            "requests": {**provoke_requests(server), **provoke_cluster(server)},
        }
    RECORDED.write_text(json.dumps(recorded, indent=1) + "\n")


if __name__ == "__main__":
    record()
