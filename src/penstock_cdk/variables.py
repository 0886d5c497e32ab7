"""Environments: values for the names that penstock.lambdas.environment declares."""

import json
from collections.abc import Iterable, Mapping

from penstock.lambdas import environment
from penstock.settings.table import SETTINGS_VARIABLE
from penstock_cdk.collections import FILE, Collections
from penstock_cdk.parts import Cluster, Domain


def values(
    cluster: Cluster, domain: Domain | None, collections: Collections, *, retention_hours: int
) -> dict[str, str]:
    """Return the values that functions, task and worker share."""
    return {
        environment.SECRET: cluster.secret.secret_arn,
        environment.ENDPOINT: cluster.endpoint,
        environment.CURSORS: "collection",
        environment.RETENTION: str(retention_hours * 3600),
        **({environment.DOMAIN: domain.endpoint} if domain else {}),
        **_settings(collections),
        environment.LOG_FORMAT: "json",
    }


def _settings(collections: Collections) -> dict[str, str]:
    """A file in the bundle, for a function has 4 KB for all of its variables; one plain collection fits into them."""
    if not collections.inline:
        return {SETTINGS_VARIABLE: FILE}
    tables = [each.model_dump(mode="json", exclude_unset=True) for each in collections.tables]
    return {environment.COLLECTIONS: json.dumps(tables)}


def chosen(names: Iterable[str], among: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a function; a name without a value is an error here, not in the function."""
    of_file = {environment.COLLECTIONS: SETTINGS_VARIABLE} if SETTINGS_VARIABLE in among else {}
    return {name: among[name] for name in (of_file.get(each, each) for each in names)}
