"""Who takes part in a consumer group, for who looks once: what a process wrote counts as long as it goes on writing."""

import time

import pytest

from penstock.opensearch.state.store import StateStore
from penstock.opensearch.state.workers import WorkerState
from penstock.operations.status.status import status
from penstock.settings.reading import read_settings
from testkit.sink_access import side
from testkit.workspace import FAST, Site, meanwhile

TOPICS = {"cdc.items": {"0": 3, "1": 4}}


@pytest.fixture
def settings(site: Site, database):
    namespace = f"{database.name}.items"
    database.create_collection("items")
    site.settings(
        namespace,
        pipeline={"name": database.name},
        topics=[{"topic": "cdc.items", "collection": namespace, "form": "keys"}],
    )
    return read_settings(file=site.folder / "penstock.toml", environ={})


def report(pipeline: str) -> dict:
    return {
        "host": "host",
        "pid": 7,
        "version": "1",
        "started_at": time.time(),
        "pipelines": {pipeline: "live"},
        "shares": {pipeline: {"topics": TOPICS, "lag_s": 2.0}},
        "waiting": "",
        "memory_bytes": None,
        "cpu": None,
    }


def test_a_process_that_goes_on_writing_feeds_and_one_that_does_not_is_gone(settings, database, sink_url) -> None:
    with side(sink_url) as opened:
        member = WorkerState(StateStore(opened.client, opened.patience), database.name, f"member/{database.name}")
        its = report(f"{database.name}/{database.name}.items")

        def beat(stop) -> None:
            while not stop.wait(0.1):
                member.beat(its)

        member.beat(its)
        with meanwhile(beat):
            (line,) = status(settings, intervals=FAST).collections
        assert [(each.host, each.pid, each.partitions, each.behind) for each in line.members] == [("host", 7, 2, 7)]
        assert (line.state, line.lag_s, line.records_behind) == ("live", 2.0, 7)
        (line,) = status(settings, intervals=FAST).collections
        assert (line.state, line.members, line.records_behind) == ("waiting", [], None)
        member.leave()
