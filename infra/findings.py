"""Findings of cdk-nag that are accepted, each with its reason beside the construct it concerns."""

from collections.abc import Mapping

from aws_cdk import Acknowledgment, Validations
from constructs import IConstruct


def accept(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Let findings stand on a construct and what is in it: the finding's full id to why."""
    acknowledged = [Acknowledgment(id=finding, reason=reason) for finding, reason in reasons.items()]
    Validations.of(construct).acknowledge(*acknowledged)
