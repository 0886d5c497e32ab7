"""Both real servers: side by side, with a folder of their own, and how a failing start is told."""

import socket

import psutil
import pymongo
import pytest
import urllib3

from penstock_tools.servers.errors import LocalServerError
from penstock_tools.servers.opensearch import local_opensearch
from penstock_tools.servers.platform import Platform
from penstock_tools.servers.source import LocalSourceSettings, local_source


@pytest.fixture(scope="module")
def platforms(tmp_path_factory):
    """Two at once: one in a folder of ours, which an earlier server left a document in, one in a folder of its own."""
    folder = tmp_path_factory.mktemp("kept")
    with local_opensearch(folder) as server:
        made = call("PUT", f"{server.url}/kept/_doc/1", json={"a": 1})
        assert made.status == 201, made.data
    with Platform(folder) as kept, Platform() as passing:
        yield kept, passing


@pytest.fixture
def busy_port():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def call(method, url, **request):
    with urllib3.PoolManager() as http:
        return http.request(method, url, timeout=30, retries=False, **request)


def test_two_platforms_do_not_see_each_other(platforms):
    addresses = {address for each in platforms for address in (each.source.uri, each.opensearch.url)}
    assert len(addresses) == 4
    made = call("PUT", f"{platforms[0].opensearch.url}/only-here")
    assert made.status == 200, made.data
    assert call("HEAD", f"{platforms[1].opensearch.url}/only-here").status == 404
    with pymongo.MongoClient(platforms[0].source.uri) as first, pymongo.MongoClient(platforms[1].source.uri) as second:
        first.only.here.insert_one({"_id": 1})
        assert second.list_database_names() != first.list_database_names()
        assert second.only.here.find_one() is None


def test_logs_and_indexes_live_under_the_folder(platforms):
    kept, _ = platforms
    assert {path.name for path in kept.folder.iterdir()} == {"logs", "opensearch"}
    assert {path.name for path in (kept.folder / "logs").iterdir()} == {"opensearch.log", "source.log"}


def test_the_language_analyzers_are_there(platforms):
    answer = call(
        "POST",
        f"{platforms[1].opensearch.url}/_analyze",
        json={"analyzer": "french", "text": "les maisons bleues"},
    )
    assert [token["token"] for token in answer.json()["tokens"]] == ["maison", "bleu"]


def test_a_busy_port_is_named_before_anything_starts(busy_port, tmp_path):
    with (
        pytest.raises(LocalServerError, match=f"OpenSearch cannot use port {busy_port} .*in use"),
        local_opensearch(tmp_path, port=busy_port),
    ):
        pass
    with (
        pytest.raises(LocalServerError, match=f"The local source cannot use port {busy_port} .*in use"),
        local_source(tmp_path, LocalSourceSettings(port=busy_port)),
    ):
        pass


def test_a_chosen_port_is_used(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with local_source(tmp_path, LocalSourceSettings(port=port)) as source:
        assert f"127.0.0.1:{port}/" in source.uri


def test_a_failing_start_shows_the_servers_own_words_and_leaves_nothing(tmp_path):
    before = psutil.Process().children(recursive=True)
    with (
        pytest.raises(LocalServerError, match=r"(?s)OpenSearch ended while starting.*opensearch\.log.*heap"),
        Platform(tmp_path, heap="1k"),
    ):
        pass
    assert psutil.Process().children(recursive=True) == before


def test_a_folder_that_is_in_use_is_told(platforms):
    kept, _ = platforms
    with (
        pytest.raises(LocalServerError, match=r"(?s)OpenSearch ended while starting.*lock"),
        local_opensearch(kept.folder),
    ):
        pass


def test_indexes_in_a_given_folder_outlive_the_server(platforms):
    kept, _ = platforms
    call("GET", f"{kept.opensearch.url}/_cluster/health/kept?wait_for_status=yellow&timeout=30s")
    assert call("GET", f"{kept.opensearch.url}/kept/_doc/1").json()["_source"] == {"a": 1}
