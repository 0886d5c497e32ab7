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

from penstock.lambdas.permissions import of_all, react_requests, sync_requests
from penstock_cdk.access import WILDCARDS, allow, policy, secret_access
from penstock_cdk.findings import accept_managed_policy, accept_wildcards
from penstock_cdk.parts import Cluster, Domain

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


def function_role(scope: Construct, name: str, policies: Policies) -> iam.Role:
    """A role for a function in a VPC."""
    role = iam.Role(
        scope,
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


def login_policies(cluster: Cluster) -> Policies:
    """Return what a function needs that asks the cluster and nothing else."""
    return {"DocumentDbSecretAccess": secret_access(cluster.secret, "DocumentDbSecretAccess")}


def sync_policies(
    stack: Stack,
    *,
    cluster: Cluster,
    domain: Domain,
    indexes: Sequence[str],
    queue_arn: str,
    has_streams: bool = True,
    of_topics: Policies | None = None,
) -> Policies:
    """Return what a sync function needs, and the pollers of its mappings: of change streams, and of topics."""
    without_streams = {"ESMNetworkingAccess": _networking(), **login_policies(cluster)}
    return {
        **(_mapping_policies(stack, cluster) if has_streams else without_streams),
        **(of_topics or {}),
        "OpenSearchAccess": policy(domain, of_all(sync_requests, indexes)),
        "ParkingQueueAccess": allow(["sqs:SendMessage"], queue_arn, sid="ParkingQueueAccess"),
    }


def react_policies(
    stack: Stack, *, cluster: Cluster, domain: Domain, bus_arn: str, secret: secretsmanager.ISecret | None
) -> Policies:
    """Return what a reaction's function and the poller of its mappings need; `bus_arn` is empty without a bus."""
    return {
        **_mapping_policies(stack, cluster),
        "OpenSearchAccess": policy(domain, react_requests()),
        **({"BusAccess": allow(["events:PutEvents"], bus_arn, sid="BusAccess")} if bus_arn else {}),
        **({"WebhookSecretAccess": secret_access(secret, "WebhookSecretAccess")} if secret else {}),
    }


def _mapping_policies(stack: Stack, cluster: Cluster) -> Policies:
    """Return what the poller of a mapping needs, which uses the role of the function that it calls."""
    return {
        "ESMNetworkingAccess": _networking(),
        "ESMDocumentDbAccess": _cluster_access(stack, cluster),
        "ESMDocumentDbSecretAccess": secret_access(cluster.secret, "ESMDocumentDbSecretAccess"),
    }


def _networking() -> iam.PolicyDocument:
    return allow(NETWORK_ACTIONS, "*", sid="ESMNetworkingAccess")


def _cluster_access(stack: Stack, cluster: Cluster) -> iam.PolicyDocument:
    """Allow what the mapping reads about the cluster: its subnets, and whether its parameters enable TLS."""
    document = allow(["rds:DescribeDBClusters"], cluster.arn, sid="ESMDocumentDbAccess")
    document.add_statements(
        iam.PolicyStatement(
            sid="ESMDocumentDbAccessParameters",
            actions=["rds:DescribeDBClusterParameters"],
            resources=[_rds_arn(stack, "cluster-pg")],
        ),
        iam.PolicyStatement(
            sid="ESMDocumentDbAccessSubnets",
            actions=["rds:DescribeDBSubnetGroups"],
            resources=[_rds_arn(stack, "subgrp")],
        ),
    )
    return document


def _rds_arn(stack: Stack, resource: str) -> str:
    return stack.format_arn(
        service="rds", resource=resource, resource_name="*", arn_format=ArnFormat.COLON_RESOURCE_NAME
    )
