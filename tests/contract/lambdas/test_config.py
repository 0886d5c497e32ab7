"""The config function turns the change stream of exactly one collection on, for people and for a deployment."""

import json
import threading

import pymongo
import pytest
from bson import Timestamp
from pymongo.errors import OperationFailure
from pymongo.uri_parser import parse_uri

from penstock.errors import SettingsError, SourceUnavailable
from penstock.lambdas import config
from penstock.model import seconds_of
from penstock.mongo.connection import cluster_time
from penstock_tools.servers.source import LocalSourceSettings, local_source
from testkit.lambda_calls import Context, function_settings, parsed, proxy_event
from testkit.tcp_proxy import Proxy


@pytest.fixture(scope="module")
def documentdb(tmp_path_factory):
    with local_source(tmp_path_factory.mktemp("documentdb"), LocalSourceSettings(mode="documentdb-5.0")) as source:
        yield source.uri


@pytest.fixture(scope="module")
def client(documentdb):
    with pymongo.MongoClient(documentdb, retryWrites=False) as client:
        first = cluster_time(client)
        while seconds_of(cluster_time(client)) == seconds_of(first):  # a time within its first second is before its log
            client.warm_up.writes.insert_one({})
        yield client


@pytest.fixture
def shop(monkeypatch, documentdb, client):
    """An empty database of DocumentDB, without any change stream; the function serves its `orders`."""
    with function_settings(monkeypatch, "shop.orders", source=documentdb):
        yield client.shop
    client.drop_database("shop")
    for entry in client.admin.aggregate([{"$listChangeStreams": 1}]):
        client.admin.command("modifyChangeStreams", 1, **entry, enable=False)


def post(body: object = None, *, seconds: float = 30) -> tuple[int, dict]:
    return parsed(config.handler(proxy_event("POST", None if body is None else json.dumps(body)), Context(seconds)))


def enabled(client) -> list[tuple[str, str]]:
    return sorted(
        (each["database"], each["collection"]) for each in client.admin.aggregate([{"$listChangeStreams": 1}])
    )


def deployment(kind: str, database: str = "shop", collection: str = "orders", **more: str) -> dict:
    """An event as the CDK's provider framework passes it on."""
    return {
        "RequestType": kind,
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "ChangeStream",
        "ResourceType": "Custom::ChangeStream",
        "ResourceProperties": {"ServiceToken": "token", "Database": database, "Collection": collection},
        **more,
    }


def test_the_first_request_makes_the_collection_and_turns_its_stream_on(shop, client):
    status, body = post()
    assert status == 200
    assert body.pop("enabled_at") <= seconds_of(cluster_time(client))
    assert body == {
        "database": "shop",
        "collection": "orders",
        "found": {"collection": False, "change_stream": False},
        "did": ["created the collection", "enabled the change stream"],
    }
    assert shop.list_collection_names() == ["orders"]
    assert enabled(client) == [("shop", "orders")]


def test_a_second_request_finds_everything_done(shop, client):
    post({"enable": True})
    status, body = post({})
    assert (status, body["found"], body["did"]) == (200, {"collection": True, "change_stream": True}, [])
    assert enabled(client) == [("shop", "orders")]


@pytest.mark.parametrize("scope", [("shop", ""), ("", ""), ("shop", "others"), ("other", "orders")])
def test_only_the_entry_of_exactly_the_collection_counts(shop, client, scope):
    client.admin.command("modifyChangeStreams", 1, database=scope[0], collection=scope[1], enable=True)
    shop.create_collection("orders")
    status, body = post()
    assert (status, body["found"]) == (200, {"collection": True, "change_stream": False})
    assert body["did"] == ["enabled the change stream"]
    assert enabled(client) == sorted([scope, ("shop", "orders")])


def test_it_can_be_turned_off_and_leaves_the_collection(shop, client):
    post()
    status, body = post({"enable": False})
    assert status == 200
    assert body == {
        "database": "shop",
        "collection": "orders",
        "found": {"collection": True, "change_stream": True},
        "did": ["disabled the change stream"],
    }
    assert enabled(client) == []
    assert post({"enable": False})[1]["did"] == []
    assert shop.list_collection_names() == ["orders"]


def test_turning_off_makes_no_collection(shop):
    assert post({"enable": False})[1]["did"] == []
    assert shop.list_collection_names() == []


def test_a_stream_from_enabled_at_on_has_every_later_change(shop, client):
    _, body = post()
    shop.orders.insert_one({"_id": 1})
    with shop.orders.watch(start_at_operation_time=Timestamp(body["enabled_at"], 0)) as stream:
        assert stream.next()["documentKey"] == {"_id": 1}


