"""All cursors of the settings in one process. Of several processes with the same settings, one captures each."""

import threading
from functools import partial

from penstock.capture.collections import CursorSettings, cursors_of
from penstock.capture.cursor import CaptureCursor
from penstock.capture.sign_of_life import given
from penstock.connections import source_connection
from penstock.errors import SourceUnavailable
from penstock.kafka.connection import require_brokers
from penstock.model import Namespace
from penstock.mongo.connection import Connection
from penstock.mongo.obstacles import not_enabled, obstacle_to
from penstock.mongo.retrying import ask
from penstock.observe.health import Health
from penstock.observe.metrics import Metrics
from penstock.runtime.intervals import INTERVALS, Intervals
from penstock.runtime.threads import ChildEvent, side_by_side
from penstock.settings import Settings


def run(
    settings: Settings,
    *,
    stop: threading.Event,
    metrics: Metrics,
    health: Health | None = None,
    intervals: Intervals = INTERVALS,
) -> None:
    """Capture until `stop` is set. Raises SettingsError, PositionLost, SourceUnavailable, SystemicFault."""
    cursors = cursors_of(settings)
    require_brokers(settings.log, stop)
    with source_connection(settings.source, stop=stop) as connection:
        for each in cursors:
            _require_streams(connection, each, stop)
        done = ChildEvent(stop)
        captures = [CaptureCursor(each, connection, metrics, health, intervals) for each in cursors]
        with given(settings, [each.report for each in captures], metrics, intervals, stop):
            side_by_side(done, *(partial(each.keep_capturing, done) for each in captures))


def _require_streams(connection: Connection, cursor: CursorSettings, stop: threading.Event) -> None:
    """Make sure that what is declared has a change stream, also a collection that is made later."""
    for each in cursor.settings.collections:
        name = Namespace.named(each.namespace)
        if each.is_pattern:
            obstacle = ask(connection, stop, not_enabled, Namespace(name.db, ""))
        else:
            obstacle = ask(connection, stop, obstacle_to, name)
        if obstacle and not obstacle.passes:
            raise SourceUnavailable(f"{each.namespace}: {obstacle.cause}.", f"{obstacle.todo.capitalize()}.")
