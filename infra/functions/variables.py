"""The environment of the functions and the task: values for the names that penstock.lambdas.environment declares."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from infra.configuration import Configuration
from infra.functions.servers import Servers
from penstock.lambdas import environment


def values(configuration: Configuration, servers: Servers) -> Mapping[str, str]:
    """Return a value for every variable that any of them has."""
    return {
        environment.SECRET: servers.documentdb.secret.secret_arn,
        environment.ENDPOINT: servers.documentdb.endpoint,
        environment.CURSORS: "collection",
        environment.RETENTION: str(configuration.change_log_retention_hours * 3600),
        environment.DOMAIN: servers.opensearch.endpoint,
        environment.COLLECTIONS: json.dumps([_collection(configuration)]),
        environment.QUEUE: servers.queue.queue_url,
        environment.TIMEOUT: str(request_timeout_s(configuration)),
        environment.LOG_FORMAT: "json",
    }


def _collection(configuration: Configuration) -> dict[str, Any]:
    """Return its settings. The single node of a demo has no room for a copy: the domain would be yellow."""
    copies = {} if configuration.is_production else {"replicas": 0}
    return {"namespace": configuration.namespace, "index": configuration.index, **copies}


def chosen(names: Iterable[str], among: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a function; a name without a value is an error here, not in the function."""
    return {name: among[name] for name in names}


def request_timeout_s(configuration: Configuration) -> int:
    """Return how long the sync function waits for the domain's response: short enough for several tries in a call."""
    return min(20, configuration.function_timeout_s // 4)
