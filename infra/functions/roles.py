"""One role for each function, with the least that works.

The policies are part of the roles, so that a function never exists without its rights: the mapping tries them out at
once when it is made.
"""

from typing import Final

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.configuration import Configuration
from infra.documentdb import DocumentDbStack
from infra.functions.accepted import accept
from infra.functions.domain_access import policy, reader_requests, sync_requests
from infra.opensearch import OpenSearchStack
from penstock.lambdas.environment import FunctionName

Policies = dict[str, iam.PolicyDocument]

NETWORK_ACTIONS: Final = [
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeVpcs",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeSubnets",
    "ec2:DescribeSecurityGroups",
]
"""What Lambda's poller does with the sync function's role, in the cluster's subnets."""


class Roles(Construct):
    """`roles["reader"]`: searches and reads one index, and nothing else."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        configuration: Configuration,
        documentdb: DocumentDbStack,
        opensearch: OpenSearchStack,
        queue: sqs.IQueue,
    ) -> None:
        super().__init__(scope, name)
        domain, index = opensearch.domain.domain_arn, configuration.index
        secret = documentdb.secret
        self._by_function: dict[FunctionName, iam.Role] = {
            "writer": self._role("Writer", {"DocumentDbSecretAccess": secret_access(secret, "DocumentDbSecretAccess")}),
            "config": self._role("Config", {"DocumentDbSecretAccess": secret_access(secret, "DocumentDbSecretAccess")}),
            "reader": self._role("Reader", {"OpenSearchAccess": policy(domain, reader_requests(index))}),
            "sync": self._role(
                "Sync",
                {
                    "ESMNetworkingAccess": _allow("ESMNetworkingAccess", NETWORK_ACTIONS, "*"),
                    "ESMDocumentDbAccess": _cluster_access(documentdb),
                    "ESMDocumentDbSecretAccess": secret_access(secret, "ESMDocumentDbSecretAccess"),
                    "OpenSearchAccess": policy(domain, sync_requests(index)),
                    "ParkingQueueAccess": _allow("ParkingQueueAccess", ["sqs:SendMessage"], queue.queue_arn),
                },
            ),
        }
        accept(
            self._by_function["sync"],
            "Lambda's poller makes and describes network interfaces that have no ARN before they exist.",
            "AwsSolutions-IAM5[Resource::*]",
        )

    def __getitem__(self, function: FunctionName) -> iam.Role:
        return self._by_function[function]

    def _role(self, name: str, policies: Policies) -> iam.Role:
        role = iam.Role(
            self,
            name,
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            managed_policies=[
                iam.ManagedPolicy.from_aws_managed_policy_name("service-role/AWSLambdaVPCAccessExecutionRole")
            ],
            inline_policies=policies,
        )
        accept(
            role,
            "AWS's own policy for a function in a VPC: its logs, and the network interfaces that Lambda makes for it.",
            "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/"
            "AWSLambdaVPCAccessExecutionRole]",
        )
        return role


def secret_access(secret: secretsmanager.ISecret, sid: str) -> iam.PolicyDocument:
    """Read the secret, and decrypt it where a key of the customer's encrypts it."""
    document = _allow(sid, ["secretsmanager:GetSecretValue"], secret.secret_arn)
    if secret.encryption_key is not None:
        document.add_statements(
            iam.PolicyStatement(sid=f"{sid}Key", actions=["kms:Decrypt"], resources=[secret.encryption_key.key_arn])
        )
    return document


def _cluster_access(documentdb: DocumentDbStack) -> iam.PolicyDocument:
    """What the mapping asks about the cluster: where its subnets are, and whether its parameters allow TLS."""
    document = _allow("ESMDocumentDbAccess", ["rds:DescribeDBClusters"], documentdb.cluster_arn)
    document.add_statements(
        iam.PolicyStatement(
            sid="ESMDocumentDbAccessParameters",
            actions=["rds:DescribeDBClusterParameters"],
            resources=[_rds_arn(documentdb, "cluster-pg")],
        ),
        iam.PolicyStatement(
            sid="ESMDocumentDbAccessSubnets",
            actions=["rds:DescribeDBSubnetGroups"],
            resources=[_rds_arn(documentdb, "subgrp")],
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
