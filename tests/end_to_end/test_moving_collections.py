"""Collections that appear later and match a pattern, and such as are gone for a while, or without a word."""

import itertools
import secrets
from contextlib import closing

import pytest
from pymongo import MongoClient

from penstock_tools.servers.source import LocalSourceSettings, local_source
from testkit.workspace import Site, until


@pytest.fixture(scope="module")
def documentdb(tmp_path_factory):
    with local_source(tmp_path_factory.mktemp("documentdb"), LocalSourceSettings(mode="documentdb-5.0")) as source:
        yield source


@pytest.fixture
def shop(documentdb):
    """A database of a DocumentDB, without enabled streams."""
    with MongoClient(documentdb.uri, tz_aware=True) as client:
        name = f"test_{secrets.token_hex(6)}"
        yield client[name]
        client.drop_database(name)


@pytest.fixture
def shop_site(tmp_path, documentdb, sink_url, index_prefix):
    with closing(Site(tmp_path, documentdb.uri, sink_url, index_prefix)) as site:
        yield site


def enable(database, *, on=True):
    database.client.admin.command({"modifyChangeStreams": 1, "database": database.name, "collection": "", "enable": on})


def any_of(site, database):
    """Settings for all collections of the database."""
    site.settings(f"{database.name}.*", index=site.index(f"{database.name}.{{collection}}"))


def kept(site, database, coll):
    return len(site.indexed(f"{database.name}.{coll}"))


def documents(*numbers, text="first"):
    return [{"_id": number, "text": text} for number in numbers]


def test_a_collection_that_appears_later_is_loaded_and_followed_without_a_loss(site, database):
    database.orders.insert_many(documents(*range(50)))
    database.plain.insert_many(documents(*range(5)))
    any_of(site, database)
    worker = site.start("run")
    worker.until_live()
    site.until_equal(database, "orders", "plain")
    later = database.later
    later.insert_many(documents(*range(300)))
    edits = itertools.count()

    def loaded_while_it_is_edited():
        number = next(edits)
        later.insert_one({"_id": 1000 + number})
        later.update_one({"_id": number % 300}, {"$set": {"text": str(number)}})
        later.delete_one({"_id": 900 + number})
        return worker.lines("load ends", collection=f"{database.name}.later")

    until(loaded_while_it_is_edited, "load ends")
    later.delete_many({"_id": {"$lt": 100}})
    database.orders.delete_one({"_id": 7})
    site.until_equal(database, "orders", "plain", "later")
    worker.terminate()
    later.insert_one({"_id": 500})
    database.while_away.insert_many(documents(1, 2))
    worker = site.start("run")
    worker.until_logged("load ends")
    site.until_equal(database, "orders", "plain", "later", "while_away")
    assert {each["collection"] for each in worker.lines("load ends")} == {f"{database.name}.while_away"}


def test_a_pipeline_that_begins_anew_with_another_collection_counts_on(site, database):
    database.orders.insert_many(documents(1, 2))
    any_of(site, database)
    worker = site.start("run")
    worker.until_live()
    database.orders.insert_many(documents(3, 4, 5))

    def read():
        return site.state(database.name)["status"].get("counts", {}).get("read")

    until(lambda: read() == 3, read)
    database.later.insert_many(documents(1, 2))
    worker.until_logged("load ends", collection=f"{database.name}.later")
    database.orders.insert_one({"_id": 6})
    site.until_equal(database, "orders", "later")
    until(lambda: (read() or 0) >= 4, read)
    worker.terminate()


def test_what_was_found_is_remembered_when_it_is_gone(site, database):
    database.orders.insert_many(documents(1, 2))
    database.kept.insert_many(documents(1))
    any_of(site, database)
    worker = site.start("run")
    site.until_equal(database, "orders", "kept")
    worker.terminate()
    database.orders.drop()
    worker = site.start("run")
    worker.until_logged("collection gone, documents kept", collection=f"{database.name}.orders")
    assert "dropped" in site.run("status").stdout
    worker.terminate()
    database.orders.insert_one({"_id": 3})
    site.start("run")
    site.until_equal(database, "orders", "kept")
    assert site.run("verify").returncode == 0


