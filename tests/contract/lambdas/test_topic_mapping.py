"""A mapping of a Kafka topic on one machine calls the real handler: from a real broker to a real index."""

import json
import threading
import time
from contextlib import ExitStack

import pytest

from penstock_tools.aws.mapping.topics import TopicMapping, topic_mapping
from penstock_tools.aws.runtime.invocation import Invocation
from testkit.connect import Topics
from testkit.recordings import COLLS, FORMS, filled, require_recorded
from testkit.sink_access import ensure_state_index
from testkit.sync_function import settings_file, sync_function
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

        def make(form, **collection):
            names = [f"{database.name}.{each}" for each in COLLS]
            topics = [{"topic": f"cdc.{database.name}.*", "collection": f"{database.name}.*", "form": form}]
            site.settings(*names, topics=topics, **collection)
            return stack.enter_context(
                sync_function(
                    monkeypatch,
                    way,
                    queues_url=aws_url,
                    source_uri=source_uri,
                    sink_url=between.url,
                    namespace=names[0],
                    alias=site.index(names[0]),
                    **settings_file(site, names),
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
    written = filled(topics, file, database)
    invoke = invoking(function_of(form), fails=2)  # what is delivered again changes nothing
    with ExitStack() as stack:
        for coll in written:
            made = TopicMapping(topics.servers, prefix + coll, "sync", invoke, batch_size=20, window_s=0.2)
            stack.enter_context(topic_mapping(made))
        for coll in written:
            topics.until_applied(f"sync.{prefix}{coll}", prefix + coll)
    require_recorded(site, file, database, written)


def test_what_comes_back_after_a_drop_of_a_clock_that_is_ahead_is_taken(function_of, site, database, topics):
    topic = f"cdc.{database.name}.orders"
    topics.create(topic)
    database.create_collection("orders")
    made = TopicMapping(topics.servers, topic, "sync", invoking(function_of("keys", on_drop="empty")), window_s=0.1)
    with topic_mapping(made):
        with topics.connector(database, "orders", topic, form="keys"):
            database.orders.insert_many([{"_id": number} for number in range(5)])
            until(lambda: not site.differences(database, "orders"), lambda: str(site.differences(database, "orders")))
        database.orders.drop()
        read_s = time.time()
        until(lambda: int(time.time()) > read_s, "a drop of a later second than what was read")
        topics.send(topic, b'{"_id": {"_data": "826B"}}', None, timestamp_ms=round(time.time() + 3600) * 1000)
        until(lambda: not site.differences(database, "orders"), lambda: str(site.differences(database, "orders")))
        with topics.connector(database, "orders", topic, form="keys"):
            database.orders.insert_many([{"_id": number, "again": True} for number in range(5)])
            until(lambda: not site.differences(database, "orders"), lambda: str(site.differences(database, "orders")))


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
