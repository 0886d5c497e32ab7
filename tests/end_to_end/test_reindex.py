"""A new index beside the one that people search: under a writer, interrupted anywhere, and given up."""

import json
import threading
from contextlib import contextmanager
from itertools import count

import orjson
import pytest

from penstock.documents.document_id import document_id
from penstock.documents.transform import Transform
from penstock.mongo.codec import CODEC
from penstock.settings import CollectionSettings
from testkit.http_relay import Said, relay
from testkit.workspace import WITHIN_S, until

NUMBERS = count(1)
AWAY = Said(503, b"{}")
KEYWORDS = {"mappings": {"properties": {"text": {"type": "keyword"}}}}


@pytest.fixture
def namespace(database):
    database.items.insert_many([{"_id": number, "text": "first", "secret": "x"} for number in range(1000)])
    database.orders.insert_many([{"_id": number, "text": "first"} for number in range(10)])
    return f"{database.name}.items"


@pytest.fixture
def moved_on(site, database, namespace):
    """Change the settings as for a new index: fewer fields, another mapping; `pipeline` settings go along."""

    def moved_on(mapping=KEYWORDS, **pipeline):
        (site.folder / "mapping.json").write_text(json.dumps(mapping))
        both = (namespace, f"{database.name}.orders")
        site.settings(*both, pipeline=pipeline, exclude=["secret"], mapping_file="mapping.json")

    return moved_on


@pytest.fixture
def worker(site, database, namespace):
    site.settings(namespace, f"{database.name}.orders", pipeline={"dead_letter_limit": 50, "lease_s": 5})
    worker = site.start("run")
    worker.until_live()
    site.ask("POST", f"{site.index(namespace)}/_refresh")
    return worker


@contextmanager
def in_threads(*works):
    """Repeat each of the works, 200 times a second at most, until the block ends; raises what one of them raised."""
    done, failed = threading.Event(), []

    def repeat(work):
        try:
            while not done.wait(0.005):
                work()
        except Exception as error:  # noqa: BLE001 (raised in the test's own thread)
            failed.append(error)

    threads = [threading.Thread(target=repeat, args=[work]) for work in works]
    for each in threads:
        each.start()
    try:
        yield
    finally:
        done.set()
        for each in threads:
            each.join()
    if failed:
        raise failed[0]


def writer(database):
    """Insert, update and delete, always with the first 1000 documents there, and at most 1000 more."""

    def write():
        number = next(NUMBERS)
        database.items.insert_one({"_id": 1000 + number, "text": f"new {number}", "secret": "x"})
        database.items.update_one({"_id": number % 1000}, {"$set": {"text": f"time {number}"}})
        if number % 3 == 0:
            database.items.delete_one({"_id": 1000 + number - 1})
        if number >= 1000:
            database.items.delete_one({"_id": number})

    return write


def reader(site, namespace):
    """Search through the alias: always a whole index, and never two."""
    by_index = {"size": 0, "track_total_hits": True, "aggs": {"indexes": {"terms": {"field": "_index"}}}}

    def read():
        found = site.ask("POST", f"{site.index(namespace)}/_search", by_index)
        assert "hits" in found, found
        assert found["hits"]["total"]["value"] >= 1000, found
        assert len(found["aggregations"]["indexes"]["buckets"]) == 1, found

    return read


def behind(site, namespace):
    """The index that the read alias stands for."""
    (index,) = site.ask("GET", f"_alias/{site.index(namespace)}")
    return index


def number_of(site, namespace):
    return int(behind(site, namespace).rpartition("-g")[2])


def held(site, index):
    site.ask("POST", f"{index}/_refresh")
    found = site.ask("POST", f"{index}/_search", {"size": 10_000, "track_total_hits": True})["hits"]
    assert found["total"]["value"] == len(found["hits"]), "one search shows all"
    return {hit["_id"]: hit["_source"] for hit in found["hits"]}


def until_in_step(site, database, namespace, number, **shape):
    """Wait until a generation holds exactly what the collection does, in its own form."""

    def wanted():
        transform = Transform(CollectionSettings(namespace=namespace, **shape))
        documents = database.get_collection("items", codec_options=CODEC).find()
        return {document_id(each["_id"]): orjson.loads(transform(each)) for each in documents}

    index = f"{site.index(namespace)}-g{number}"
    until(lambda: held(site, index) == wanted(), f"{index} is in step")


def record(site, namespace):
    return site._state(f"generations/{site.index(namespace)}")


def roles(site, namespace):
    return {each["number"]: each["role"] for each in record(site, namespace)["generations"]}


