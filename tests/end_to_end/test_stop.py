"""A stop is quick in every state, also when a server no longer answers: Kubernetes kills after 30 s."""

import signal
import time
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from penstock.cli.signals import TERMINATED
from testkit.tcp_proxy import Proxy
from testkit.workspace import Site, until

DOCUMENTS = 2000
WITHIN_S = 25
"""It takes 3 s when the source hangs, 6 when OpenSearch does; a busy machine is slower."""


@pytest.fixture
def proxies(source_client, source_uri, sink_url):
    """Ways to the source and to the index that can hang."""
    if "@" in source_uri or "tls" in source_uri:
        pytest.skip("a server with a login or TLS cannot be reached through the proxy")
    source_client.admin.command("ping")
    index = urlsplit(sink_url)
    with Proxy(source_client.primary) as to_source, Proxy((index.hostname, index.port)) as to_index:
        yield {"source": to_source, "index": to_index}


@pytest.fixture
def databases(database):
    """Three, so that there are three pipelines."""
    others = [database.client[f"{database.name}_{name}"] for name in ("loading", "waiting")]
    yield [database, *others]
    for each in others:
        each.client.drop_database(each.name)


@pytest.fixture
def place(tmp_path, source_uri, sink_url, index_prefix, proxies):
    """Make a folder with settings for one collection, whose commands go through the proxies."""
    made = []

    def place(name, namespace, **pipeline):
        folder = tmp_path / name
        folder.mkdir()
        site = Site(folder, source_uri, sink_url, f"{index_prefix}{name}-")
        made.append(site)
        site.source_uri = f"mongodb://127.0.0.1:{proxies['source'].port}/?directConnection=true"
        site.sink_url = f"http://127.0.0.1:{proxies['index'].port}"
        site.settings(namespace, pipeline={"lease_s": 10, **pipeline})
        site.sink_url = sink_url
        return site

    yield place
    for each in made:
        with closing(each):
            pass


def live_with_a_standby_and_commands(place, database):
    """A worker that is live, its standby, a verify and a reindex that have begun."""
    database.items.insert_one({"_id": "first"})
    namespace = f"{database.name}.items"
    site = place("live", namespace, load_rate=10)
    worker = site.start("run")
    worker.until_live()
    database.items.insert_many([{"_id": number} for number in range(DOCUMENTS)])
    site.until_equal(database, "items")
    standby = site.start("run")
    standby.until_logged("standby: another worker holds the lease")
    verify = site.start("verify", namespace, "--rate", "10")
    reindex = site.start("reindex", namespace, "--force")  # the worker or this loads the new index: at that rate
    begun = f"verify/{namespace}/{site.index(namespace)}-g1"
    until(
        lambda: site.ask("POST", "penstock-state/_mget", {"ids": [begun]})["docs"][0]["found"], "the verify has begun"
    )
    until(lambda: "g2" in str(site.ask("GET", f"{site.index(namespace)}-g*")), "the new index is there")
    return {worker: 0, standby: 0, verify: TERMINATED, reindex: TERMINATED}


def loading(place, database):
    database.items.insert_many([{"_id": number} for number in range(DOCUMENTS)])
    worker = place("loading", f"{database.name}.items", load_rate=10).start("run")
    worker.until_logged("load begins")
    return {worker: 0}


def waiting(place, database):
    """The index takes no writes, neither of the load nor of the stream."""
    database.items.insert_many([{"_id": number} for number in range(DOCUMENTS)])
    namespace = f"{database.name}.items"
    site = place("waiting", namespace, load_rate=500)
    worker = site.start("run")
    worker.until_logged("load begins")
    site.ask("PUT", f"{site.index(namespace)}-g1/_settings", {"index.blocks.write": True})
    worker.until_logged("waiting for the index")
    return {worker: 0}


@pytest.mark.parametrize("hanging", ["source", "index"])
def test_a_stop_is_quick_in_every_state_when_a_server_hangs(place, databases, proxies, hanging):
    running = {}
    for begin, of_its_own in zip((live_with_a_standby_and_commands, loading, waiting), databases, strict=True):
        running |= begin(place, of_its_own)
    proxies[hanging].hang()
    for worker in running:
        assert worker.process.exitcode is None, worker.errors
        worker.signal(signal.SIGTERM)
    began = time.monotonic()
    for worker, code in running.items():
        assert worker.end() == code, worker.errors
    assert time.monotonic() - began < WITHIN_S


@pytest.mark.parametrize("hanging", ["source", "index"])
def test_a_stop_is_quick_at_the_start_too(place, database, proxies, hanging):
    database.items.insert_one({"_id": 1})
    site = place("starting", f"{database.name}.items")
    proxies[hanging].hang()
    worker = site.start("run")
    worker.until_logged("run begins")
    worker.signal(signal.SIGTERM)
    began = time.monotonic()
    worker.killed = True
    worker.end()
    assert time.monotonic() - began < WITHIN_S


def test_a_lease_is_released_although_the_source_hangs(place, database, proxies):
    database.items.insert_one({"_id": 1})
    site = place("live", f"{database.name}.items")
    worker = site.start("run")
    worker.until_live()
    proxies["source"].hang()
    worker.terminate()
    assert site.state(database.name)["released"]
