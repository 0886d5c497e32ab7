"""The queue that keys are parked in while the domain is away for longer than one call of the sync function."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.findings import accept


def parking_queue(scope: Construct, *, keep: bool) -> sqs.Queue:
    """A queue that keeps its messages as long as SQS does; `keep` lets it outlive the stack."""
    queue = sqs.Queue(
        scope,
        "ParkingQueue",
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
        retention_period=Duration.days(14),
        visibility_timeout=Duration.minutes(15),  # a replay writes what it received, then deletes the message
        removal_policy=RemovalPolicy.RETAIN if keep else RemovalPolicy.DESTROY,
    )
    accept(
        queue,
        {
            "AwsSolutions-SQS3": "Messages are taken by `penstock dead-letters replay --queue` only, which leaves here "
            "what it cannot write. A second queue would hide that; an alarm says that messages wait.",
        },
    )
    return queue
