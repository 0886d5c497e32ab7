"""The policies for requests to the domain, made from the one list of permissions of each role."""

from collections.abc import Iterable
from typing import Final

from aws_cdk import aws_iam as iam

from infra.functions.servers import SearchDomain
from penstock.lambdas.permissions import Requests

WILDCARDS: Final = (
    "Matches the number of a generation, the id of a document or the version of one of penstock's own indexes: all of "
    "them belong to this deployment."
)
"""Why the wildcards in the paths are acceptable."""


def policy(opensearch: SearchDomain, requests: Iterable[Requests]) -> iam.PolicyDocument:
    """Return the policy that allows these requests and no others."""
    domain_arn = opensearch.arn
    return iam.PolicyDocument(
        statements=[
            iam.PolicyStatement(
                sid=each.sid,
                actions=[f"es:ESHttp{method}" for method in each.methods],
                resources=[f"{domain_arn}/{path}" for path in each.paths],
            )
            for each in requests
        ]
    )
