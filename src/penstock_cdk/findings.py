"""Accepted findings of cdk-nag, each with its reason, declared next to the construct that it concerns.

cdk-nag identifies each finding by its full id. That of a wildcard contains what the wildcard is part of, and writes
references in it in its own way.
"""

from collections.abc import Mapping
from typing import Any

from aws_cdk import Acknowledgment, Stack, Validations
from aws_cdk import aws_iam as iam
from constructs import IConstruct


def accept(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Accept findings on a construct and everything in it; `reasons` maps the finding's full id to the reason."""
    acknowledged = [Acknowledgment(id=finding, reason=reason) for finding, reason in reasons.items()]
    Validations.of(construct).acknowledge(*acknowledged)


def accept_wildcards(construct: IConstruct, document: iam.PolicyDocument, reason: str) -> None:
    """Accept the wildcards in the resources of a policy, for one reason; wildcards in actions remain findings."""
    resolved = Stack.of(construct).resolve(document)
    resources = [_spelt(each) for statement in resolved["Statement"] for each in _as_list(statement["Resource"])]
    accept(construct, {f"AwsSolutions-IAM5[Resource::{each}]": reason for each in resources if "*" in each})


def accept_managed_policy(construct: IConstruct, reason: str, policy: str) -> None:
    """Accept one of AWS's own policies."""
    accept(construct, {f"AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{policy}]": reason})


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _spelt(value: Any) -> str:
    """Return a template value as cdk-nag writes it: `<AWS::Region>` for a reference, an import's export name."""
    match value:
        case str():
            return value
        case {"Fn::Join": [delimiter, parts]}:
            return str(delimiter).join(_spelt(part) for part in parts)
        case {"Fn::GetAtt": [resource, attribute]}:
            return f"<{resource}.{attribute}>"
        case {"Fn::ImportValue": name}:
            return _spelt(name)
        case {"Ref": name}:
            return f"<{name}>"
    raise ValueError(f"How cdk-nag writes {value!r} is not known here: add it.")