def test_a_collection_that_cannot_be_served_is_told_of_and_the_others_go_on(site, database):
    database.orders.insert_many(documents(1))
    any_of(site, database)
    worker = site.start("run")
    worker.until_live()
    database["Orders"].insert_many(documents(2))
    line = worker.until_logged("collection matches a pattern but cannot be indexed")
    assert f"{database.name}.orders and {database.name}.Orders would share the index" in line["reason"]
    database.orders.insert_one({"_id": 3})
    site.until_equal(database, "orders")
    done = site.run("check")
    assert done.returncode == 0
    assert "matches a pattern but cannot be indexed" in " ".join(done.stdout.split())
    assert f"{database.name}.Orders is not served" in " ".join(site.run("status").stdout.split())


def test_nothing_matches_yet(site, database):
    any_of(site, database)
    worker = site.start("run")
    worker.until_logged("nothing matches the patterns yet")
    database.first.insert_many(documents(1, 2))
    site.until_equal(database, "first")


def test_a_pattern_on_documentdb_needs_the_whole_database_enabled_and_finds_what_is_made_later(shop_site, shop):
    shop.orders.insert_many(documents(1, 2))
    any_of(shop_site, shop)
    done = shop_site.run("run")
    assert done.returncode == 4
    assert f'modifyChangeStreams: 1, database: "{shop.name}", collection: "", enable: true' in done.stderr
    done = shop_site.run("check")
    assert done.returncode == 4
    assert f"all of {shop.name}: change stream" in done.stdout
    enable(shop)
    assert f"{shop.name}.*: matches 1 collection at present" in shop_site.run("check").stdout
    shop_site.start("run").until_live()
    shop.later.insert_many(documents(*range(50)))
    shop_site.until_equal(shop, "orders", "later")
    shop.later.delete_one({"_id": 7})
    shop_site.until_equal(shop, "later")


@pytest.mark.parametrize(("on_drop", "left"), [("keep", 10), ("empty", 0)])
def test_what_is_gone_without_a_word_in_the_stream_is_found_by_comparing(shop_site, shop, on_drop, left):
    enable(shop)
    shop.orders.insert_many(documents(*range(10)))
    shop.others.insert_many(documents(1))
    shop_site.settings(f"{shop.name}.orders", f"{shop.name}.others", on_drop=on_drop)
    worker = shop_site.start("run")
    worker.until_live()
    shop_site.until_equal(shop, "orders", "others")
    enable(shop, on=False)
    shop.orders.drop()
    worker.until_logged("collection gone, documents kept", by="not found")
    enable(shop)
    if on_drop == "empty":
        worker.until_logged("collection stayed away, index emptied")
    assert kept(shop_site, shop, "orders") == left
    shop.orders.insert_many(documents(5, 50, text="second"))
    shop_site.until_equal(shop, "orders", "others")


def test_a_collection_that_is_back_within_its_grace_period_is_reconciled(site, database):
    database.items.insert_many(documents(*range(300)))
    site.settings(f"{database.name}.items", on_drop="empty", drop_grace_s=600)
    worker = site.start("run")
    worker.until_live()
    database.items.drop()
    worker.until_logged("collection gone, documents kept", emptied_after_s=600)
    assert kept(site, database, "items") == 300
    database.items.insert_many(documents(*range(290, 310), text="second"))
    worker.until_logged("load ends", swept=290)
    site.until_equal(database, "items")


def test_the_grace_period_goes_on_while_no_worker_runs(site, database):
    database.items.insert_many(documents(*range(30)))
    site.settings(f"{database.name}.items", on_drop="empty", drop_grace_s=8)
    worker = site.start("run")
    worker.until_live()
    database.items.drop()
    worker.until_logged("collection gone, documents kept")
    empty_at = site.load_state(f"{database.name}.items")["empty_at"]
    worker.terminate()
    assert kept(site, database, "items") == 30
    worker = site.start("run")
    assert site.load_state(f"{database.name}.items")["empty_at"] == empty_at, "it does not begin anew"
    worker.until_logged("collection stayed away, index emptied", documents=30)
    assert kept(site, database, "items") == 0
    database.items.insert_many(documents(1, 2, text="second"))
    site.until_equal(database, "items")
