"""Findings of cdk-nag that are accepted, each with its reason beside the construct it concerns."""

from aws_cdk import Acknowledgment, Validations
from constructs import IConstruct


def accept(construct: IConstruct, reason: str, *findings: str) -> None:
    """Let findings stand on a construct and what is in it; a granular finding has its full id."""
    Validations.of(construct).acknowledge(*(Acknowledgment(id=finding, reason=reason) for finding in findings))
