"""How everything stands, for all viewers: one who looks, again and again, while somebody has a page open.

What takes a question for each collection, or many numbers for each pipeline, is asked in the background.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from penstock.errors import PenstockError
from penstock.operations.status.history import History, Span, histories
from penstock.operations.status.report import Status
from penstock.operations.status.watch import StatusWatch
from penstock.runtime.intervals import Intervals
from penstock.settings import Settings

log = structlog.get_logger(__name__)

_FIRST_COUNTS_WITHIN_S: Final = 2.0
"""How long the first look waits for what is counted in the background."""

_REST: Final = 9
"""How many times as long as a count it rests after it: it takes a tenth of the time at most."""

_AT_ONCE: Final = 20
"""Pipelines whose samples are read by one request."""


@dataclass
class Everything:
    """Looks by `settings` as they are now; one thread at a time asks it, as `Looks` sees to."""

    settings: Callable[[], Settings]
    tables: Sequence[str]
    intervals: Intervals
    _watch: StatusWatch | None = None
    _lags: Mapping[str, History] = field(default_factory=dict)
    _counting: threading.Thread | None = None
    _next_at: float | None = None
    """When to count again; None: at once, and the look waits for it."""

    def look(self) -> Status:
        """Look at everything. Raises SettingsError, SinkUnavailable."""
        watch = self.watch
        self._count_in_background(watch)
        return watch.look()

    @property
    def watch(self) -> StatusWatch:
        """The one that looks, over one connection; another one where there are other collections now."""
        settings, watch = self.settings(), self._watch
        if watch is None or watch.settings.collections != settings.collections:
            before, self._watch, self._next_at = watch, StatusWatch(settings, self.tables, self.intervals), None
            watch = self._watch
            if before is not None:
                before.close()
        return watch

    @property
    def lags(self) -> Mapping[str, History]:
        """The lag of the last hour of each pipeline, as it was read last."""
        return self._lags

    def history(self, pipeline: str, span: Span) -> History:
        """Return the history of one pipeline or reaction. Raises SinkUnavailable."""
        return histories(self.watch.view.states, [pipeline], span)[pipeline]

    def _count_in_background(self, watch: StatusWatch) -> None:
        if self._counting and self._counting.is_alive():
            return
        is_first = self._next_at is None
        if self._next_at is None or time.monotonic() >= self._next_at:
            self._counting = threading.Thread(target=self._count, args=[watch], name="penstock-counts", daemon=True)
            self._counting.start()
            if is_first:
                self._counting.join(_FIRST_COUNTS_WITHIN_S)

    def _count(self, watch: StatusWatch) -> None:
        began = time.monotonic()
        try:
            watch.refresh()
            names = list(watch.pipelines)
            found: dict[str, History] = {}
            for start in range(0, len(names), _AT_ONCE):
                found |= histories(watch.view.states, names[start : start + _AT_ONCE], "1h", only=("lag_s",))
            self._lags = found
        except PenstockError as error:
            log.info("could not count in the background", reason=str(error))
        now = time.monotonic()
        self._next_at = now + max(self.intervals.console_counts_s, _REST * (now - began))
