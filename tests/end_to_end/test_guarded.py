"""Documents whose fields do not go together: they are loaded and followed, and what became of them can be seen."""

import json

from testkit.workspace import Site, until


def test_a_worker_goes_on_through_conflicts_and_a_full_index(site: Site, database) -> None:
    """Both in the load and in the stream; without a policy, each of these would be a dead letter."""
    database.items.insert_many([{"_id": number, "at": {"x": number} if number % 2 else number} for number in range(40)])
    database.items.insert_one({"_id": "mixed", "tags": [1, "two"]})
    namespace = f"{database.name}.items"
    site.settings(namespace, conflicts={"at": "leave-out"}, max_fields=50)
    worker = site.start("run")
    worker.until_live()
    assert site.indexed(namespace)["n:2"] == {"_penstock": {"left_out": ["at"]}}
    assert site.indexed(namespace)["n:3"] == {"at": {"x": 3}}
    assert worker.metric("penstock_second_attempts_total", reason="field") == 20
    database.items.insert_one({"_id": "wide", "attributes": {f"key {number}": number for number in range(60)}})
    database.items.update_one({"_id": 3}, {"$set": {"at": "soon"}})
    until(lambda: site.indexed(namespace).get("n:3") == {"_penstock": {"left_out": ["at"]}}, "the last change")
    until(lambda: len(site.indexed(namespace).get("wide", {}).get("attributes", {})) == 60, "the wide document")
    worker.until_logged("the index has as many fields as max_fields allows: new ones are not searchable")
    assert site.letters(database) == []
    worker.terminate()
    again = site.start("run")
    again.until_live()
    until(lambda: again.metric("penstock_index_fields", index=f"{site.index(namespace)}-g1") == 8, "the fields")


def test_check_warns_before_an_index_is_full_and_names_the_widest_objects(site: Site, database) -> None:
    database.items.insert_many(
        [{"_id": day, "visits": {f"day-{day}-{each}": 1 for each in range(10)}} for day in range(9)]
    )
    namespace = f"{database.name}.items"
    site.settings(namespace, max_fields=100)
    assert site.run("load").returncode == 0

    def fields(**settings) -> dict:
        site.settings(namespace, **settings)
        done = site.run("check", "--json")
        assert done.returncode == 0, done.stdout
        return next(each for each in json.loads(done.stdout) if each["subject"].endswith(": fields"))

    found = fields(max_fields=100)
    assert (found["verdict"], found["detail"]) == (
        "warning",
        "95 of 100; soon new fields will not be searchable; objects with the most fields: visits (90)",
    )
    assert "flat_object" in found["todo"]
    assert "dead letters" in fields(max_fields=100, when_full="dead-letter")["detail"]
    site.settings(namespace, max_fields=200)
    assert site.run("load").returncode == 0
    assert fields(max_fields=200)["verdict"] == "ok"
