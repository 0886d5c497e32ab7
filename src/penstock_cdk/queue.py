"""The queue in which keys are parked while the domain is unavailable for longer than a call of the sync function."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from penstock_cdk.findings import accept


def parking_queue(scope: Construct, *, keep: bool) -> sqs.Queue:
    """A queue with the longest retention that SQS has; with `keep` it outlives the stack."""
    queue = sqs.Queue(
        scope,
        "ParkingQueue",
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
        retention_period=Duration.days(14),
        visibility_timeout=Duration.minutes(15),  # a replay writes the documents of a message, then deletes it
        removal_policy=RemovalPolicy.RETAIN if keep else RemovalPolicy.DESTROY,
    )
    accept(
        queue,
        {
            "AwsSolutions-SQS3": "Only `penstock dead-letters replay --queue` receives messages, and leaves those here "
            "that it cannot write. A second queue would hide them; an alarm reports that messages wait.",
        },
    )
    return queue
