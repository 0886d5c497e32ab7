"""A Python function of the user's: it has taken an event when it returns."""

from collections.abc import Sequence

import orjson

from penstock.documents.user_function import import_function, place_of
from penstock.reactions.event import Event
from penstock.reactions.target import Accepted, Answer, Refused, TryAgain
from penstock.settings import ReactionSettings


class FunctionTarget:
    """Calls the function with the event as a dict; what it returns is of no interest."""

    at_once = 1

    def __init__(self, settings: ReactionSettings) -> None:
        self._name = str(settings.function)
        self._function = import_function(self._name, f"reaction {settings.name}", takes="event")

    def send(self, events: Sequence[Event]) -> list[Answer]:
        """Call the function for each event. A ConnectionError or TimeoutError of its own means that it may be tried."""
        return [self._call(each) for each in events]

    def problem(self) -> str:
        """Return nothing: the function was imported."""
        return ""

    def close(self) -> None:
        """Nothing is held."""

    def _call(self, event: Event) -> Answer:
        try:
            self._function(orjson.loads(event.body))
        except (ConnectionError, TimeoutError) as error:
            return TryAgain(self._said(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001 (it is somebody else's)
            return Refused(self._said(error))
        return Accepted()

    def _said(self, error: BaseException) -> str:
        return f"function {self._name} raised {type(error).__name__} {place_of(error)}"
