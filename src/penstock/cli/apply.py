"""`penstock apply`."""

from penstock.cli.extras import not_installed
from penstock.cli.service import serve
from penstock.runtime.intervals import Intervals
from penstock.settings import Settings

_PARTS = ("penstock.delivery.topics", "penstock.kafka")


def apply(settings: Settings, intervals: Intervals) -> None:
    """Apply the changes that topics of Apache Kafka bring to the indexes, until stopped.

    Each index has a consumer group: start the command several times, and the processes share its partitions. The
    first start reads the topics from their start; later ones go on where the group is. `penstock load` copies what the
    topics no longer hold. SIGTERM and Ctrl-C stop it cleanly.
    """
    try:
        from penstock.delivery.topics import service
    except ModuleNotFoundError as error:
        raise not_installed(
            error, "penstock apply", extra="kafka", packages=("confluent_kafka",), parts=_PARTS
        ) from None

    serve("apply", service.run, settings, intervals)
