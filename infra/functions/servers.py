"""The servers that the functions and the task use."""

from typing import NamedTuple, TypeAlias

from aws_cdk import aws_sqs as sqs

from infra.documentdb import DocumentDbStack
from infra.existing import ExistingCluster, ExistingDomain
from infra.opensearch import OpenSearchStack

SourceCluster: TypeAlias = DocumentDbStack | ExistingCluster
SearchDomain: TypeAlias = OpenSearchStack | ExistingDomain


class Servers(NamedTuple):
    """The cluster to read from, the domain to write to, and the queue for keys of documents that cannot be written."""

    documentdb: SourceCluster
    opensearch: SearchDomain
    queue: sqs.Queue
