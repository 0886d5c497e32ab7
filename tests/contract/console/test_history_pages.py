"""The pages of a collection and of the workers, over HTTP, on real servers."""

import json
import os
import re
import socket
import time
from pathlib import Path

import pytest

from penstock.opensearch.state.samples import SampleRing
from penstock.opensearch.state.store import StateStore
from penstock.opensearch.state.workers import WorkerState
from penstock.settings.reading import read_settings
from testkit.console_client import ConsoleClient, served_console
from testkit.sink_access import side
from testkit.workspace import Site, until


@pytest.fixture
def namespace(site: Site, database, penstock) -> str:
    """A collection of ten documents that was loaded, and is followed by nobody."""
    database.items.insert_many([{"_id": number, "text": "<script>alert(1)</script>"} for number in range(10)])
    site.settings(f"{database.name}.items")
    assert penstock("load").returncode == 0
    return f"{database.name}.items"


@pytest.fixture
def store(sink_url):
    with side(sink_url) as opened:
        yield StateStore(opened.client, opened.patience)


@pytest.fixture
def console(site: Site, namespace: str, tmp_path: Path):
    settings = read_settings(file=site.folder / "penstock.toml", environ={})
    with served_console(settings, tmp_path) as served:
        yield served


def text(console: ConsoleClient, path: str) -> str:
    answer = console.get(path)
    assert answer.status == 200, answer.data
    return console.text(answer)


def keep_samples(store: StateStore, pipeline: str) -> float:
    """Ten samples in a row, then two minutes without any, then one; return when the first was taken."""
    ring, began = SampleRing(store, pipeline, epoch=10**6, may_write=lambda: True), time.time() - 300
    for number in [*range(10), 22]:
        at = began + 10 * number
        ring.add({"at": at, "for_s": 10, "lag_s": 0.5 * number, "written": 20 * number, "write_p99_ms": 40})
    ring.write()
    return began


def test_a_collection_with_its_history_is_read_without_a_script(console, namespace, database, store) -> None:
    assert "No samples in the last 15 minutes" in text(console, f"/collections/{namespace}")
    began = keep_samples(store, database.name)

    def drawn() -> str:
        page = text(console, f"/collections/{namespace}")
        return page if "no worker kept samples for 130 s" in page else ""

    page = until(drawn, "the samples are on the page")
    assert re.search(r'<path class="line-1" d="M[\d.]+ [\d.]+L', page)
    assert f"{namespace}-g1" in page.replace(site_index(page, namespace), namespace)
    assert "has stopped: no worker is running" in page
    assert "<script>alert" not in page
    assert "style=" not in page
    numbers = json.loads(text(console, f"/collections/{namespace}/history.json?span=15m"))
    assert round(numbers["at"][0]) == round(began)
    assert numbers["columns"]["written"][:3] == [0, 2, 4]
    assert json.loads(text(console, f"/collections/{namespace}/history.json?span=<b>"))["since"] > 0
    for span in ("6h", "7d"):
        assert "in the last" in text(console, f"/collections/{namespace}?span={span}")
    assert any("standing" in each for each in console.events(f"/collections/{namespace}", 1))


def site_index(page: str, namespace: str) -> str:
    """The alias of the collection, which has the tests' prefix."""
    found = re.search(rf"[\w.-]*{re.escape(namespace)}(?=-g1)", page)
    assert found
    return found[0]


def test_an_unknown_collection_is_named_and_nothing_is_shown_without_a_log_in(console, namespace) -> None:
    answer = console.get("/collections/shop.%3Cb%3Enone")
    assert answer.status == 400
    assert "shop.&lt;b&gt;none is not a declared collection" in console.text(answer)
    assert console.get("/collections/shop.none/history.json").status == 404
    nobody = ConsoleClient(console.address)
    for path in (f"/collections/{namespace}", f"/collections/{namespace}/history.json", "/workers"):
        answer = nobody.get(path)
        assert answer.status in (302, 303, 401)
        assert namespace not in answer.data.decode()


def test_a_worker_that_gives_no_sign_of_life_any_more_is_named(console, namespace, database, store, site) -> None:
    page = text(console, "/workers")
    assert "No worker is running" in page
    assert f"{namespace}" in page
    name = f"{socket.gethostname()}/{os.getpid()}/test{database.name[-6:]}"
    worker = WorkerState(store, None, name)
    report = {
        "host": "<b>host",
        "pid": 7,
        "version": "1",
        "started_at": time.time(),
        "pipelines": {database.name: "live"},
        "waiting": "",
        "memory_bytes": 100 << 20,
        "cpu": 0.25,
    }

    def alive() -> bool:
        worker.beat(report)
        page = text(console, "/workers")
        return "1 worker is alive" in page and "100 MB" in page and "25 %" in page and "&lt;b&gt;host" in page

    try:
        until(alive, "it is alive")
        until(lambda: f"{name} gives no sign of life" in text(console, "/workers"), "it is silent")
    finally:
        worker.leave()
    until(lambda: "No worker is running" in text(console, "/workers"), "it has left")


def test_members_of_a_consumer_group_have_partitions_and_records_to_go(site, database, store, tmp_path) -> None:
    namespace, topic = f"{database.name}.items", f"cdc.{database.name}.items"
    site.settings(namespace, topics=[{"topic": topic, "collection": namespace, "form": "keys"}])
    settings = read_settings(file=site.folder / "penstock.toml", environ={})
    member = WorkerState(store, None, f"member/7/test{database.name[-6:]}")
    report = {
        "host": "<b>host",
        "pid": 7,
        "version": "1",
        "started_at": time.time(),
        "pipelines": {namespace: "live"},
        "shares": {namespace: {"topics": {topic: {"0": 1200, "3": 34}}, "lag_s": 4.5}},
        "waiting": "",
        "memory_bytes": 100 << 20,
        "cpu": 0.25,
    }
    with served_console(settings, tmp_path) as console:
        assert "is not fed: no process applies its topics" in text(console, "/workers")
        assert "is not fed: no process applies its topics" in text(console, f"/collections/{namespace}")

        def has_both(path: str) -> bool:
            member.beat(report)
            page = text(console, path)
            words = page.replace("<wbr>", "")
            return f'<span class="id">{topic}</span> 0, 3' in words and "1,234" in page and "&lt;b&gt;host" in page

        try:
            for path in ("/workers", f"/collections/{namespace}"):
                until(lambda at=path: has_both(at), lambda at=path: text(console, at))
        finally:
            member.leave()