def reindex(site, namespace, *flags, code=0):
    done = site.run("reindex", namespace, *flags)
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout + done.stderr


def shown(site, namespace):
    done = site.run("status", "--json")
    return next(each for each in json.loads(done.stdout) if each["namespace"] == namespace)


def test_a_new_index_takes_over_from_the_old_one_while_people_write_and_search(
    site, database, namespace, worker, moved_on
):
    moved_on()
    assert shown(site, namespace)["moved_on"] == ["exclude", "mapping_file"]
    with in_threads(writer(database), reader(site, namespace)):
        told = reindex(site, namespace)
        assert f"{site.index(namespace)} points to {site.index(namespace)}-g2" in told
        assert number_of(site, namespace) == 2
        assert roles(site, namespace) == {1: "kept", 2: "serving"}
        until(lambda: worker.states() == {"live"} and len(worker.health()["pipelines"]) == 2, worker.health)
        reindex(site, namespace, "--rollback")
        assert number_of(site, namespace) == 1
        reindex(site, namespace, "--rollback")
        assert number_of(site, namespace) == 2
    until_in_step(site, database, namespace, 1)
    until_in_step(site, database, namespace, 2, exclude=["secret"])
    assert {each["role"]: each["state"] for each in shown(site, namespace)["generations"]} == {
        "kept": "live",
        "serving": "live",
    }
    assert "nothing to do" in reindex(site, namespace)
    with in_threads(writer(database), reader(site, namespace)):
        reindex(site, namespace, "--finish")
    assert site.ask("GET", f"{site.index(namespace)}-g1").get("status") == 404
    assert roles(site, namespace) == {2: "serving"}
    database.orders.insert_one({"_id": 10, "text": "second"})
    until_in_step(site, database, namespace, 2, exclude=["secret"])
    until(lambda: len(held(site, site.index(f"{database.name}.orders"))) == 11, "the other collection is still fed")
    assert site.load_state(namespace)["position"] is None, "the load of the dropped index is forgotten"
    worker.terminate()
    worker = site.start("run")
    worker.until_live()
    database.items.delete_many({"_id": {"$lt": 500}})
    until_in_step(site, database, namespace, 2, exclude=["secret"])
    assert worker.metric("penstock_load_documents_total") == 0
    mapping = site.ask("GET", f"{site.index(namespace)}/_mapping")[f"{site.index(namespace)}-g2"]
    assert mapping["mappings"]["properties"]["text"]["type"] == "keyword"


def of_the_state(role):
    return lambda asked: "penstock-state/_bulk" in asked.path and f'"role":"{role}"'.encode() in asked.body


def in_the_load(asked):
    """The first documents are sent, or verified: a worker that was quicker than the command has loaded them."""
    return "-g2-write/_bulk" in asked.path or "point_in_time" in asked.path


STAGES = {
    "before the load": ([], of_the_state("building"), {1: "serving", 2: "building"}),
    "in the load": ([], in_the_load, {1: "serving", 2: "building"}),
    "before the swap": ([], lambda asked: "point_in_time" in asked.path, {1: "serving", 2: "building"}),
    "after the swap": ([], lambda asked: asked.path == "/_aliases", {1: "serving", 2: "building"}),
    "in finish": (["--finish"], of_the_state("dropping"), {1: "dropping", 2: "serving"}),
    "after the index is deleted": (["--finish"], lambda asked: asked.method == "DELETE", {1: "dropping", 2: "serving"}),
}


def kill_once(site, namespace, reached, *flags):
    """Run the command, and kill it when the first request that `reached` names was done; no later one gets through."""
    is_over = threading.Event()

    def plan(asked):
        if is_over.is_set():
            return AWAY
        if reached(asked):
            is_over.set()
        return "pass"

    with relay(site.sink_url) as between:
        between.plan = plan
        killed = site.start("reindex", namespace, *flags, "--sink-url", between.url)
        until(lambda: any(map(reached, [*between.carried_out])), lambda: killed.errors)
        killed.kill()


@pytest.mark.parametrize("stage", STAGES)
def test_a_reindex_that_is_killed_anywhere_goes_on_when_it_is_run_again(
    site, database, namespace, worker, moved_on, stage
):
    flags, reached, left = STAGES[stage]
    moved_on()
    if flags:
        reindex(site, namespace)
    with in_threads(writer(database), reader(site, namespace)):
        kill_once(site, namespace, reached, *flags)
    assert roles(site, namespace) == left
    if not flags:
        until(lambda: "live" in {each["state"] for each in shown(site, namespace)["generations"]}, "a worker feeds it")
    with in_threads(reader(site, namespace)):
        reindex(site, namespace, *flags)
    if not flags:
        until_in_step(site, database, namespace, 1)
        reindex(site, namespace, "--finish")
    assert roles(site, namespace) == {2: "serving"}
    assert number_of(site, namespace) == 2
    database.items.update_many({}, {"$set": {"text": "last"}})
    until_in_step(site, database, namespace, 2, exclude=["secret"])
    worker.terminate()


