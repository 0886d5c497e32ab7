"""Ids of cdk-nag's findings about wildcards, which hold what the wildcard is part of.

cdk-nag takes each finding by its full id, and spells a reference in it its own way.
"""

from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from constructs import IConstruct

from infra.findings import accept


def accept_wildcards(construct: IConstruct, document: iam.PolicyDocument, reason: str) -> None:
    """Accept the wildcards in the resources of one policy, for one reason; wildcards in actions stay findings."""
    resolved = Stack.of(construct).resolve(document)
    resources = [_spelt(each) for statement in resolved["Statement"] for each in _as_list(statement["Resource"])]
    accept(construct, {f"AwsSolutions-IAM5[Resource::{each}]": reason for each in resources if "*" in each})


def accept_managed_policy(construct: IConstruct, reason: str, policy: str) -> None:
    """Accept one of AWS's own policies."""
    accept(construct, {f"AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{policy}]": reason})


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _spelt(value: Any) -> str:
    """A value of the template as cdk-nag writes it: `<AWS::Region>` of a reference, an export's name of an import."""
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
    raise ValueError(f"cdk-nag's way to write {value!r} is not known here: add it.")
