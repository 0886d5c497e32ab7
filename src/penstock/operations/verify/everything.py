"""The verify of the declared collections, one after the other."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing

from penstock.connections import sink_client, source_connection
from penstock.errors import SettingsError
from penstock.observe.metrics import Metrics
from penstock.opensearch.http.requests import require_server
from penstock.opensearch.http.waiting import RetryForever
from penstock.opensearch.state.generations import GenerationRegistry
from penstock.opensearch.state.store import StateStore
from penstock.operations.verify.findings import Verified
from penstock.operations.verify.generation import VerifyListener, VerifyOptions, verify
from penstock.planner import Planner
from penstock.settings import Settings
from penstock.wiring import Adapters


def verify_all(
    settings: Settings,
    how: VerifyOptions,
    *,
    only: frozenset[str],
    stop: threading.Event,
    telling: Callable[[str], VerifyListener],
) -> Iterator[Verified]:
    """Verify those collections of `only`, and yield what became of each; `telling` is asked for each of them.

    Raises SettingsError for one without an index, and what `verify` raises.
    """
    planner, metrics = Planner(settings), Metrics()
    with closing(sink_client(settings)) as client:
        require_server(client)
        with source_connection(settings.source) as connection:
            records = GenerationRegistry(StateStore(client, RetryForever(metrics, stop))).read(planner.aliases)
            for plan in planner.plans(records):
                adapters = Adapters(settings, plan, connection=connection, client=client, metrics=metrics, stop=stop)
                for each in plan.collections:
                    name = str(each.namespace)
                    if name not in only or not each.serves:
                        continue
                    generation = adapters.indexes.serving(each.settings)
                    if generation is None:
                        raise SettingsError(
                            f"[[collections]] {name}: there is no index {each.settings.alias} to verify."
                            " `penstock load` or `penstock run` makes it."
                        )
                    yield verify(adapters, each, generation, how, stop=stop, telling=telling(name))