def test_a_rollback_that_is_killed_after_the_switch_is_completed_and_not_undone(site, namespace, worker, moved_on):
    moved_on()
    reindex(site, namespace)
    kill_once(site, namespace, lambda asked: asked.path == "/_aliases", "--rollback")
    assert (number_of(site, namespace), roles(site, namespace)) == (1, {1: "kept", 2: "serving"})
    said = reindex(site, namespace, "--rollback")
    assert f"run the command again to return to {site.index(namespace)}-g2" in said
    assert (number_of(site, namespace), roles(site, namespace)) == (1, {1: "serving", 2: "kept"})
    reindex(site, namespace, "--rollback")
    assert (number_of(site, namespace), roles(site, namespace)) == (2, {1: "kept", 2: "serving"})
    worker.terminate()


def test_the_worker_goes_on_with_the_load_of_a_reindex_that_died(site, database, namespace, worker, moved_on):
    moved_on(load_rate=100)
    killed = site.start("reindex", namespace)
    until(lambda: site.ask("GET", f"{site.index(namespace)}-g2/_count").get("count"), "the first documents")
    killed.kill()
    until(lambda: worker.lines("load ends", index=f"{site.index(namespace)}-g2"), lambda: worker.errors)
    until_in_step(site, database, namespace, 2, exclude=["secret"])
    assert number_of(site, namespace) == 1, "nobody has verified it"


@pytest.mark.parametrize("fed_by", ["the command", "the worker"])
def test_a_new_index_that_refuses_the_documents_never_stops_the_old_one(
    site, database, namespace, worker, moved_on, fed_by
):
    moved_on({"mappings": {"dynamic": "strict", "properties": {}}}, dead_letter_limit=50)
    with in_threads(writer(database), reader(site, namespace)):
        if fed_by == "the command":
            assert "dead letters within 600 s" in reindex(site, namespace, code=6)
        else:
            kill_once(site, namespace, of_the_state("building"))
            worker.until_logged("a generation is not fed; the others go on")
            assert worker.metric("penstock_generation_failed") == 1
            assert worker.health()["pipelines"][f"generation/{site.index(namespace)}-g2"]["state"] == "failed"
    now = shown(site, namespace)
    assert [each["state"] for each in now["generations"]] == ["live", "failed"]
    assert "dead letters within 600 s" in now["generations"][1]["failed"]
    until_in_step(site, database, namespace, 1)
    assert worker.health()["healthy"]
    letters = site.letters(database)
    assert len(letters) > 50
    assert "is still" not in reindex(site, namespace, "--abandon")
    assert site.letters(database) == []
    assert roles(site, namespace) == {1: "serving"}
    assert worker.lines("lease lost") == []
    until(lambda: list(worker.health()["pipelines"]) == [database.name], worker.health)
    assert f'penstock_lease_held{{pipeline="{database.name}"}}' in worker.scrape()
    assert f'penstock_lease_held{{pipeline="generation/{site.index(namespace)}-g2"}}' not in worker.scrape()
    moved_on()
    assert f"{site.index(namespace)} points to {site.index(namespace)}-g3" in reindex(site, namespace)


def test_a_new_index_that_lacks_documents_does_not_serve_unless_that_is_accepted(
    site, database, namespace, worker, moved_on
):
    database.items.update_one({"_id": 7}, {"$set": {"more": 1}})
    moved_on({"mappings": {"dynamic": "strict", "properties": {"text": {"type": "text"}}}})
    assert "1 dead-lettered (" in reindex(site, namespace, "--wait", "1", code=8)
    assert number_of(site, namespace) == 1
    reindex(site, namespace, "--accept-dead-letters", "--wait", "1")
    assert number_of(site, namespace) == 2
    assert site.run("dead-letters", "replay", namespace).returncode == 1
    (letter,) = site.letters(database)
    assert letter["alias"] == f"{site.index(namespace)}-g2-write", "it was refused again where it was refused"
    assert held(site, f"{site.index(namespace)}-g1")["n:7"]["more"] == 1


