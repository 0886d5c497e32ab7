"""What the functions and the task are told: values for the names that penstock.lambdas.environment declares."""

import json
from collections.abc import Iterable, Mapping

from aws_cdk import aws_sqs as sqs

from infra.configuration import Configuration
from infra.documentdb import DocumentDbStack
from infra.opensearch import OpenSearchStack
from penstock.lambdas import environment


def values(
    configuration: Configuration, documentdb: DocumentDbStack, opensearch: OpenSearchStack, queue: sqs.IQueue
) -> Mapping[str, str]:
    """A value for every variable that any of them has."""
    return {
        environment.SECRET: documentdb.secret.secret_arn,
        environment.ENDPOINT: documentdb.endpoint,
        environment.DOMAIN: opensearch.endpoint,
        environment.COLLECTIONS: json.dumps([{"namespace": configuration.namespace, "index": configuration.index}]),
        environment.QUEUE: queue.queue_url,
        environment.TIMEOUT: str(request_timeout_s(configuration)),
        environment.LOG_FORMAT: "json",
    }


def chosen(names: Iterable[str], among: Mapping[str, str]) -> dict[str, str]:
    """The variables of one function; a name without a value is an error here, not in the function."""
    return {name: among[name] for name in names}


def request_timeout_s(configuration: Configuration) -> int:
    """How long the sync function waits for one answer of the domain: three tries fit into one call of the function."""
    return min(60, configuration.function_timeout_s // 4)
