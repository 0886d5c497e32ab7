"""AWS Signature Version 4 for requests to OpenSearch Service, with botocore (extra `aws`)."""

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.session import get_session

from penstock.errors import SettingsError, SinkUnavailable
from penstock.settings import SinkSettings


class Signer:
    """Signs requests with the credentials of the AWS profile, role or environment; botocore renews them by itself."""

    def __init__(self, settings: SinkSettings) -> None:
        self._service = settings.service
        session = get_session()
        region = settings.region or session.get_config_variable("region")
        if not region:
            raise SettingsError("[sink] auth is `sigv4`, but no AWS region is set: set [sink] region, or AWS_REGION.")
        self._region = region
        self._credentials = _credentials(session)

    def headers(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers with the signature of exactly this request, including the hash of its body."""
        hashed = {"x-amz-content-sha256": hashlib.sha256(body).hexdigest()}
        request = AWSRequest(method=method, url=_canonical(url), data=body, headers=hashed)
        try:
            SigV4Auth(self._credentials.get_frozen_credentials(), self._service, self._region).add_auth(request)
        except BotoCoreError as error:
            raise SinkUnavailable(f"The AWS credentials cannot be renewed: {error}.") from error
        return {**headers, **dict(request.headers.items())}

    def renew(self) -> bool:
        """Look the credentials up again, as at the start, to pick up a rotated key in a profile."""
        self._credentials = _credentials(get_session())
        return True


def _canonical(url: str) -> str:
    """Return the address with its parameters as AWS spells them before it checks; botocore does not normalise them."""
    address, _, query = url.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    return f"{address}?{urlencode(pairs, quote_via=quote, safe='-_.~')}" if pairs else address


def _credentials(session: Any) -> Any:
    """Find credentials the way every AWS tool does: environment, profile, role of the container or machine."""
    try:
        credentials = session.get_credentials()
    except BotoCoreError as error:
        raise SinkUnavailable(f"The AWS credentials cannot be read: {error}.") from error
    if credentials is None:
        raise SettingsError(
            "[sink] auth is `sigv4`, but there are no AWS credentials: give the process a role, or a profile."
        )
    return credentials
