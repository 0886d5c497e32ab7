"""Metrics in CloudWatch's embedded format: a log line that CloudWatch turns into metrics.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import sys
import time
from collections.abc import Mapping
from typing import Final

import orjson

NAMESPACE: Final = "penstock"
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
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [[DIMENSION]],
        "Metrics": [{"Name": name, "Unit": UNITS[name]} for name in values],
    }
    line = {
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]},
        DIMENSION: function,
        **values,
        **details,
    }
    sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
    sys.stdout.flush()
