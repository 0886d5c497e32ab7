"""Secrets in AWS Secrets Manager: the login of a cluster, and texts."""

import json
from typing import NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from penstock.aws.session import service
from penstock.errors import SettingsError, SourceUnavailable

_FOR_GOOD = frozenset(
    {"ResourceNotFoundException", "AccessDeniedException", "InvalidParameterException", "InvalidRequestException",
     "ValidationException", "UnrecognizedClientException", "InvalidSignatureException"}
)  # fmt: skip


class SourceSecret(NamedTuple):
    """The part of a secret that penstock needs; RDS stores more in it."""

    username: str
    password: str


def read_secret(name: str) -> SourceSecret:
    """Read the present value of the secret, given its ARN or name.

    Raises SettingsError if it does not exist, may not be read or does not have the format of RDS; SourceUnavailable if
    Secrets Manager does not answer.
    """
    return _parsed(name, read_text(name, "[source] secret"))


def read_text(name: str, setting: str) -> str:
    """Read the present value of a secret; messages name it by `setting`. Raises SettingsError, SourceUnavailable."""
    region = name.split(":")[3] if name.startswith("arn:") and name.count(":") >= 6 else None
    try:
        answer = service("secretsmanager", region=region).get_secret_value(SecretId=name)
        return str(answer.get("SecretString", ""))
    except ClientError as error:
        code = error.response["Error"]["Code"]
        said = f"The secret {name} cannot be read: {code}: {error.response['Error'].get('Message', '')}."
        if code in _FOR_GOOD:
            raise SettingsError(
                f"{setting}: {said} Grant secretsmanager:GetSecretValue, or correct the name."
            ) from error
        raise SourceUnavailable(said, "Secrets Manager is overloaded or unavailable; try again.") from error
    except BotoCoreError as error:
        raise SourceUnavailable(
            f"The secret {name} cannot be read: {error}.",
            "Check the credentials, and that this network reaches Secrets Manager (NAT, or an interface endpoint).",
        ) from error


def _parsed(name: str, text: str) -> SourceSecret:
    try:
        held = json.loads(text)
        return SourceSecret(str(held["username"]), str(held["password"]))
    except (ValueError, TypeError, KeyError):
        raise SettingsError(
            f'[source] secret: {name} must contain JSON with "username" and "password", in the format of RDS.'
        ) from None
