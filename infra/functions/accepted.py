"""Findings of cdk-nag that stand, each with its reason, beside the construct that they are about."""

from aws_cdk import Acknowledgment, Validations
from constructs import IConstruct


def accept(construct: IConstruct, reason: str, *findings: str) -> None:
    """Let findings stand on a construct and what it holds, for one reason."""
    Validations.of(construct).acknowledge(*(Acknowledgment(id=finding, reason=reason) for finding in findings))
