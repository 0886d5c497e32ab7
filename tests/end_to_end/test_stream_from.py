"""A worker that reads its streams from a secondary, which falls behind the primary for a while."""

import secrets
from contextlib import closing

from pymongo import MongoClient

from penstock_tools.servers.source import LocalSourceSettings, local_source
from testkit.workspace import Site, until


def test_a_worker_falls_behind_with_its_secondary_says_so_and_catches_up(tmp_path, sink_url, index_prefix):
    with (
        local_source(tmp_path, LocalSourceSettings(secondary=True)) as source,
        MongoClient(source.uri) as client,
        closing(Site(tmp_path, source.uri, sink_url, index_prefix)) as site,
    ):
        shop = client[f"own_{secrets.token_hex(4)}"]  # what another source has brought is kept by the database's name
        shop.items.insert_many([{"_id": number, "n": 0} for number in range(300)])
        site.settings(f"{shop.name}.items", source={"stream_from": "secondaryPreferred"})
        worker = site.start("run")
        site.until_equal(shop, "items")
        worker.until_live()
        client.admin.command({"penstockSource": 1, "holdSecondary": True})
        client.admin.command({"penstockSource": 1, "advanceClock": 1000})
        shop.items.update_many({"_id": {"$lt": 100}}, {"$set": {"n": 1}})
        shop.items.delete_many({"_id": {"$gte": 200}})
        until(lambda: worker.metric("penstock_lag_seconds", pipeline=shop.name) >= 999, worker.errors)
        assert site.differences(shop, "items")
        client.admin.command({"penstockSource": 1, "holdSecondary": False})
        site.until_equal(shop, "items")
        until(lambda: worker.metric("penstock_lag_seconds", pipeline=shop.name) < 20, worker.errors)
        worker.terminate()
