"""The servers that the functions and the task use."""

from typing import NamedTuple

from aws_cdk import aws_sqs as sqs

from infra.documentdb import DocumentDbStack
from infra.opensearch import OpenSearchStack


class Servers(NamedTuple):
    """The cluster to read from, the domain to write to, and the queue for keys of documents that cannot be written."""

    documentdb: DocumentDbStack
    opensearch: OpenSearchStack
    queue: sqs.Queue
