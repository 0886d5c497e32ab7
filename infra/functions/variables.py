"""The environment of the functions and the task: values for the names that penstock.lambdas.environment declares."""

import json
from collections.abc import Iterable, Mapping

from infra.collections import FILE
from infra.configuration import Configuration
from infra.functions.servers import Servers
from penstock.lambdas import environment
from penstock.settings.table import SETTINGS_VARIABLE


def values(configuration: Configuration, servers: Servers) -> Mapping[str, str]:
    """Return a value for every variable that any of them has."""
    return {
        environment.SECRET: servers.documentdb.secret.secret_arn,
        environment.ENDPOINT: servers.documentdb.endpoint,
        environment.CURSORS: "collection",
        environment.RETENTION: str(configuration.change_log_retention_hours * 3600),
        environment.DOMAIN: servers.opensearch.endpoint,
        **_collections(configuration),
        environment.QUEUE: servers.queue.queue_url,
        environment.TIMEOUT: str(request_timeout_s(configuration)),
        environment.LOG_FORMAT: "json",
    }


def _collections(configuration: Configuration) -> dict[str, str]:
    """The one collection; several have a file in the bundle, for a function has 4 KB for all of its variables."""
    if configuration.collections.tables:
        return {SETTINGS_VARIABLE: FILE}
    tables = [each.model_dump(mode="json", exclude_unset=True) for each in configuration.tables]
    return {environment.COLLECTIONS: json.dumps(tables)}


def chosen(names: Iterable[str], among: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a function; a name without a value is an error here, not in the function."""
    of_file = {environment.COLLECTIONS: SETTINGS_VARIABLE} if SETTINGS_VARIABLE in among else {}
    return {name: among[name] for name in (of_file.get(each, each) for each in names)}


def request_timeout_s(configuration: Configuration) -> int:
    """Return how long the sync function waits for the domain's response: short enough for several tries in a call."""
    return min(20, configuration.function_timeout_s // 4)
