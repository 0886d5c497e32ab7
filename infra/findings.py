"""Accepted findings of cdk-nag, each with its reason, declared next to the construct that it concerns."""

from collections.abc import Mapping

from aws_cdk import Acknowledgment, Validations
from constructs import IConstruct


def accept(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Accept findings on a construct and everything in it; `reasons` maps the finding's full id to the reason."""
    acknowledged = [Acknowledgment(id=finding, reason=reason) for finding, reason in reasons.items()]
    Validations.of(construct).acknowledge(*acknowledged)
