"""What the functions and the task work with."""

from typing import NamedTuple

from aws_cdk import aws_sqs as sqs

from infra.documentdb import DocumentDbStack
from infra.opensearch import OpenSearchStack


class Servers(NamedTuple):
    """The cluster that is read, the domain that is written, and the queue for what cannot be written."""

    documentdb: DocumentDbStack
    opensearch: OpenSearchStack
    queue: sqs.Queue
