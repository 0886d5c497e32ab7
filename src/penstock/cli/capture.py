"""`penstock capture`."""

from penstock.cli.extras import not_installed
from penstock.cli.service import serve
from penstock.runtime.intervals import Intervals
from penstock.settings import Settings

_PARTS = ("penstock.capture", "penstock.kafka")


def capture(settings: Settings, intervals: Intervals) -> None:
    """Capture the changes of the source into topics of Apache Kafka, for `penstock apply`, until stopped.

    Needs `[log] own_topics`, and no OpenSearch. Start the command several times: one process captures, the others stand
    by. Changes are written in transactions, each once. SIGTERM and Ctrl-C stop it cleanly.
    """
    try:
        from penstock.capture import service
    except ModuleNotFoundError as error:
        raise not_installed(
            error, "penstock capture", extra="kafka", packages=("confluent_kafka",), parts=_PARTS
        ) from None

    serve("capture", service.run, settings, intervals)