def test_on_mongodb_change_streams_are_always_on(monkeypatch, source_uri, database):
    with function_settings(monkeypatch, f"{database.name}.orders", source=source_uri):
        status, body = post()
        assert status == 200
        assert body["found"] == {"collection": False, "change_stream": True}
        assert body["did"] == ["created the collection"]
        assert "always on" in body["note"]
        assert body["enabled_at"] > 0
        assert database.list_collection_names() == ["orders"]
        status, body = post({"enable": False})
        assert (status, body["did"]) == (200, [])
        assert "cannot be turned off" in body["note"]


def test_a_deployment_turns_the_stream_of_its_collection_on(shop, client):
    answer = config.handler(deployment("Create", "shop", "visits"), Context())
    assert answer["PhysicalResourceId"] == "shop.visits"
    assert set(answer["Data"]) == {"EnabledAt"}
    assert isinstance(answer["Data"]["EnabledAt"], int)
    assert enabled(client) == [("shop", "visits")]
    config.handler(deployment("Update", "shop", "visits", PhysicalResourceId="shop.visits"), Context())
    assert enabled(client) == [("shop", "visits")]


def test_the_end_of_a_deployment_leaves_the_stream_on(shop, client):
    config.handler(deployment("Create"), Context())
    event = deployment("Delete", PhysicalResourceId="shop.orders")
    assert config.handler(event, Context()) == {"PhysicalResourceId": "shop.orders"}
    assert enabled(client) == [("shop", "orders")]


def test_the_end_of_a_deployment_needs_no_cluster(monkeypatch):
    with function_settings(monkeypatch, "shop.orders", source="mongodb://127.0.0.1:1/"):
        assert config.handler(deployment("Delete", PhysicalResourceId="never-made"), Context())


def test_a_deployment_waits_for_a_cluster_that_is_still_starting(monkeypatch, shop, documentdb, client):
    with Proxy(parse_uri(documentdb)["nodelist"][0]) as proxy:
        proxy.accepting = False
        uri = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true&serverSelectionTimeoutMS=100"
        with function_settings(monkeypatch, "shop.orders", source=uri):
            opening = threading.Timer(0.5, lambda: setattr(proxy, "accepting", True))
            opening.start()
            answer = config.handler(deployment("Create"), Context(60))
            opening.join()
            assert answer["PhysicalResourceId"] == "shop.orders"
            assert enabled(client) == [("shop", "orders")]


def test_a_deployment_fails_with_the_reason_when_the_cluster_never_answers(monkeypatch):
    with (
        function_settings(monkeypatch, "shop.orders", source="mongodb://127.0.0.1:1/"),
        pytest.raises(SourceUnavailable, match=r"unknown whether the change stream of shop\.orders is on"),
    ):
        config.handler(deployment("Create"), Context(0.6))


def test_a_deployment_fails_with_the_reason_when_the_settings_are_wrong(monkeypatch):
    with function_settings(monkeypatch, "no-collection"), pytest.raises(SettingsError, match="no-collection"):
        config.handler(deployment("Create"), Context())


def test_what_was_done_is_told_whole_after_a_lost_connection(monkeypatch, shop, client):
    """The answer to modifyChangeStreams is lost: it has been carried out, and is found done the second time."""
    modify, lost = config._modify, []

    def losing(*given, **named):
        modify(*given, **named)
        if not lost:
            lost.append(True)
            raise OperationFailure("host unreachable", 6)

    monkeypatch.setattr(config, "_modify", losing)
    _, body = post()
    assert lost
    assert body["found"] == {"collection": False, "change_stream": False}
    assert body["did"] == ["created the collection", "enabled the change stream"]
    assert enabled(client) == [("shop", "orders")]


def test_a_cluster_that_is_away_is_a_503(monkeypatch):
    with function_settings(monkeypatch, "shop.orders", source="mongodb://127.0.0.1:1/"):
        status, body = post(seconds=0.6)
        assert status == 503
        assert "repeating it does no harm" in body["message"]


def test_a_deployment_of_a_pattern_enables_its_whole_database(shop, client):
    answer = config.handler(deployment("Create", collection=""), Context(30))
    assert answer["PhysicalResourceId"] == "shop"
    assert enabled(client) == [("shop", "")]
    assert shop.list_collection_names() == [], "nothing is made for it"
    assert config.handler(deployment("Update", collection=""), Context(30))["Data"]["EnabledAt"]
