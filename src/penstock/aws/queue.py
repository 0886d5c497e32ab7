"""An SQS queue: texts in, texts out."""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from penstock.aws.session import service
from penstock.errors import QueueUnavailable

MAX_TEXT_BYTES = 200_000
"""SQS accepts 256 KiB in a message (1 MiB since 2025); less is safe everywhere."""

_AT_ONCE = 10
_REGION = re.compile(r"https?://sqs\.([\w-]+)\.")

T = TypeVar("T")


class Message(NamedTuple):
    """A message that was received; `receipt` deletes it."""

    receipt: str
    text: str


class Queue:
    """A queue by its URL. All methods raise QueueUnavailable if SQS refuses or does not answer."""

    def __init__(self, url: str) -> None:
        self.url = url
        region = _REGION.match(url)
        self._sqs = service("sqs", region=region[1] if region else None)

    def send(self, texts: Sequence[str]) -> None:
        """Send every text to the queue; after an error, some of them may be in it."""
        for text in texts:
            self._call(self._sqs.send_message, MessageBody=text)

    def receive(self, *, wait_s: int = 0, hidden_s: int = 300) -> list[Message]:
        """Return up to ten messages, which no other receiver gets for `hidden_s` seconds."""
        answer = self._call(
            self._sqs.receive_message,
            MaxNumberOfMessages=_AT_ONCE,
            WaitTimeSeconds=min(wait_s, 4),  # below the client's read timeout
            VisibilityTimeout=hidden_s,
        )
        return [Message(each["ReceiptHandle"], each["Body"]) for each in answer.get("Messages", ())]

    def delete(self, message: Message) -> None:
        """Delete a message from the queue."""
        self._call(self._sqs.delete_message, ReceiptHandle=message.receipt)

    def give_back(self, message: Message) -> None:
        """Make the message available to other receivers at once."""
        self._call(self._sqs.change_message_visibility, ReceiptHandle=message.receipt, VisibilityTimeout=0)

    def waiting(self) -> int:
        """Return the approximate number of messages, including those being replayed."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self._call(self._sqs.get_queue_attributes, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)

    def _call(self, call: Callable[..., Any], **arguments: Any) -> Any:
        try:
            return call(QueueUrl=self.url, **arguments)
        except ClientError as error:
            said = error.response["Error"]
            raise QueueUnavailable(
                f"The queue {self.url} refused a request: {said['Code']}: {said.get('Message', '')}."
            ) from error
        except BotoCoreError as error:
            raise QueueUnavailable(f"The queue {self.url} does not answer: {error}.") from error