def aliases(site, namespace, number):
    """What people have put on a generation: its aliases but those of penstock."""
    index = f"{site.index(namespace)}-g{number}"
    found = site.ask("GET", f"{index}/_alias")[index]["aliases"]
    return {name: each for name, each in found.items() if name not in (f"{index}-write", site.index(namespace))}


def test_what_people_put_on_an_index_moves_with_the_read_alias(site, database, namespace, worker, moved_on):
    index, other = site.index(namespace), site.index(f"{database.name}.orders")
    tenant, everything = f"{index}-tenant", f"{index}-everything"
    of_tenant = {"filter": {"term": {"text": "first"}}, "index_routing": "1", "search_routing": "1,2"}
    put = [
        {"index": f"{index}-g1", "alias": tenant, **of_tenant},
        {"index": f"{index}-g1", "alias": everything, "is_write_index": True},
        {"index": f"{other}-g1", "alias": everything},
        {"index": f"{index}-g1", "alias": index, "filter": {"exists": {"field": "text"}}},
    ]
    assert site.ask("POST", "_aliases", {"actions": [{"add": each} for each in put]}) == {"acknowledged": True}
    site.ask("PUT", f"{index}-g1/_settings", {"index": {"refresh_interval": "7s", "max_result_window": 20000}})
    moved_on()
    told = reindex(site, namespace)
    assert f"{index}-g2 has taken over the aliases {everything}, {tenant}\n" in told
    assert f"{index}-g2 has taken over the settings max_result_window = 20000, refresh_interval = 7s\n" in told
    assert aliases(site, namespace, 2) == {tenant: of_tenant, everything: {"is_write_index": True}}
    assert aliases(site, namespace, 1) == {}
    assert site.ask("GET", f"_alias/{index}")[f"{index}-g2"]["aliases"][index]["filter"] == put[-1]["filter"]
    assert site.ask("GET", f"_alias/{everything}").keys() == {f"{index}-g2", f"{other}-g1"}
    settings = site.ask("GET", f"{index}-g2/_settings")[f"{index}-g2"]["settings"]["index"]
    assert (settings["refresh_interval"], settings["max_result_window"]) == ("7s", "20000")

    reindex(site, namespace, "--rollback")
    assert aliases(site, namespace, 1).keys() == {tenant, everything}
    reindex(site, namespace, "--rollback")
    site.ask("POST", "_aliases", {"actions": [{"add": {"index": f"{index}-g1", "alias": f"{index}-late"}}]})
    told = reindex(site, namespace, "--finish", code=6)
    assert f"{index}-g1 is not deleted, because searches would lose its aliases {index}-late" in told
    assert roles(site, namespace) == {1: "kept", 2: "serving"}
    site.ask("POST", "_aliases", {"actions": [{"remove": {"index": f"{index}-g1", "alias": f"{index}-late"}}]})
    reindex(site, namespace, "--finish")
    assert aliases(site, namespace, 2).keys() == {tenant, everything}


def test_a_pipeline_that_people_put_on_an_index_is_not_lost_without_a_word(site, database, namespace, worker, moved_on):
    index = site.index(namespace)
    site.ask("PUT", f"_ingest/pipeline/{index}", {"processors": [{"lowercase": {"field": "text"}}]})
    site.ask("PUT", f"{index}-g1/_settings", {"index.default_pipeline": index})
    moved_on()
    told = reindex(site, namespace, code=2)
    assert f"{index}-g1 has the ingest pipeline {index} (index.default_pipeline)" in told
    assert roles(site, namespace) == {1: "serving"}
    moved_on({"settings": {"index": {"default_pipeline": index}}})
    reindex(site, namespace)
    assert number_of(site, namespace) == 2
    site.ask("PUT", f"{index}-g*/_settings", {"index.default_pipeline": "_none"})
    site.ask("DELETE", f"_ingest/pipeline/{index}")


def test_a_new_index_that_does_not_keep_what_was_written_serves_once_that_is_declared(
    site, database, namespace, worker, penstock
):
    """Its mapping leaves a field out of `_source`, which is known; a pipeline sets one, which has to be said."""
    index = site.index(namespace)
    site.ask("PUT", f"_ingest/pipeline/{index}", {"processors": [{"set": {"field": "at", "value": "now"}}]})
    mapping = {"settings": {"default_pipeline": index}, "mappings": {"_source": {"excludes": ["secret"]}}}
    (site.folder / "mapping.json").write_text(json.dumps(mapping))
    site.settings(namespace, mapping_file="mapping.json")
    told = reindex(site, namespace, "--wait", "1", code=8)
    assert "fields that differ: at; documents go through the ingest pipeline" in told
    site.settings(namespace, mapping_file="mapping.json", not_compared=["at"])
    reindex(site, namespace, "--wait", "1")
    assert number_of(site, namespace) == 2
    assert held(site, index)["n:7"] == {"text": "first", "at": "now"}
    assert penstock("explain", namespace, "n:7").returncode == 0
    site.ask("PUT", f"{index}-g2/_settings", {"index.default_pipeline": "_none"})
    site.ask("DELETE", f"_ingest/pipeline/{index}")


