"""Single questions to the source, outside its readers: asked again while the source is only away for a while."""

import threading
from collections.abc import Callable
from typing import TypeVar

import structlog
from pymongo.errors import PyMongoError

from penstock.mongo.connection import Connection
from penstock.mongo.error_table import Fault, fault_of, in_words, unavailable
from penstock.runtime.backoff import Backoff

log = structlog.get_logger(__name__)

T = TypeVar("T")

_LOGINS = 8


def ask(connection: Connection, stop: threading.Event, question: Callable[..., T], *arguments: object) -> T:
    """Put a question, which takes the client first, and answer what it answers. Raises SourceUnavailable, Stopped."""
    backoff = Backoff(stop)
    logins = 0
    while True:
        client = connection.client
        try:
            return question(client, *arguments)
        except PyMongoError as error:
            fault = fault_of(error)
            if fault is Fault.LOGIN and logins < _LOGINS:
                logins += 1
                connection.log_in_again(client)
            elif fault is not Fault.TRANSIENT:
                raise unavailable(error, "a question about its collections") from error
            log.info("asking the source again", reason=fault.name.lower(), error=in_words(error))
        backoff.wait()
