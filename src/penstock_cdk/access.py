"""Inline policies: requests to the domain, made from the one list of permissions of each role, and the secret."""

from collections.abc import Iterable, Sequence
from typing import Final

from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager

from penstock.lambdas.permissions import Requests
from penstock_cdk.parts import Domain

WILDCARDS: Final = (
    "Matches the number of a generation, the id of a document or the version of one of penstock's own indexes: all of "
    "them belong to this deployment."
)
"""Why the wildcards in the paths are acceptable."""


def policy(domain: Domain, requests: Iterable[Requests]) -> iam.PolicyDocument:
    """Return the policy that allows these requests and no others."""
    return iam.PolicyDocument(
        statements=[
            iam.PolicyStatement(
                sid=each.sid,
                actions=[f"es:ESHttp{method}" for method in each.methods],
                resources=[f"{domain.arn}/{path}" for path in each.paths],
            )
            for each in requests
        ]
    )


def secret_access(secret: secretsmanager.ISecret, sid: str) -> iam.PolicyDocument:
    """Allow to read the secret, and to decrypt it if it is encrypted with a customer's key."""
    document = allow(["secretsmanager:GetSecretValue"], secret.secret_arn, sid=sid)
    if secret.encryption_key is not None:
        document.add_statements(
            iam.PolicyStatement(sid=f"{sid}Key", actions=["kms:Decrypt"], resources=[secret.encryption_key.key_arn])
        )
    return document


def allow(actions: Sequence[str], resource: str, *, sid: str | None = None) -> iam.PolicyDocument:
    """Return a policy of one statement."""
    statement = iam.PolicyStatement(sid=sid, actions=list(actions), resources=[resource])
    return iam.PolicyDocument(statements=[statement])
