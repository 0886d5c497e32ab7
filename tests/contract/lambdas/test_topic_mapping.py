"""A mapping of a Kafka topic on one machine calls the real handler: from a real broker to a real index."""

import json
import threading
from contextlib import ExitStack

import pytest

from penstock.documents.document_id import document_id
from penstock_tools.aws.mapping.topics import TopicMapping, topic_mapping
from penstock_tools.aws.runtime.invocation import Invocation
from testkit.connect import Topics, recorded
from testkit.recordings import COLLS, FORMS, IDS, ended_with
from testkit.sink_access import ensure_state_index
from testkit.sync_function import sync_function
from testkit.workspace import until

FILES = ("debezium-2.7-unwrap", "debezium-3.6-updatefull", "mongo-bson", "mongo-simplified", "mongo-updatelookup-copy")


@pytest.fixture
def topics(kafka_servers):
    return Topics(kafka_servers)


@pytest.fixture
def function_of(monkeypatch, way, between, aws_url, source_uri, database, site):
    """Makes the function, whose topics are all of one form; it is called as Lambda calls it, one call at a time."""
    ensure_state_index(way)
    with ExitStack() as stack:

        def make(form):
            names = [f"{database.name}.{each}" for each in COLLS]
            topics = [{"topic": f"cdc.{database.name}.*", "collection": f"{database.name}.*", "form": form}]
            site.settings(*names, topics=topics)
            tables = [{"namespace": name, "index": site.index(name), "replicas": 0} for name in names]
            return stack.enter_context(
                sync_function(
                    monkeypatch,
                    way,
                    queues_url=aws_url,
                    source_uri=source_uri,
                    sink_url=between.url,
                    namespace=names[0],
                    alias=site.index(names[0]),
                    PENSTOCK_SETTINGS=str(site.folder / "penstock.toml"),
                    PENSTOCK_COLLECTIONS=json.dumps(tables),
                )
            )

        yield make


def invoking(function, fails=0):
    """The function as mappings invoke it; its first calls fail after they were done."""
    lock, left = threading.Lock(), [fails]

    def invoke(_name, payload):
        with lock:
            function.call_raw(json.loads(payload))
            left[0] -= 1
            return Invocation(b"", "Unhandled" if left[0] >= 0 else None)

    return invoke


@pytest.mark.parametrize("file", FILES)
def test_what_real_connectors_wrote_becomes_the_documents_it_stands_for(file, function_of, site, database, topics):
    form, prefix = FORMS[file], f"cdc.{database.name}."
    records = [each for each in recorded(file, database.name) if each.coll in COLLS]
    written = sorted({each.coll for each in records})
    ended_with(database, ids=IDS if form == "change-events" else [])
    if any(b"after dropDatabase" in (each.value or b"") for each in records if each.coll == "people"):
        database.people.insert_one({"_id": "after dropDatabase"})
    for coll in COLLS:
        topics.create(prefix + coll, 2)
    for each in records:
        topics.send(prefix + each.coll, each.key, each.value)
    topics.flush()
    invoke = invoking(function_of(form), fails=2)  # what is delivered again changes nothing
    with ExitStack() as stack:
        for coll in written:
            made = TopicMapping(topics.servers, prefix + coll, "sync", invoke, batch_size=20, window_s=0.2)
            stack.enter_context(topic_mapping(made))
        for coll in written:
            topics.until_applied(f"sync.{prefix}{coll}", prefix + coll)
    with_gaps = {"ids"} if form == "change-events" else set()  # some deletes were left out of the recordings
    assert site.differences(database, *(set(written) - with_gaps)) == []
    for coll in with_gaps & set(written):
        assert site.indexed(f"{database.name}.{coll}").keys() <= {document_id(each) for each in IDS}
    assert site.letters(database) == []


def test_the_mapping_goes_on_where_it_was(function_of, site, database, topics):
    topic = f"cdc.{database.name}.orders"
    topics.create(topic, 2)
    database.create_collection("orders")
    function = function_of("change-events")

    def mapping():
        return topic_mapping(TopicMapping(topics.servers, topic, "sync", invoking(function), window_s=0.1))

    with topics.connector(database, "orders", topic, form="change-events"):
        with mapping():
            database.orders.insert_many([{"_id": number} for number in range(50)])
            until(lambda: not site.differences(database, "orders"), lambda: str(site.differences(database, "orders")))
        calls = len(function.said)
        database.orders.delete_many({"_id": {"$lt": 10}})
        with mapping():
            until(lambda: not site.differences(database, "orders"), lambda: str(site.differences(database, "orders")))
    assert sum(each["Read"] for each in function.said[calls:]) == 10
