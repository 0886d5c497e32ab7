"""`penstock capture`."""

from penstock.cli.service import serve
from penstock.runtime.extras import needs_kafka
from penstock.runtime.intervals import Intervals
from penstock.settings import Settings


def capture(settings: Settings, intervals: Intervals) -> None:
    """Capture the changes of the source into topics of Apache Kafka, for `penstock apply`, until stopped.

    Needs `[log] own_topics`, and no OpenSearch. Start the command several times: one process captures, the others stand
    by. Changes are written in transactions, each once. SIGTERM and Ctrl-C stop it cleanly.
    """
    with needs_kafka("penstock capture"):
        from penstock.capture import service

    serve("capture", service.run, settings, intervals)
