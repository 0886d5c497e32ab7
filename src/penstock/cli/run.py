"""`penstock run`."""

from penstock.cli.service import serve
from penstock.runtime.intervals import Intervals
from penstock.settings import Settings


def run(settings: Settings, intervals: Intervals) -> None:
    """Load the collections that are not loaded yet, then follow their changes until stopped.

    SIGTERM and Ctrl-C stop the worker cleanly; the next start resumes where it stopped. A second Ctrl-C ends it at
    once.
    """
    from penstock.worker import worker

    serve("run", worker.run, settings, intervals)
