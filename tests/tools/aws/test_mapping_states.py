"""Where a mapping begins, what becomes of it when its stream ends, and what it shows when it cannot read."""

import json
import time

import pytest
from bson import Timestamp

from penstock_tools.aws.mapping.batch import PAYLOAD_BYTES, Batcher
from penstock_tools.aws.mapping.reader import Cluster
from penstock_tools.servers.errors import LocalServerError
from testkit.mapping_site import SECRET, MappingSite, mapping_site, open_cluster, wait_until
from testkit.tcp_proxy import Proxy


@pytest.fixture
def site(tmp_path, source_uri, database):
    with mapping_site(tmp_path, source_uri, database.name) as site:
        yield site


@pytest.fixture
def reopening(tmp_path, source_uri, database):
    with mapping_site(tmp_path, source_uri, database.name, on_invalidate="reopen") as site:
        yield site


def cluster_second(client):
    """Wait for a second of the cluster's clock in which nothing has happened yet, and answer it."""
    last = client.admin.command("ping")["operationTime"].time
    while time.time() < last + 1:
        time.sleep(0.05)
    return int(time.time())


def test_latest_begins_when_it_is_enabled(site, database):
    database.c.insert_one({"_id": 1})
    site.create(StartingPosition="LATEST")
    database.c.insert_one({"_id": 2})
    wait_until(lambda: site.function.ids != [])
    assert site.function.ids == [2]


def test_trim_horizon_begins_as_far_back_as_the_log_goes(site, database):
    database.c.insert_one({"_id": 1})
    site.create(StartingPosition="TRIM_HORIZON")  # three hours are further back than this source's log
    database.c.insert_one({"_id": 2})
    wait_until(lambda: len(site.function.ids) == 2)
    assert site.function.ids == [1, 2]


def test_trim_horizon_begins_at_the_retention(tmp_path, source_uri, source_client, database):
    database.c.insert_one({"_id": 1})
    later = cluster_second(source_client) + 1
    while time.time() < later:
        time.sleep(0.05)
    database.c.insert_one({"_id": 2})
    with mapping_site(tmp_path, source_uri, database.name, retention_s=0) as site:
        site.create(StartingPosition="TRIM_HORIZON")
        database.c.insert_one({"_id": 3})
        wait_until(lambda: 3 in site.function.ids)
        assert 1 not in site.function.ids


def test_at_timestamp_includes_its_second(site, source_client, database):
    database.c.insert_one({"_id": 1})
    cluster_second(source_client)
    begins = database.command("insert", "c", documents=[{"_id": 2}])["operationTime"].time
    database.c.insert_one({"_id": 3})
    site.create(StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=begins)
    wait_until(lambda: len(site.function.ids) >= 2)
    assert site.function.ids == [2, 3]


def test_the_first_position_is_kept(site, database):
    name = site.create(StartingPosition="TRIM_HORIZON")
    site.update(name, Enabled=False)
    database.c.insert_one({"_id": 1})
    site.begin_again()
    assert site.mappings.get(name)["State"] == "Disabled"
    site.update(name, Enabled=True)
    wait_until(lambda: site.function.ids == [1])


def test_a_drop_is_delivered_and_the_invalidate_disables(site, database):
    name = site.create()
    database.c.insert_one({"_id": 1})
    database.c.drop()
    shown = site.wait_state(name, "Disabled")
    assert "invalidated" in shown["StateTransitionReason"]
    kinds = [event["operationType"] for event in site.function.events]
    assert kinds == ["insert", "drop", "invalidate"]
    assert site.function.events[1].keys() == {"_id", "clusterTime", "ns", "operationType"}
    database.c.insert_one({"_id": 2})
    site.update(name, Enabled=True)
    wait_until(lambda: 2 in site.function.ids)
    assert site.function.ids == [1, 2]


def test_an_invalidate_is_swallowed_and_the_stream_opened_again(reopening, database):
    name = reopening.create()
    database.c.insert_one({"_id": 1})
    database.c.drop()
    database.c.insert_one({"_id": 2})
    wait_until(lambda: 2 in reopening.function.ids)
    kinds = [event["operationType"] for event in reopening.function.events]
    assert kinds == ["insert", "drop", "insert"]
    assert reopening.mappings.get(name)["State"] == "Enabled"


