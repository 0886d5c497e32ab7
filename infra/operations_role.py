"""The role of the operations task, with all its permissions. The CDK's own grants for a project are wider."""

from collections.abc import Sequence
from typing import Final

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3_assets as s3_assets
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.configuration import Configuration
from penstock.lambdas.permissions import of_all, operations_requests
from penstock_cdk.access import WILDCARDS, allow, policy, secret_access
from penstock_cdk.findings import accept_wildcards
from penstock_cdk.names import short
from penstock_cdk.parts import Cluster, Domain, Network
from penstock_cdk.reactions import Reaction, target_policies

QUEUE_ACTIONS: Final = [
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibility",
    "sqs:SendMessage",
    "sqs:GetQueueAttributes",
]
"""A replay receives messages and deletes them; it returns what it cannot write."""

NETWORK_ACTIONS: Final = [
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
]
"""What CodeBuild does with the role to place a build in a VPC."""


class OperationsRole(iam.Role):
    """The permissions of sync, plus what `load`, `status`, `check` and replays need, also those of reactions."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        configuration: Configuration,
        network: Network,
        cluster: Cluster,
        domain: Domain,
        queue: sqs.IQueue | None,
        code: s3_assets.Asset,
        log_group: logs.ILogGroup,
        reactions: Sequence[Reaction] = (),
    ) -> None:
        access = policy(domain, of_all(operations_requests, configuration.indexes))
        placing = _placing(Stack.of(scope), network)
        logging = iam.PolicyDocument(
            statements=[
                iam.PolicyStatement(
                    actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[log_group.log_group_arn]
                )
            ]
        )
        super().__init__(
            scope,
            name,
            assumed_by=iam.ServicePrincipal("codebuild.amazonaws.com"),
            inline_policies={
                "DocumentDbSecretAccess": secret_access(cluster.secret, "DocumentDbSecretAccess"),
                "OpenSearchAccess": access,
                **({"ParkingQueueAccess": allow(QUEUE_ACTIONS, queue.queue_arn)} if queue else {}),
                **target_policies(Stack.of(scope), reactions, looks=True),
                **{
                    f"Webhook{short(str(each.table['name']))}Access": secret_access(each.secret, "WebhookSecretAccess")
                    for each in reactions
                    if each.secret
                },
                "CodeAccess": _reading(code),
                "LogAccess": logging,
                "NetworkAccess": placing,
            },
        )
        accept_wildcards(self, access, WILDCARDS)
        accept_wildcards(self, logging, "Streams of the one log group, which a build names when it starts.")
        accept_wildcards(self, placing, "Network interfaces have no ARN before CodeBuild makes them for a build.")


def _reading(code: s3_assets.Asset) -> iam.PolicyDocument:
    return iam.PolicyDocument(
        statements=[
            iam.PolicyStatement(
                actions=["s3:GetObject", "s3:GetObjectVersion"],
                resources=[code.bucket.arn_for_objects(code.s3_object_key)],
            ),
            iam.PolicyStatement(
                actions=["s3:GetBucketAcl", "s3:GetBucketLocation"], resources=[code.bucket.bucket_arn]
            ),
        ]
    )


def _placing(stack: Stack, network: Network) -> iam.PolicyDocument:
    """Allow to create interfaces, and to pass them to CodeBuild in these subnets only."""
    subnets = [
        stack.format_arn(service="ec2", resource="subnet", resource_name=subnet.subnet_id) for subnet in network.subnets
    ]
    return iam.PolicyDocument(
        statements=[
            iam.PolicyStatement(actions=NETWORK_ACTIONS, resources=["*"]),
            iam.PolicyStatement(
                actions=["ec2:CreateNetworkInterfacePermission"],
                resources=[
                    stack.format_arn(
                        service="ec2",
                        resource="network-interface",
                        resource_name="*",
                        arn_format=ArnFormat.SLASH_RESOURCE_NAME,
                    )
                ],
                conditions={
                    "StringEquals": {"ec2:AuthorizedService": "codebuild.amazonaws.com"},
                    "ArnEquals": {"ec2:Subnet": subnets},
                },
            ),
        ]
    )
