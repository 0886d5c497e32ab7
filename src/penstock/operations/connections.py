"""The connections that a look from outside needs: plain clients, without waiting and without a lease."""

from penstock.opensearch.authorisation import Authorisation
from penstock.opensearch.client import Client
from penstock.settings import Settings


def sink_client(settings: Settings) -> Client:
    """A client of the index; close it. Raises SettingsError, SinkUnavailable."""
    return Client(settings.sink, signer=_signer(settings), connections=1)


def _signer(settings: Settings) -> Authorisation | None:
    if settings.sink.auth != "sigv4":
        return None
    from penstock.aws.sigv4 import Signer  # noqa: PLC0415 (botocore belongs to the extra `aws`)

    return Signer(settings.sink)