def test_a_source_that_is_away_is_shown_and_comes_back(tmp_path, source_uri, database):
    host = open_cluster(source_uri).uri_host
    upstream = host.rpartition(":")[0], int(host.rpartition(":")[2])
    with Proxy(upstream) as proxy:
        site = MappingSite(tmp_path, Cluster(f"127.0.0.1:{proxy.port}", None, with_user=False), database.name)
        try:
            name = site.create()
            database.c.insert_one({"_id": 1})
            wait_until(lambda: site.function.ids == [1])
            proxy.upstream = ("127.0.0.1", 1)
            proxy.cut()
            site.wait_result(name, "PROBLEM: Connection error.")
            assert site.mappings.get(name)["State"] == "Enabled"
            database.c.insert_one({"_id": 2})
            proxy.upstream = upstream
            wait_until(lambda: site.function.ids == [1, 2])
            site.wait_result(name, "OK")
        finally:
            site.mappings.close()


def test_a_secret_that_cannot_be_used_is_shown(tmp_path, source_uri, database):
    host = open_cluster(source_uri).uri_host
    site = MappingSite(tmp_path, Cluster(host, None), database.name)
    try:
        name = site.create()
        assert site.wait_result(name, "PROBLEM") == f"PROBLEM: the secret {SECRET} must contain username and password"
        other = site.create("d", SourceAccessConfigurations=[{"Type": "BASIC_AUTH", "URI": SECRET + "x"}])
        assert "cannot be read (KeyError)" in site.wait_result(other, "PROBLEM")
    finally:
        site.mappings.close()


def test_the_state_file_holds_no_document_and_no_password(site, tmp_path, database):
    name = site.create()
    database.c.insert_one({"_id": 1, "text": "hidden words"})
    site.wait_metric(name, "DeliveredEvents", 1)
    site.mappings.close()
    kept = (tmp_path / "mappings.json").read_text()
    assert "hidden" not in kept
    assert json.loads(kept)["mappings"][0]["position"]["token"]


def test_a_state_file_that_is_none_is_named(tmp_path, source_uri):
    (tmp_path / "mappings.json").write_text('{"mappings": [{"uuid": 1}]}')
    with pytest.raises(LocalServerError, match=r"mappings\.json cannot be read"):
        MappingSite(tmp_path, open_cluster(source_uri), "db")


def test_the_window_is_half_a_second_when_none_was_asked_for(site):
    name = site.create(MaximumBatchingWindowInSeconds=None)
    assert site.mappings.get(name)["MaximumBatchingWindowInSeconds"] == 0
    record = site.mappings._store.records[name]
    assert record.window_s == 0.5
    site.update(name, MaximumBatchingWindowInSeconds=0)
    assert record.window_s == 0
    site.update(name, MaximumBatchingWindowInSeconds=7)
    assert record.window_s == 7


def change(number, text=""):
    return {
        "_id": {"_data": f"{number:04}"},
        "operationType": "insert",
        "clusterTime": Timestamp(1, number),
        "documentKey": {"_id": number},
        "fullDocument": {"_id": number, "text": text},
    }


def test_what_a_batch_leaves_has_a_window_of_its_own(site):
    now = [100.0]
    batcher = Batcher("arn", batch_size=2, window_s=5, form=site.behaviour.form, clock=lambda: now[0])
    assert not batcher.due
    batcher.add(change(1))
    now[0] = 104.0
    batcher.add(change(2))
    batcher.add(change(3))
    assert batcher.take().events == 2
    now[0] = 108.9
    assert not batcher.due
    now[0] = 109.0
    assert batcher.due
    assert batcher.take().position.time == (1 << 32) | 3
    assert not batcher.due


@pytest.fixture
def payload_of(site):
    """Answer the batches that events of so many characters make, as their numbers of events and their lengths."""

    def payload_of(*characters):
        batcher = Batcher("arn", batch_size=10, window_s=0, form=site.behaviour.form)
        for number, count in enumerate(characters):
            batcher.add(change(number, "x" * count))
        batches = []
        while batcher.due:
            batches.append(batcher.take())
        return [(batch.events, batch.oversized, len(batch.payload or b"")) for batch in batches]

    return payload_of


def test_six_megabytes_are_counted_to_the_byte(payload_of):
    ((_, _, empty),) = payload_of(0)
    room = PAYLOAD_BYTES - empty
    assert payload_of(room) == [(1, 0, PAYLOAD_BYTES)]
    assert payload_of(room + 1) == [(0, 1, 0)]
    ((_, _, empty),) = payload_of(0, 0)
    room = PAYLOAD_BYTES - empty
    assert payload_of(1000, room - 1000) == [(2, 0, PAYLOAD_BYTES)]
    assert [events for events, _, _ in payload_of(1000, room - 999)] == [1, 1]
