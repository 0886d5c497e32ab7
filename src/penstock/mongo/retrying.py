"""What is tried again at a source, and how often; questions outside its readers are put this way.

Retries   the faults in a row of one reader or question: wait and try again, log in again, or give up
ask       puts one question until it is answered
"""

import threading
from collections.abc import Callable
from typing import TypeVar

import structlog
from pymongo.errors import PyMongoError

from penstock.mongo.connection import Connection, SourceClient
from penstock.mongo.error_table import Fault, fault_of, in_words, unavailable
from penstock.runtime.backoff import Backoff

log = structlog.get_logger(__name__)

T = TypeVar("T")

_MAX_LOGINS = 8
"""After this many refused logins in a row, about half a minute, the password is wrong rather than being rotated."""


class Retries:
    """Decides about the faults of one reader or question; used by one thread. The waits end when `stop` is set."""

    def __init__(self, connection: Connection, stop: threading.Event) -> None:
        self._connection = connection
        self._backoff = Backoff(stop)
        self._logins = 0

    def succeeded(self) -> None:
        """Note that the source has answered: the next fault is the first one again."""
        self._backoff.reset()
        self._logins = 0

    def require_retryable(self, error: PyMongoError, client: SourceClient, what: str) -> None:
        """Return when trying again may help; a client whose login was refused is replaced before that.

        Raises SourceUnavailable for any other fault; `what` was asked for, in words.
        """
        fault = fault_of(error)
        if fault is Fault.LOGIN and self._logins < _MAX_LOGINS:
            self._logins += 1
            self._connection.log_in_again(client)
        elif fault is not Fault.TRANSIENT:
            raise unavailable(error, what) from error

    def wait(self) -> float:
        """Wait before the next attempt, longer each time; returns the seconds. Raises Stopped."""
        return self._backoff.wait()


def ask(connection: Connection, stop: threading.Event, question: Callable[..., T], *arguments: object) -> T:
    """Put a question, which takes the client first, and return its answer. Raises SourceUnavailable, Stopped."""
    retries = Retries(connection, stop)
    while True:
        client = connection.client
        try:
            return question(client, *arguments)
        except PyMongoError as error:
            retries.require_retryable(error, client, "a query about its collections")
            log.info("asking the source again", reason=fault_of(error).name.lower(), error=in_words(error))
        retries.wait()
