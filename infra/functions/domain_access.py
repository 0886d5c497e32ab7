"""The policies of requests to the domain, from the one list of what each role may ask."""

from collections.abc import Iterable
from typing import Final

from aws_cdk import aws_iam as iam

from infra.opensearch import OpenSearchStack
from penstock.lambdas.permissions import Requests

WILDCARDS: Final = (
    "Stands for the number of a generation, the id of a document or the version of an index of penstock's own: all of "
    "them are this deployment's."
)
"""Why the wildcards in the paths may stand."""


def policy(opensearch: OpenSearchStack, requests: Iterable[Requests]) -> iam.PolicyDocument:
    """The policy that allows these requests and no others."""
    # Exported by name, so that the ids of cdk-nag's findings, which hold it, are known when they are accepted.
    domain_arn = opensearch.export_value(opensearch.domain.domain_arn)
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
