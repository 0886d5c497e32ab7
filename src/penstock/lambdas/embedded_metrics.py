"""The metrics that the sync function and those of reactions write to their logs, in CloudWatch's embedded format."""

from collections.abc import Mapping
from typing import Final

from penstock.observe.embedded_metrics import write_line

DIMENSION: Final = "FunctionName"

UNITS: Final[dict[str, str]] = {
    "Read": "Count",
    "Written": "Count",
    "Superseded": "Count",
    "Folded": "Count",
    "Filtered": "Count",
    "DeadLettered": "Count",
    "Control": "Count",
    "Parked": "Count",
    "SystemicFaults": "Count",
    "Unreconciled": "Count",
    "Accepted": "Count",
    "Waits": "Count",
    "LagSeconds": "Seconds",
}
"""The metrics of these functions. LagSeconds: from the last change's cluster time until it was written.
Unreconciled: collections that were dropped, and whose indexes hold documents from before until `penstock load`.
Accepted and Waits are those of a reaction: events that the target has, and tries at which it could take nothing."""


def publish(function: str, values: Mapping[str, float], **details: str) -> None:
    """Print the values as one line; `details` can be searched for but are not metrics."""
    write_line(DIMENSION, function, values, UNITS, details)
