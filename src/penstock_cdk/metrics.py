"""The metrics, which alarms and dashboard share.

Lambda reports IteratorAge, OversizedRecordCount and, of a topic, OffsetLag of a mapping under the name of its function
(https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html). The sync function writes its own metrics
to its log, in CloudWatch's embedded format.
"""

from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_

from penstock.lambdas.embedded_metrics import DIMENSION
from penstock.observe.embedded_metrics import NAMESPACE, WORKER

PERIOD: Final = Duration.minutes(5)

WRITTEN: Final = "Written"
SUPERSEDED: Final = "Superseded"
FILTERED: Final = "Filtered"
DEAD_LETTERED: Final = "DeadLettered"
ACCEPTED: Final = "Accepted"
WAITS: Final = "Waits"
PARKED: Final = "Parked"
LAG: Final = "LagSeconds"
SYSTEMIC_FAULTS: Final = "SystemicFaults"
UNRECONCILED: Final = "Unreconciled"


def of_sync(name: str, sync: lambda_.IFunction, *, statistic: str = "Sum") -> cloudwatch.Metric:
    """Return a metric that the sync function writes itself."""
    return _metric(NAMESPACE, name, statistic, {DIMENSION: sync.function_name})


def of_worker(name: str, worker: str, *, statistic: str) -> cloudwatch.Metric:
    """Return a metric that the tasks of a worker write, of all of them together."""
    return _metric(NAMESPACE, name, statistic, {WORKER: worker})


def of_mapping(name: str, sync: lambda_.IFunction, *, statistic: str) -> cloudwatch.Metric:
    """Return a metric that Lambda's poller reports for the function that it calls."""
    return _metric("AWS/Lambda", name, statistic, {"FunctionName": sync.function_name})


def of_cluster(name: str, identifier: str, *, statistic: str) -> cloudwatch.Metric:
    """Return a metric of all instances of the cluster together."""
    return _metric("AWS/DocDB", name, statistic, {"DBClusterIdentifier": identifier})


def _metric(namespace: str, name: str, statistic: str, dimensions: dict[str, str]) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=namespace, metric_name=name, dimensions_map=dimensions, statistic=statistic, period=PERIOD
    )
