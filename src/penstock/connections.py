"""Opens connections from the settings: to the source, to the index, to the queue of parked keys."""

from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING

from penstock.errors import SettingsError
from penstock.mongo.connection import Connection, Login, address, connect
from penstock.opensearch.http.auth import Authorisation
from penstock.opensearch.http.client import Client
from penstock.runtime.extras import lacking
from penstock.settings import Settings, SourceSettings

if TYPE_CHECKING:
    from penstock.aws.queue import Queue


def sink_client(settings: Settings, *, connections: int = 0, stop: Event | None = None) -> Client:
    """A client of the index; close it. Some seconds after `stop` it ends what is under way.

    Raises SettingsError, SinkUnavailable.
    """
    return Client(settings.sink, signer=_signer(settings), connections=connections, stop=stop)


def source_connection(settings: SourceSettings, *, lazily: bool = False, stop: Event | None = None) -> Connection:
    """The way to the source; close it. Lazily: nothing is asked before its client is used.

    Some seconds after `stop` it ends what is under way. Raises SettingsError, SourceUnavailable, Stopped.
    """
    login = _login_by_secret(settings.secret) if settings.secret else None
    if settings.tls_ca_file is None and ".docdb." in address(settings):
        from penstock.aws import ca_bundle  # noqa: PLC0415 (only then needed)

        settings = settings.model_copy(update={"tls_ca_file": ca_bundle.path()})
    return Connection(settings, login, stop) if lazily else connect(settings, login, stop)


def _login_by_secret(name: str) -> Callable[[], Login]:
    try:
        from penstock.aws.secret import read_secret  # noqa: PLC0415 (botocore belongs to the extra `aws`)
    except ModuleNotFoundError as error:
        raise lacking(error, "[source] secret", extra="aws") from error
    return lambda: Login(*read_secret(name))


def parking_queue(settings: Settings) -> "Queue":
    """The queue of parked keys. Raises SettingsError."""
    if not settings.pipeline.parking_queue:
        raise SettingsError("[pipeline] parking_queue is not set; set it to the URL of the queue of parked keys")
    try:
        from penstock.aws.queue import Queue  # noqa: PLC0415 (botocore belongs to the extra `aws`)
    except ModuleNotFoundError as error:
        raise lacking(error, "[pipeline] parking_queue", extra="aws") from error
    return Queue(settings.pipeline.parking_queue)


def _signer(settings: Settings) -> Authorisation | None:
    if settings.sink.auth != "sigv4":
        return None
    try:
        from penstock.aws.sigv4 import Signer  # noqa: PLC0415 (botocore belongs to the extra `aws`)
    except ModuleNotFoundError as error:
        raise lacking(error, '[sink] auth "sigv4"', extra="aws") from error
    return Signer(settings.sink)
