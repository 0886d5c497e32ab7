"""A process that ends while it starts leaves nothing behind that the next one would take for complete."""

import threading

import pytest

from penstock.connections import sink_client
from penstock.errors import Outdated
from penstock.mongo.connection import connect
from penstock.observe.metrics import Metrics
from penstock.opensearch.http.waiting import RetryForever
from penstock.opensearch.state.generations import GenerationRegistry
from penstock.opensearch.state.pipeline_state import PipelineState
from penstock.opensearch.state.store import StateStore
from penstock.planner import Planner
from penstock.settings import CollectionSettings, Settings, SinkSettings, SourceSettings
from penstock.wiring import Wiring
from penstock.worker.startup import start


class Crash(Exception):
    """The process ends here."""


@pytest.fixture
def term(site, database):
    """Begin a term that loads the collection `items` again; `meanwhile` changes the record after the plan was made."""
    namespace = f"{database.name}.items"
    database.items.insert_many([{"_id": number} for number in range(100)])
    site.settings(namespace)
    assert site.run("load").returncode == 0
    settings = Settings(
        source=SourceSettings(uri=site.source_uri),
        sink=SinkSettings(url=site.sink_url),
        collections=[CollectionSettings(namespace=namespace, index=site.index(namespace), replicas=0)],
    )
    planner, client, stop = Planner(settings), sink_client(settings), threading.Event()
    records = GenerationRegistry(StateStore(client, RetryForever(Metrics(), stop)))

    def begin(meanwhile=None):
        (plan,) = planner.plans(records.read(planner.aliases))
        if meanwhile:
            records.change(site.index(namespace), meanwhile)
        with connect(settings.source) as connection:
            adapters = Wiring(settings, connection, client, Metrics()).adapters(plan, stop)
            state = adapters.state()
            state.acquire()
            try:
                start(plan, adapters, state, again=frozenset(each.namespace for each in plan.collections))
            finally:
                state.release()

    yield begin
    client.close()


def test_a_new_position_without_its_loads_is_not_taken_for_a_complete_index(site, database, term, monkeypatch):
    database.items.delete_many({"_id": {"$lt": 50}})
    save = PipelineState.save

    def save_and_crash(self, position):
        save(self, position)
        raise Crash

    monkeypatch.setattr(PipelineState, "save", save_and_crash)
    with pytest.raises(Crash):
        term()
    assert len(site.differences(database, "items")) == 50
    worker = site.start("run")
    site.until_equal(database, "items")
    worker.terminate()


def test_a_term_on_a_generation_that_is_dropped_meanwhile_makes_no_index(site, database, term):
    index = site.index(f"{database.name}.items")
    site.ask("DELETE", f"{index}-g1")
    with pytest.raises(Outdated):
        term(lambda record: record.changed(1, role="dropping"))
    assert "error" in site.ask("GET", f"{index}-g1")
