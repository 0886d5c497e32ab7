"""One role for each function, with the least permissions that work.

The policies are part of the roles, so that a function never exists without its permissions: the mapping tries them as
soon as it is created.
"""

from collections.abc import Sequence
from typing import Final

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.collections import index_patterns
from infra.configuration import Configuration
from infra.functions.domain_access import WILDCARDS, policy
from infra.functions.findings import accept_managed_policy, accept_wildcards
from infra.functions.servers import Servers, SourceCluster
from infra.functions.sync_functions import SyncFunction
from penstock.lambdas.permissions import of_all, reader_requests, sync_requests

Policies = dict[str, iam.PolicyDocument]

NETWORK_ACTIONS: Final = [
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeVpcs",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeSubnets",
    "ec2:DescribeSecurityGroups",
]
"""What Lambda's poller does in the cluster's subnets with the sync function's role."""


_FOR_A_VPC: Final = "service-role/AWSLambdaVPCAccessExecutionRole"

_WILDCARDS: Final = {
    "ESMNetworkingAccess": "Lambda's poller makes network interfaces, which have no ARN before, and describes them.",
    "ESMDocumentDbAccess": "Parameter and subnet groups of the cluster; the actions only describe them.",
    "OpenSearchAccess": WILDCARDS,
}
"""Why the wildcards of a policy are acceptable."""


class Roles(Construct):
    """The roles by function: `roles["Reader"]` searches and reads one index, and nothing else."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        configuration: Configuration,
        servers: Servers,
        syncs: Sequence[SyncFunction],
    ) -> None:
        super().__init__(scope, name)
        documentdb, opensearch, queue = servers
        shown = configuration.tables[0].alias
        of_secret = secret_access(documentdb.secret, "DocumentDbSecretAccess")
        policies: dict[str, Policies] = {
            "Writer": {"DocumentDbSecretAccess": of_secret},
            "Config": {"DocumentDbSecretAccess": of_secret},
            "Reader": {"OpenSearchAccess": policy(opensearch, reader_requests(shown))},
        }
        for sync in syncs:
            indexes = index_patterns([table.alias for table in sync.tables])
            policies[sync.construct] = {
                "ESMNetworkingAccess": _allow("ESMNetworkingAccess", NETWORK_ACTIONS, "*"),
                "ESMDocumentDbAccess": _cluster_access(documentdb),
                "ESMDocumentDbSecretAccess": secret_access(documentdb.secret, "ESMDocumentDbSecretAccess"),
                "OpenSearchAccess": policy(opensearch, of_all(sync_requests, indexes)),
                "ParkingQueueAccess": _allow("ParkingQueueAccess", ["sqs:SendMessage"], queue.queue_arn),
            }
        self._by_name = {function: self._role(function, allowed) for function, allowed in policies.items()}

    def __getitem__(self, construct: str) -> iam.Role:
        return self._by_name[construct]

    def _role(self, name: str, policies: Policies) -> iam.Role:
        role = iam.Role(
            self,
            name,
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            managed_policies=[iam.ManagedPolicy.from_aws_managed_policy_name(_FOR_A_VPC)],
            inline_policies=policies,
        )
        accept_managed_policy(
            role,
            "AWS's own policy for a function in a VPC: its logs, and the network interfaces that Lambda makes for it.",
            _FOR_A_VPC,
        )
        for policy_name, document in policies.items():
            if policy_name in _WILDCARDS:
                accept_wildcards(role, document, _WILDCARDS[policy_name])
        return role


def secret_access(secret: secretsmanager.ISecret, sid: str) -> iam.PolicyDocument:
    """Allow to read the secret, and to decrypt it if it is encrypted with a customer's key."""
    document = _allow(sid, ["secretsmanager:GetSecretValue"], secret.secret_arn)
    if secret.encryption_key is not None:
        document.add_statements(
            iam.PolicyStatement(sid=f"{sid}Key", actions=["kms:Decrypt"], resources=[secret.encryption_key.key_arn])
        )
    return document


def _cluster_access(documentdb: SourceCluster) -> iam.PolicyDocument:
    """Allow what the mapping reads about the cluster: its subnets, and whether its parameters enable TLS."""
    document = _allow("ESMDocumentDbAccess", ["rds:DescribeDBClusters"], documentdb.cluster_arn)
    document.add_statements(
        iam.PolicyStatement(
            sid="ESMDocumentDbAccessParameters",
            actions=["rds:DescribeDBClusterParameters"],
            resources=[_rds_arn(Stack.of(documentdb), "cluster-pg")],
        ),
        iam.PolicyStatement(
            sid="ESMDocumentDbAccessSubnets",
            actions=["rds:DescribeDBSubnetGroups"],
            resources=[_rds_arn(Stack.of(documentdb), "subgrp")],
        ),
    )
    return document


def _rds_arn(stack: Stack, resource: str) -> str:
    return stack.format_arn(
        service="rds", resource=resource, resource_name="*", arn_format=ArnFormat.COLON_RESOURCE_NAME
    )


def _allow(sid: str, actions: list[str], resource: str) -> iam.PolicyDocument:
    statement = iam.PolicyStatement(sid=sid, actions=actions, resources=[resource])
    return iam.PolicyDocument(statements=[statement])
