"""AWS services on this machine: moto's server, which keeps everything in memory."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.session import Session

from penstock_tools.servers.child import Child

_START_SECONDS = 60


@contextmanager
def moto_server(logs: Path, *, region: str = "us-east-1") -> Iterator["MotoServer"]:
    """Run the server, with its log in the folder, until the block ends."""
    child = Child("moto", [sys.executable, "-m", "penstock_tools.aws.moto_process"], log=logs / "moto.log")
    try:
        yield MotoServer(f"http://127.0.0.1:{child.wait_ready(_START_SECONDS)}", region)
    finally:
        child.stop()


class MotoServer:
    """What one does in the AWS console: secrets and queues; the rest by a client."""

    def __init__(self, url: str, region: str) -> None:
        self.url = url
        self._region = region
        self._secrets = self.client("secretsmanager")
        self._sqs = self.client("sqs")

    def create_secret(self, name: str, value: str) -> str:
        """Make a secret and return its ARN."""
        return str(self._secrets.create_secret(Name=name, SecretString=value)["ARN"])

    def rotate(self, secret: str, value: str) -> None:
        """Change the value of a secret, given its ARN or name."""
        self._secrets.put_secret_value(SecretId=secret, SecretString=value)

    def secret(self, secret: str) -> str:
        """Return the present value of a secret. Raises LookupError for an unknown one."""
        try:
            return str(self._secrets.get_secret_value(SecretId=secret)["SecretString"])
        except self._secrets.exceptions.ResourceNotFoundException:
            raise LookupError(secret) from None

    def create_queue(self, name: str) -> str:
        """Make a queue and return its URL."""
        return str(self._sqs.create_queue(QueueName=name)["QueueUrl"])

    def messages(self, queue_url: str) -> int:
        """Return the number of messages in a queue, including those in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def client(self, service: str) -> Any:
        """Return a client of one of its services."""
        return Session().create_client(
            service,
            region_name=self._region,
            endpoint_url=self.url,
            config=Config(proxies={}),  # the server is on this machine: ignore HTTP_PROXY
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106 (moto checks none)
        )