def test_a_read_alias_that_also_points_elsewhere_is_left_there(site, database, namespace, worker, moved_on):
    index, other = site.index(namespace), f"{site.index(namespace)}-archive"
    moved_on(load_rate=200)
    worker.terminate()  # it would be quicker: its settings have no rate
    begun = site.start("reindex", namespace)
    until(lambda: site.ask("GET", f"{index}-g2/_count").get("count"), "the new index is there")
    site.ask("PUT", other, {"settings": {"number_of_replicas": 0}, "aliases": {index: {}}})
    begun.process.join(WITHIN_S)
    assert begun.process.exitcode == 6, begun.errors
    assert f"The alias {index} points to {other}, which is not penstock's" in begun.errors
    assert site.ask("GET", f"_alias/{index}").keys() == {f"{index}-g1", other}


def test_a_mapping_that_opensearch_refuses_leaves_nothing_behind(site, namespace, worker, moved_on):
    moved_on({"mappings": {"properties": {"text": {"type": "txet"}}}})
    assert "No handler for type [txet]" in reindex(site, namespace, code=2)
    assert roles(site, namespace) == {1: "serving"}


def test_settings_that_move_on_are_told_and_shape_nothing_before_the_reindex(site, database, namespace, moved_on):
    site.settings(namespace)
    assert site.run("load").returncode == 0
    moved_on()
    worker = site.start("run")
    told = worker.until_logged(
        "the settings have changed since this index was created; it keeps its old settings until a reindex"
    )
    assert told["heal"] == f"penstock reindex {namespace}"
    assert told["changed"] == ["exclude", "mapping_file"]
    assert f"penstock reindex {namespace}" in site.run("status").stdout
    assert f"penstock reindex {namespace}" in site.run("check").stdout
    database.items.insert_one({"_id": 2000, "text": "new", "secret": "x"})
    until_in_step(site, database, namespace, 1)


def test_loading_again_makes_the_documents_of_the_only_index_as_the_settings_say_now(
    site, database, namespace, moved_on
):
    site.settings(namespace)
    assert site.run("load").returncode == 0
    moved_on()
    assert site.run("load", "--again", namespace).returncode == 0
    until_in_step(site, database, namespace, 1, exclude=["secret"])
    assert shown(site, namespace)["moved_on"] == ["mapping_file"]


def test_the_state_of_a_penstock_without_records_is_read(site, database, namespace, moved_on):
    site.settings(namespace)
    assert site.run("load").returncode == 0
    state, load = site.state(database.name), site.load_state(namespace)
    state["source"]["fingerprints"] = {namespace: record(site, namespace)["generations"][0]["recipe"]["transform"]}
    index = site.index(namespace)
    as_before = {
        f"pipeline/{database.name}": {**state, "schema": 1},
        f"load/{namespace}/{index}-g1": {**load, "schema": 1},
    }
    lines = [json.dumps({"delete": {"_id": f"generations/{index}"}})]
    for state_id, document in as_before.items():
        lines += [json.dumps({"index": {"_id": state_id}}), json.dumps(document)]
    site.bulk("penstock-state", lines)
    worker = site.start("run")
    worker.until_live()
    assert worker.metric("penstock_load_documents_total") == 0
    assert roles(site, namespace) == {1: "serving"}
    moved_on()
    reindex(site, namespace)
    until_in_step(site, database, namespace, 2, exclude=["secret"])


def test_what_cannot_be_done_is_said(site, namespace, worker, moved_on):
    assert "is not a declared collection" in reindex(site, "shop.order", code=2)
    assert "nothing to do" in reindex(site, namespace)
    assert "there is no index to roll back to" in reindex(site, namespace, "--rollback", code=2)
    assert "there is nothing to delete" in reindex(site, namespace, "--finish")
    assert "there is nothing to delete" in reindex(site, namespace, "--abandon")
    reindex(site, namespace, "--force")
    moved_on()
    assert "still exists from the last reindex" in reindex(site, namespace, code=2)
