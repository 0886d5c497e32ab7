"""The metrics that the sync function writes to its log, in CloudWatch's embedded format."""

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
    "LagSeconds": "Seconds",
}
"""The metrics of the sync function. LagSeconds: from the last change's cluster time until it was written.
Unreconciled: collections that were dropped, and whose indexes hold documents from before until `penstock load`."""


def publish(function: str, values: Mapping[str, float], **details: str) -> None:
    """Print the values as one line; `details` can be searched for but are not metrics."""
    write_line(DIMENSION, function, values, UNITS, details)
