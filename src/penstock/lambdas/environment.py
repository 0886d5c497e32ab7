"""The functions and their environment variables: the one list that the stack, the local platform and the tests read.

Every variable is a setting of penstock (docs/settings.md); the setting is given next to the sample's three names.
"""

from typing import Final, Literal

from penstock.settings.table import SETTINGS_VARIABLE

FunctionName = Literal["writer", "reader", "config", "sync"]

APPLICATION: Final = "change-streams-demo"
"""The prefix of the names of the deployment's parts, as in the sample."""

HANDLERS: Final[dict[FunctionName, str]] = {
    "writer": "penstock.lambdas.writer.handler",
    "reader": "penstock.lambdas.reader.handler",
    "config": "penstock.lambdas.config.handler",
    "sync": "penstock.lambdas.sync.handler",
}


REACT: Final = "penstock.lambdas.react.handler"
"""The handler of the functions of reactions: one for each reaction."""


def function_name(name: str) -> str:
    """Return `change-streams-demo-sync` for `sync`."""
    return f"{APPLICATION}-{name}"


SECRET: Final = "DOCUMENT_DB_SECRET"  # noqa: S105 (a name, not a password)
"""The ARN of the secret with `username` and `password` ([source] secret)."""

ENDPOINT: Final = "DOCUMENT_DB_ENDPOINT"
"""The cluster's endpoint, `host` or `host:port` ([source] uri)."""

DOMAIN: Final = "OPEN_SEARCH_DOMAIN_ENDPOINT"
"""The domain's endpoint, `host` or `host:port` ([sink] url)."""

COLLECTIONS: Final = "PENSTOCK_COLLECTIONS"
"""The collection and its index, as JSON: [{"namespace": "database.collection", "index": "name"}]."""

QUEUE: Final = "PENSTOCK_PIPELINE_PARKING_QUEUE"
"""The URL of the SQS queue that parked keys go to ([pipeline] parking_queue)."""

TIMEOUT: Final = "PENSTOCK_SINK_TIMEOUT_S"
"""How long one request to the domain may take ([sink] timeout_s)."""

LOG_FORMAT: Final = "PENSTOCK_OBSERVE_LOG_FORMAT"
"""`json` ([observe] log_format)."""

CURSORS: Final = "PENSTOCK_SOURCE_CURSOR_PER"
"""`collection`, since only the collection's change stream is enabled ([source] cursor_per)."""

RETENTION: Final = "PENSTOCK_SOURCE_RETENTION_S"
"""How long the cluster keeps its change log ([source] retention_s)."""

LISTEN: Final = "PENSTOCK_OBSERVE_LISTEN"
"""Where the worker serves /healthz and /metrics ([observe] listen)."""

WORKER_PORT: Final = 9400
"""The port that the image exposes."""

WORKER_METRICS: Final = "PENSTOCK_OBSERVE_EMBEDDED_METRICS"
"""The name under which the worker writes its metrics ([observe] embedded_metrics)."""

SETTINGS_FOLDER: Final = "/etc/penstock"
"""The current folder of the image, where it finds penstock.toml and the files that it names."""

VARIABLES: Final[dict[FunctionName, tuple[str, ...]]] = {
    "writer": (SECRET, ENDPOINT, COLLECTIONS, LOG_FORMAT),
    "reader": (DOMAIN, COLLECTIONS, LOG_FORMAT),
    "config": (SECRET, ENDPOINT, COLLECTIONS, LOG_FORMAT),
    "sync": (SECRET, ENDPOINT, DOMAIN, COLLECTIONS, QUEUE, TIMEOUT, LOG_FORMAT),
}
"""Exactly the variables that the stack sets on each function."""

REACTION_SECRET: Final = "REACTION_SECRET"  # noqa: S105 (a name, not a secret)
"""The ARN of the secret that a webhook is signed with: its whole text."""

REACT_VARIABLES: Final = (DOMAIN, SETTINGS_VARIABLE, TIMEOUT, LOG_FORMAT)
"""The variables of a reaction's function; that of a webhook has REACTION_SECRET too. Its settings file has the one
[[reactions]] table."""

OPERATIONS_VARIABLES: Final = (SECRET, ENDPOINT, CURSORS, RETENTION, DOMAIN, COLLECTIONS, QUEUE, LOG_FORMAT)
"""The variables that the stack sets on the task that runs `penstock` commands."""

WORKER_VARIABLES: Final = (
    SECRET,
    ENDPOINT,
    CURSORS,
    RETENTION,
    DOMAIN,
    COLLECTIONS,
    LOG_FORMAT,
    LISTEN,
    WORKER_METRICS,
)
"""The variables that the stack sets on the tasks that run `penstock run`."""
