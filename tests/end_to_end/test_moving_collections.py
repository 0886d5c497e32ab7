"""Collections that appear later and match a pattern, on a MongoDB and on a DocumentDB."""


def documents(*numbers, text="first"):
    return [{"_id": number, "text": text} for number in numbers]


def test_a_collection_that_appears_later_is_loaded_and_followed_without_a_loss(site, database):
    database.orders.insert_many(documents(*range(50)))
    database.plain.insert_many(documents(*range(5)))
    pattern = f"{database.name}.*"
    site.settings(pattern, index=site.index(f"{database.name}.{{collection}}"))
    worker = site.start("run")
    worker.until_live()
    site.until_equal(database, "orders", "plain")
    later = database.later
    later.insert_many(documents(*range(300)))
    later.delete_many({"_id": {"$lt": 100}})
    worker.until_logged("load ends", collection=f"{database.name}.later")
    for number in range(100, 200):
        later.update_one({"_id": number}, {"$set": {"text": "second"}})
    database.orders.delete_one({"_id": 7})
    site.until_equal(database, "orders", "plain", "later")
    worker.terminate()
    later.insert_one({"_id": 500})
    database.while_away.insert_many(documents(1, 2))
    worker = site.start("run")
    site.until_equal(database, "orders", "plain", "later", "while_away")
    assert {each["collection"] for each in worker.lines("load ends")} == {f"{database.name}.while_away"}


def test_what_was_found_is_remembered_when_it_is_gone(site, database):
    database.orders.insert_many(documents(1, 2))
    database.kept.insert_many(documents(1))
    site.settings(f"{database.name}.*", index=site.index(f"{database.name}.{{collection}}"))
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
    site.settings(f"{database.name}.*", index=site.index(f"{database.name}.{{collection}}"))
    worker = site.start("run")
    worker.until_live()
    database["Orders"].insert_many(documents(2))
    line = worker.until_logged("collection matches a pattern and cannot be served")
    assert f"{database.name}.orders and {database.name}.Orders would share the index" in line["reason"]
    database.orders.insert_one({"_id": 3})
    site.until_equal(database, "orders")
    done = site.run("check")
    assert done.returncode == 4
    assert "matches a pattern and cannot be served" in " ".join(done.stdout.split())


def test_nothing_matches_yet(site, database):
    site.settings(f"{database.name}.*", index=site.index(f"{database.name}.{{collection}}"))
    worker = site.start("run")
    worker.until_logged("nothing matches the patterns yet")
    database.first.insert_many(documents(1, 2))
    site.until_equal(database, "first")
