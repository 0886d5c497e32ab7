"""One cursor: stands by until it is its turn, captures for a term, and begins again."""

import threading
import time
from dataclasses import dataclass, field

import structlog

from penstock.capture.collections import CursorSettings
from penstock.capture.report import CaptureReport
from penstock.capture.term import CaptureTerm, TermOver
from penstock.errors import LeaseLost, ReadAgain, Stopped
from penstock.kafka.log import marks_topic_of
from penstock.kafka.member import Member, Term
from penstock.kafka.own_topics import OwnTopics
from penstock.mongo.connection import Connection
from penstock.observe.health import Health
from penstock.observe.metrics import Metrics
from penstock.runtime.backoff import Backoff
from penstock.runtime.intervals import Intervals
from penstock.runtime.threads import ChildEvent, side_by_side

log = structlog.get_logger(__name__)

_LASTED_S = 60.0
"""After a term of this length its end has nothing to do with that of the one before."""


@dataclass
class CaptureCursor:
    """The share of this process in one cursor: of all processes, the one that has the marks' partition captures."""

    cursor: CursorSettings
    connection: Connection
    metrics: Metrics
    health: Health | None
    intervals: Intervals
    report: CaptureReport = field(init=False)

    def __post_init__(self) -> None:
        self.report = CaptureReport(self.cursor.name, self.metrics, self.health)

    def keep_capturing(self, stop: threading.Event) -> None:
        """Take part until `stop` is set; raises what ends it for good."""
        done = ChildEvent(stop)

        def capture() -> None:
            self._capture(done)
            done.set()

        self.metrics.begin("capture", self.cursor.name)
        side_by_side(done, capture, lambda: self._keep_reporting(done))

    def _capture(self, stop: threading.Event) -> None:
        settings = self.cursor.settings.log
        marks = marks_topic_of(settings.prefix, self.cursor.db, self.cursor.own)
        pause = Backoff(stop, first_s=0.1)
        while not stop.is_set():
            try:
                OwnTopics(settings).make_marks(marks)
                break
            except ReadAgain as away:
                self._say(away)
                pause.wait()
        with Member(settings, f"{marks}.capture", [marks], stop=stop, reads=False) as member:
            while not stop.is_set():
                self.report.enter("standby")
                term, began = member.next_term(), time.monotonic()
                try:
                    self._term(term)
                except TermOver:
                    pause.reset()
                except (LeaseLost, ReadAgain) as over:
                    self._say(over)
                    term.ending.set()
                    term.done.set()
                    if time.monotonic() - began > _LASTED_S:
                        pause.reset()
                    pause.wait()
                except Stopped:
                    continue
                finally:
                    term.ending.set()
                    term.done.set()

    def _say(self, over: LeaseLost | ReadAgain) -> None:
        log.warning("capture begins again", capture=self.cursor.name, reason=str(over))
        self.metrics.count("penstock_capture_restarts_total", capture=self.cursor.name)

    def _term(self, term: Term) -> None:
        CaptureTerm(
            self.cursor, self.connection, self.metrics, self.report, self.intervals, term.ending, term.assert_held
        ).run()

    def _keep_reporting(self, stop: threading.Event) -> None:
        while not stop.wait(self.intervals.report_s):
            self.report.report()
