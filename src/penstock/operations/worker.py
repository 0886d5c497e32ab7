"""The worker: all pipelines of the settings in one process.

run     load where needed, then follow the changes until told to stop
load    the loads alone
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from penstock.build import Adapters, Plan, plans, sink_client, source_connection
from penstock.errors import PenstockError, Stopped
from penstock.health import Health
from penstock.metrics import Metrics
from penstock.mongo.connection import Connection
from penstock.opensearch.server import require_server
from penstock.operations.following import Following
from penstock.operations.progress import LoadResult, NoProgress, Progress
from penstock.operations.standing import Standing
from penstock.settings import Settings
from penstock.side_by_side import side_by_side


def run(
    settings: Settings,
    *,
    stop: threading.Event,
    metrics: Metrics,
    health: Health | None = None,
    progress: Progress | None = None,
) -> None:
    """Serve all collections until `stop` is set. One pipeline that fails for good ends the others, cleanly.

    Raises SettingsError, PositionLost, SourceUnavailable, SinkUnavailable, SystemicFault.
    """
    progress = progress or NoProgress()
    with _followings(settings, metrics=metrics, health=health, progress=progress) as followings:
        side_by_side(
            stop,
            *(partial(_follow, each, stop, health) for each in followings),
            *(partial(each.tell, stop) for each in followings),
        )


def _follow(following: Following, stop: threading.Event, health: Health | None) -> None:
    try:
        following.follow(stop)
    except Stopped:
        raise
    except PenstockError as error:
        if health:
            health.stopped(following.plan.name, str(error))
        raise


def load(
    settings: Settings,
    *,
    stop: threading.Event,
    metrics: Metrics,
    progress: Progress,
    only: frozenset[str],
    again: bool = False,
) -> list[LoadResult]:
    """Load those collections of `only` that are not loaded yet; with `again` all of them, removing what is gone.

    The position of each stream is saved first, so that `run` goes on from there. Answers fewer results when `stop`
    ended it; the next load goes on where this one was.
    """
    with _followings(settings, metrics=metrics, health=None, progress=progress) as followings:
        return [result for each in followings for result in each.load_once(stop, only, again=again)]


@contextmanager
def _followings(
    settings: Settings, *, metrics: Metrics, health: Health | None, progress: Progress
) -> Iterator[list[Following]]:
    planned = plans(settings)
    client = sink_client(settings, connections=4 + len(planned) * (settings.sink.requests_in_flight * 2 + 2))

    def following(plan: Plan, connection: Connection) -> Following:
        def adapters(stop: threading.Event) -> Adapters:
            return Adapters(
                settings, plan, connection=connection, client=client, metrics=metrics, stop=stop, leased=True
            )

        standing = Standing(plan.name, metrics, health)
        return Following(plan, adapters, settings.pipeline.lease_s, metrics, standing, progress)

    try:
        require_server(client)
        with source_connection(settings.source) as connection:
            yield [following(plan, connection) for plan in planned]
    finally:
        client.close()
