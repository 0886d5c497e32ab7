"""What a change can start: a state machine that runs for each new document, and tells a topic of it.

On this machine moto's EventBridge matches the events, moto's Step Functions runs the state machine, and it publishes to
moto's SNS. moto cannot start a state machine by a rule, so the rule's target is a queue here, and a thread of ours
starts an execution for each of its messages.
"""

import json
import threading
import uuid
from collections.abc import Callable
from typing import Any, Final

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from penstock_tools.aws.moto_server import MotoServer

log = structlog.get_logger(__name__)

NEW_DOCUMENTS: Final = "new-documents"
"""The reaction that gives new documents to the bus."""

PATTERN: Final[dict[str, Any]] = {"source": ["penstock"], "detail-type": ["penstock.document.insert"]}
"""The events that start the state machine."""

_LOOK_S: Final = 1
_ROLE: Final = "arn:aws:iam::123456789012:role/local"


def definition(topic_arn: str, partition: str = "aws") -> dict[str, Any]:
    """Return the state machine: one message for each new document, with its key and no more of it."""
    return {
        "Comment": "Runs for each new document: publishes its key.",
        "StartAt": "Describe",
        "States": {
            "Describe": {
                "Type": "Pass",
                "Parameters": {
                    "event.$": "$.detail.id",
                    "collection.$": "$.detail.data.collection",
                    "key.$": "$.detail.data.key",
                    "time.$": "$.detail.time",
                },
                "Next": "Publish",
            },
            "Publish": {
                "Type": "Task",
                "Resource": f"arn:{partition}:states:::sns:publish",
                "Parameters": {"TopicArn": topic_arn, "Message.$": "States.JsonToString($)"},
                "Retry": [
                    {
                        "ErrorEquals": ["States.ALL"],
                        "IntervalSeconds": 2,
                        "MaxAttempts": 5,
                        "BackoffRate": 2.0,
                    }
                ],
                "End": True,
            },
        },
    }


class LocalOutlook:
    """Bus, rule, state machine and topic in moto; a context manager that starts executions until it is left.

    `inbox_url` is a queue that is subscribed to the topic.
    """

    def __init__(self, aws: MotoServer, prefix: str) -> None:
        self.bus = prefix
        self._events, self._sqs = aws.client("events"), aws.client("sqs")
        self._states, sns = aws.client("stepfunctions"), aws.client("sns")
        self.topic_arn = str(sns.create_topic(Name=prefix)["TopicArn"])
        self.inbox_url, inbox_arn = self._queue(f"{prefix}-told")
        sns.subscribe(
            TopicArn=self.topic_arn, Protocol="sqs", Endpoint=inbox_arn, Attributes={"RawMessageDelivery": "true"}
        )
        made = self._states.create_state_machine(
            name=prefix, definition=json.dumps(definition(self.topic_arn)), roleArn=_ROLE
        )
        self.state_machine_arn = str(made["stateMachineArn"])
        self._events.create_event_bus(Name=self.bus)
        self._events.put_rule(Name=prefix, EventBusName=self.bus, EventPattern=json.dumps(PATTERN))
        self._matched_url, matched_arn = self._queue(f"{prefix}-matched")
        self._events.put_targets(Rule=prefix, EventBusName=self.bus, Targets=[{"Id": "start", "Arn": matched_arn}])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._start_executions, name="rule", daemon=True)

    def __enter__(self) -> "LocalOutlook":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def told(self) -> list[dict[str, Any]]:
        """Take the messages that the topic has sent since the last call."""
        told: list[dict[str, Any]] = []
        self._take(self.inbox_url, lambda body: told.append(json.loads(body)))
        return told

    def _queue(self, name: str) -> tuple[str, str]:
        url = str(self._sqs.create_queue(QueueName=name)["QueueUrl"])
        found = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return url, str(found["Attributes"]["QueueArn"])

    def _take(self, url: str, use: Callable[[str], object], wait_s: int = 0) -> None:
        found = self._sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=wait_s)
        for each in found.get("Messages", []):
            use(each["Body"])
            self._sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])

    def _start(self, event: str) -> None:
        name = str(uuid.uuid4())  # moto gives all executions one name
        self._states.start_execution(stateMachineArn=self.state_machine_arn, name=name, input=event)

    def _start_executions(self) -> None:
        while not self._stop.is_set():
            try:
                self._take(self._matched_url, self._start, _LOOK_S)
            except (BotoCoreError, ClientError) as error:
                if not self._stop.wait(_LOOK_S):
                    log.warning("the state machine could not be started", reason=type(error).__name__)
