"""The sign of life of a capture, in OpenSearch: `penstock status` and the console show it.

Capture needs no OpenSearch. So this has a thread and a connection of its own, nobody waits for either, and what fails
is only logged now and then.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import structlog

from penstock.capture.report import CaptureReport
from penstock.connections import sink_client
from penstock.errors import PenstockError
from penstock.observe.metrics import Metrics
from penstock.runtime.intervals import Intervals
from penstock.runtime.threads import ChildEvent
from penstock.settings import Settings
from penstock.worker.pulse import Pulse

log = structlog.get_logger(__name__)

_MAY_LEAVE_S = 2.0
"""How long the end of a process waits for OpenSearch to take it off the list."""
_AGAIN_S = 60.0


@contextmanager
def given(
    settings: Settings, reports: Sequence[CaptureReport], metrics: Metrics, intervals: Intervals, stop: threading.Event
) -> Iterator[None]:
    """Give signs of life meanwhile."""
    done = ChildEvent(stop)

    def states() -> dict[str, str]:
        return {each.pipeline: each.state for each in reports}

    def give() -> None:
        while not done.is_set():
            try:
                with closing(sink_client(settings, stop=done)) as client:
                    Pulse(
                        settings,
                        client,
                        intervals,
                        metrics,
                        states,
                        captures=lambda: {each.name: each.sign() for each in reports},
                        says_failures=True,
                    ).keep_beating(done)
            except PenstockError as error:
                log.info("status does not show this process", reason=str(error))
                done.wait(_AGAIN_S)

    thread = threading.Thread(target=give, name="sign-of-life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(_MAY_LEAVE_S)
